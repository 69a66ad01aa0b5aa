// Fits and predictions of many series (many.hpp) as Python functions, on several threads.
#include "bindings_rows.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <exception>
#include <thread>
#include <vector>

#include "many.hpp"

using namespace smoothfit;

namespace {

// The rows of all series, one after the other: series s has rows start[s] .. start[s + 1] - 1.
struct Series {
    In<std::int64_t> start;
    In<double> delta;
    In<std::uint8_t> deriv, group;
    In<double> y, ratio;

    std::size_t count() const { return start.size() - 1; }
    Rows rows(std::size_t s) const {
        const std::int64_t i = start.data()[s];
        return {start.data()[s + 1] - i, delta.data() + i, deriv.data() + i, group.data() + i, y.data() + i, ratio.data() + i};
    }
};

Series make_series(In<std::int64_t> start, In<double> delta, In<std::uint8_t> deriv, In<double> y, In<double> ratio,
                   In<std::uint8_t> group, int order) {
    make_rows(delta, deriv, group, y, ratio, order, 1);
    check(start.size() > 1 && start.data()[0] == 0 && start.data()[start.size() - 1] == static_cast<std::int64_t>(delta.size()),
          "start begins with 0 and ends with the number of rows");
    for (std::size_t s = 0; s + 1 < start.size(); ++s) check(start.data()[s] < start.data()[s + 1], "a series is empty");
    return {start, delta, deriv, group, y, ratio};
}

// Whether the user asked to stop. The thread that Python called, number 0, looks for that now and then; the others are told.
class Stop {
public:
    bool operator()(int thread) noexcept {
        if (thread == 0 && !stopped_ && std::chrono::steady_clock::now() >= next_) {
            nb::gil_scoped_acquire lock;
            if (PyErr_CheckSignals() != 0) stopped_ = true;
            next_ = std::chrono::steady_clock::now() + interval;
        }
        return stopped_.load(std::memory_order_relaxed);
    }

    // With the GIL held: raises what the signal's handler raised.
    void raise_if_stopped() const {
        if (stopped_) throw nb::python_error();
    }

private:
    static constexpr std::chrono::milliseconds interval{50};
    std::atomic<bool> stopped_{false};
    std::chrono::steady_clock::time_point next_ = std::chrono::steady_clock::now() + interval;
};

constexpr std::size_t chunk = 16;  // series that a thread takes at a time

// How many threads n series can occupy, of those that are allowed.
int useful_threads(std::size_t n, int threads) {
    return static_cast<int>(std::min<std::size_t>(std::max(threads, 1), (n + chunk - 1) / chunk));
}

// Calls work(thread, s), which does not throw, for s = 0 .. n - 1 or until `stop`, on up to `threads` threads. Without the GIL.
template <class Work>
void share(std::size_t n, int threads, Stop& stop, const Work& work) {
    std::atomic<std::size_t> next{0};
    const auto run = [&](int thread) noexcept {
        for (std::size_t first = next.fetch_add(chunk); first < n; first = next.fetch_add(chunk))
            for (std::size_t s = first; s < std::min(n, first + chunk); ++s) {
                if (stop(thread)) return;
                work(thread, s);
            }
    };
    std::vector<std::thread> others;
    try {
        for (int t = 1; t < useful_threads(n, threads); ++t) others.emplace_back(run, t);
    } catch (const std::exception&) {  // the system refuses a thread, or memory for one: those that run do its work
    }
    run(0);
    for (std::thread& other : others) other.join();
}

// (S, 7): log q, value, decrement, sse, edf, log|X'X|, how it ended.
Doubles fit_many(In<std::int64_t> start, In<double> delta, In<std::uint8_t> deriv, In<std::uint8_t> group, In<double> y,
                 In<double> ratio, In<double> design_ratio, int order, bool scale_free, In<double> settings,
                 In<double> interpolation, int threads) {
    const Series series = make_series(start, delta, deriv, y, ratio, group, order);
    check(design_ratio.size() == delta.size(), "row arrays differ in length");
    check(settings.size() == 11 && interpolation.ndim() == 2 && interpolation.shape(0) == 225 && interpolation.shape(1) == 8,
          "settings are 11 numbers and interpolation is (225, 8)");
    const double* v = settings.data();
    const SearchSettings search{v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7], v[8], static_cast<int>(v[9]), static_cast<int>(v[10]),
                                interpolation.data(), 225};
    check(search.grid >= 2 && search.grid <= 64, "grid is out of range");
    Doubles out = new_array({series.count(), 7});
    Stop stop;
    {
        nb::gil_scoped_release release;
        with_model_order(order, [&](auto m) {
            share(series.count(), threads, stop, [&](int thread, std::size_t s) {
                const Rows rows = series.rows(s);
                const auto ended = [&stop, thread] { return stop(thread); };
                const OneCurve<decltype(m)::value, decltype(ended)> curve(rows, scale_free, search, ended);
                const CurveFit fit = curve.fit(design_ratio.data() + start.data()[s]);
                double* mine = out.data() + 7 * s;
                mine[0] = fit.log_q;
                mine[1] = fit.value;
                mine[2] = fit.decrement;
                mine[3] = fit.sse;
                mine[4] = fit.edf;
                mine[5] = fit.design;
                mine[6] = static_cast<double>(fit.ending);
            });
        });
    }
    stop.raise_if_stopped();
    return out;
}

// (2, L): sums over the series of log_det and sse at each q (L). Eight side by side, as in `likelihood`.
Doubles sum_many(In<std::int64_t> start, In<double> delta, In<std::uint8_t> deriv, In<std::uint8_t> group, In<double> y,
                 In<double> ratio, int order, In<double> q, int threads) {
    const Series series = make_series(start, delta, deriv, y, ratio, group, order);
    const std::size_t count = q.size(), n = series.count();
    check(count > 0, "there are no candidates");
    std::vector<double> terms(2 * n * Pack::size);
    Doubles out = new_array({2, count});
    std::atomic<bool> sound{true};
    Stop stop;
    {
        nb::gil_scoped_release release;
        for (std::size_t first = 0; first < count; first += Pack::size) {
            Pack lanes;
            for (std::size_t k = 0; k < Pack::size; ++k) lanes.set(static_cast<int>(k), q.data()[std::min(first + k, count - 1)]);
            with_model_order(order, [&](auto m) {
                constexpr int M = decltype(m)::value;
                share(n, threads, stop, [&](int, std::size_t s) {
                    const Rows rows = series.rows(s);
                    const Pack one(1.0);
                    Likelihood<Pack> l;
                    if (run_filter<Pack, M>(rows, lanes, &one, &l, NoStates{}).outcome != Outcome::ok)
                        sound = false;
                    for (int k = 0; k < Pack::size; ++k) {
                        terms[2 * (s * Pack::size + k)] = l.log_det.get(k);
                        terms[2 * (s * Pack::size + k) + 1] = l.sse.get(k);
                    }
                });
            });
            for (std::size_t k = 0; k < Pack::size && first + k < count; ++k) {
                double log_det = 0.0, sse = 0.0;  // in the order of the series, whatever the threads did
                for (std::size_t s = 0; s < n; ++s) {
                    log_det += terms[2 * (s * Pack::size + k)];
                    sse += terms[2 * (s * Pack::size + k) + 1];
                }
                out.data()[first + k] = log_det;
                out.data()[count + first + k] = sse;
            }
        }
    }
    stop.raise_if_stopped();
    if (!sound) raise_unless_ok({Outcome::overflow, -1});
    return out;
}

// (2, 3): sums over the series of log_det and sse, and their first and second derivatives by log q.
Doubles sum_many_second(In<std::int64_t> start, In<double> delta, In<std::uint8_t> deriv, In<std::uint8_t> group, In<double> y,
                        In<double> ratio, int order, double q, int threads) {
    using D = Curvature;
    const Series series = make_series(start, delta, deriv, y, ratio, group, order);
    const std::size_t n = series.count();
    std::vector<D> terms(2 * n);
    std::atomic<bool> sound{true};
    Doubles out = new_array({2, 3});
    Stop stop;
    {
        nb::gil_scoped_release release;
        with_model_order(order, [&](auto m) {
            constexpr int M = decltype(m)::value;
            share(n, threads, stop, [&](int, std::size_t s) {
                const Rows rows = series.rows(s);
                const D one(1.0);
                Likelihood<D> l;
                if (run_filter<D, M>(rows, twice_in_log(q), &one, &l, NoStates{}).outcome != Outcome::ok)
                    sound = false;
                terms[2 * s] = l.log_det;
                terms[2 * s + 1] = l.sse;
            });
        });
        for (int part = 0; part < 2; ++part) {
            double sum[3] = {};
            for (std::size_t s = 0; s < n; ++s) {
                const D& term = terms[2 * s + part];
                sum[0] += term.re.re;
                sum[1] += term.re.eps[0];
                sum[2] += term.eps[0].eps[0];
            }
            std::copy(sum, sum + 3, out.data() + 3 * part);
        }
    }
    stop.raise_if_stopped();
    if (!sound) raise_unless_ok({Outcome::overflow, -1});
    return out;
}

// (2, S, G): posterior means and variances of f^(deriv) at `at` (G), NaN where a series fails. q, sigma2 and x_unit are (S,).
Doubles predict_many(In<std::int64_t> start, In<double> delta, In<std::uint8_t> deriv, In<std::uint8_t> group, In<double> y,
                     In<double> ratio, In<double> x, In<double> x_unit, int order, In<double> q, In<double> sigma2, int wanted,
                     In<double> at, int threads) {
    const Series series = make_series(start, delta, deriv, y, ratio, group, order);
    const std::size_t n = series.count(), count = at.size();
    check(x.size() == delta.size() && q.size() == n && sigma2.size() == n && x_unit.size() == n, "arrays differ in length");
    check(wanted >= 0 && wanted < order, "deriv is not below the order");
    std::int64_t longest = 0;
    for (std::size_t s = 0; s < n; ++s) longest = std::max(longest, start.data()[s + 1] - start.data()[s]);
    threads = useful_threads(n, threads);
    const std::size_t room = 2 * static_cast<std::size_t>(longest);
    std::vector<std::vector<double>> states(threads), nodes(threads);
    for (int t = 0; t < threads; ++t) {
        states[t].resize(room * packed_width(order));
        nodes[t].resize(room);
    }
    Doubles out = new_array({2, n, count});
    Stop stop;
    {
        nb::gil_scoped_release release;
        with_model_order(order, [&](auto m) {
            share(n, threads, stop, [&](int thread, std::size_t s) {
                double* mean = out.data() + s * count;
                double* variance = mean + n * count;
                const Status status = predict_curve<decltype(m)::value>(
                    series.rows(s), x.data() + start.data()[s], x_unit.data()[s], q.data()[s], sigma2.data()[s], wanted,
                    static_cast<std::int64_t>(count), at.data(), states[thread].data(), nodes[thread].data(), mean, variance);
                if (status.outcome != Outcome::ok)
                    for (std::size_t j = 0; j < count; ++j) mean[j] = variance[j] = std::numeric_limits<double>::quiet_NaN();
            });
        });
    }
    stop.raise_if_stopped();
    return out;
}

}  // namespace

void bind_many(nb::module_& module) {
    module.def("fit_many", &fit_many);
    module.def("predict_many", &predict_many);
    module.def("sum_many", &sum_many);
    module.def("sum_many_second", &sum_many_second);
}
