// Fits and predictions of many series (many.hpp) as Python functions, on several threads.
#include "bindings_mixtures.hpp"
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

// The rows of all series, one after the other, checked once: series s has rows start[s] .. start[s + 1] - 1.
struct WienerSeries {
    In<std::int64_t> start;
    WienerRows all;

    WienerSeries(In<std::int64_t> start_, const WienerRows& rows) : start(start_), all(rows) {
        check(start.size() > 1 && start.data()[0] == 0 && start.data()[count()] == static_cast<std::int64_t>(all.size()),
              "start begins with 0 and ends with the number of rows");
        for (std::size_t s = 0; s < count(); ++s) check(start.data()[s] < start.data()[s + 1], "a series is empty");
    }
    std::size_t count() const { return start.size() - 1; }
    void check_order(int order) const { all.view(order, 1); }
    void check_which(const In<std::int64_t>& which) const {
        for (std::size_t i = 0; i < which.size(); ++i)
            check(which.data()[i] >= 0 && which.data()[i] < static_cast<std::int64_t>(count()), "which is out of range");
    }
    std::size_t longest() const {
        std::int64_t most = 0;
        for (std::size_t s = 0; s < count(); ++s) most = std::max(most, start.data()[s + 1] - start.data()[s]);
        return static_cast<std::size_t>(most);
    }
    Rows rows(std::size_t s) const {
        const std::int64_t i = start.data()[s];
        return {start.data()[s + 1] - i, all.delta.data() + i, all.deriv.data() + i, all.group.data() + i, all.y.data() + i,
                all.ratio.data() + i};
    }
};

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

// Calls work(m, stop, thread, s), m the order, for n series as `share`; raises what a signal's handler raises.
template <class Work>
void share_models(int order, std::size_t n, int threads, const Work& work) {
    Stop stop;
    {
        nb::gil_scoped_release release;
        with_model_order(order, [&](auto m) {
            share(n, threads, stop, [&](int thread, std::size_t s) { work(m, stop, thread, s); });
        });
    }
    stop.raise_if_stopped();
}

// The settings of a search, and the polynomials that its last refinement takes.
struct Settings {
    SearchSettings search;
    In<double> interpolation;

    Settings(double limit, double coarse, double exact_sd, double decrement, double near, double level, double hopeless,
             double flat, double longest_step, int grid, int max_iterations, In<double> interpolation_)
        : interpolation(interpolation_) {
        check(interpolation.ndim() == 2 && interpolation.shape(0) == n_fine && interpolation.shape(1) == 8,
              "interpolation is (225, 8)");
        check(grid >= 2 && grid <= 64, "grid is out of range");
        search = {limit, coarse,       exact_sd, decrement,      near,                 level, hopeless,
                  flat,  longest_step, grid,     max_iterations, interpolation.data(), n_fine};
    }

private:
    static constexpr int n_fine = 225;
};

// (S, 9): log q, value, decrement, sse, edf, log|X'X|, how it ended, and log q between which the likelihood is not far from its maximum.
Doubles fit_many(const WienerSeries& series, In<double> design_ratio, int order, bool scale_free, const Settings& settings,
                 int threads) {
    series.check_order(order);
    check(design_ratio.size() == series.all.size(), "row arrays differ in length");
    constexpr std::size_t width = 9;
    Doubles out = new_array({series.count(), width});
    share_models(order, series.count(), threads, [&](auto m, Stop& stop, int thread, std::size_t s) {
        const Rows rows = series.rows(s);
        const auto ended = [&stop, thread] { return stop(thread); };
        const OneCurve<decltype(m)::value, decltype(ended)> curve(rows, scale_free, settings.search, ended);
        const CurveFit fit = curve.fit(design_ratio.data() + series.start.data()[s]);
        double* mine = out.data() + width * s;
        mine[0] = fit.log_q;
        mine[1] = fit.value;
        mine[2] = fit.decrement;
        mine[3] = fit.sse;
        mine[4] = fit.edf;
        mine[5] = fit.design;
        mine[6] = static_cast<double>(fit.ending);
        mine[7] = fit.from;
        mine[8] = fit.to;
    });
    return out;
}

// (2, 3): sums over the series of log_det and sse, and their first and second derivatives by log q.
Doubles sum_many_second(const WienerSeries& series, int order, double q, int threads) {
    using D = Curvature;
    series.check_order(order);
    const std::size_t n = series.count();
    std::vector<D> terms(2 * n);
    std::atomic<bool> sound{true};
    Doubles out = new_array({2, 3});
    share_models(order, n, threads, [&](auto m, Stop&, int, std::size_t s) {
        constexpr int M = decltype(m)::value;
        const Rows rows = series.rows(s);
        const D one(1.0);
        Likelihood<D> l;
        if (run_filter<D, M>(rows, twice_in_log(q), &one, &l, NoStates{}).outcome != Outcome::ok) sound = false;
        terms[2 * s] = l.log_det;
        terms[2 * s + 1] = l.sse;
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
    if (!sound) raise_unless_ok({Outcome::overflow, -1});
    return out;
}

// (2, S, G): posterior means and variances of f^(deriv) at `at` (G), NaN where a series fails. q, sigma2 and x_unit are (S,).
Doubles predict_many(const WienerSeries& series, In<double> x, In<double> x_unit, int order, In<double> q, In<double> sigma2,
                     int wanted, In<double> at, int threads) {
    series.check_order(order);
    const std::size_t n = series.count(), count = at.size();
    check(x.size() == series.all.size() && q.size() == n && sigma2.size() == n && x_unit.size() == n, "arrays differ in length");
    check(wanted >= 0 && wanted < order, "deriv is not below the order");
    threads = useful_threads(n, threads);
    const std::size_t room = 2 * series.longest();
    std::vector<std::vector<double>> states(threads), nodes(threads);
    for (int t = 0; t < threads; ++t) {
        states[t].resize(room * packed_width(order));
        nodes[t].resize(room);
    }
    Doubles out = new_array({2, n, count});
    share_models(order, n, threads, [&](auto m, Stop&, int thread, std::size_t s) {
        double* mean = out.data() + s * count;
        double* variance = mean + n * count;
        double sse;
        const Status status = predict_curve<double, decltype(m)::value>(
            series.rows(s), x.data() + series.start.data()[s], x_unit.data()[s], q.data()[s], sigma2.data()[s], wanted,
            static_cast<std::int64_t>(count), at.data(), states[thread].data(), nodes[thread].data(), mean, variance, &sse);
        if (status.outcome != Outcome::ok)
            for (std::size_t j = 0; j < count; ++j) mean[j] = variance[j] = std::numeric_limits<double>::quiet_NaN();
    });
    return out;
}

// (2, C, K): log_det and sse of the series `which` (C) at the intensities q (C, K), noise of variance one; NaN where they overflow.
Doubles terms_many(const WienerSeries& series, In<std::int64_t> which, int order, In<double> q, int threads) {
    series.check_order(order);
    series.check_which(which);
    check(q.ndim() == 2 && q.shape(0) == which.size(), "q is (C, K)");
    const std::size_t n = which.size(), count = q.shape(1);
    Doubles out = new_array({2, n, count});
    share_models(order, n, threads, [&](auto m, Stop&, int, std::size_t c) {
        constexpr int M = decltype(m)::value;
        const Rows rows = series.rows(static_cast<std::size_t>(which.data()[c]));
        const double* mine = q.data() + c * count;
        double *log_det = out.data() + c * count, *sse = log_det + n * count;
        for (std::size_t first = 0; first < count; first += Pack::size) {
            const std::size_t size = std::min<std::size_t>(Pack::size, count - first);
            Pack lanes(0.0);
            const Pack one(1.0);
            for (std::size_t k = 0; k < Pack::size; ++k) lanes.set(static_cast<int>(k), mine[first + std::min(k, size - 1)]);
            Likelihood<Pack> l;
            const bool is_sound = run_filter<Pack, M>(rows, lanes, &one, &l, NoStates{}).outcome == Outcome::ok;
            for (std::size_t k = 0; k < size; ++k) {
                Likelihood<double> single;  // a lane that overflows ends the others, too
                const double unit = 1.0;
                bool is_known = is_sound;
                if (is_sound) {
                    single.log_det = l.log_det.get(static_cast<int>(k));
                    single.sse = l.sse.get(static_cast<int>(k));
                } else {
                    is_known = run_filter<double, M>(rows, mine[first + k], &unit, &single, NoStates{}).outcome == Outcome::ok;
                }
                log_det[first + k] = is_known ? single.log_det : std::numeric_limits<double>::quiet_NaN();
                sse[first + k] = is_known ? single.sse : std::numeric_limits<double>::quiet_NaN();
            }
        }
    });
    return out;
}

// Where the moments of one curve are asked for.
struct Asked {
    Rows rows;
    const double* x;
    double x_unit;
    int deriv;
    const double* at;
    std::size_t count;
};

// Posterior moments of a curve at one intensity after another, for noise of variance one; eight are computed side by side.
class CurveMoments {
public:
    std::vector<double> mean, variance, sse;  // (points, nodes) twice, and (nodes)

    CurveMoments(std::size_t longest, int order, std::size_t n_nodes, std::size_t count)
        : mean(n_nodes * count), variance(n_nodes * count), sse(n_nodes), lanes_(2 * longest * packed_width(order)),
          states_(2 * longest * packed_width(order)), nodes_(2 * longest), lane_mean_(count), lane_variance_(count), one_mean_(count),
          one_variance_(count) {}

    // NaN where the curve fails.
    template <int M>
    void compute(const Asked& asked, const std::vector<double>& q) {
        const std::size_t count = asked.count, n = q.size();
        for (std::size_t first = 0; first < n; first += Pack::size) {
            const std::size_t size = std::min<std::size_t>(Pack::size, n - first);
            Pack lanes(0.0), sums(0.0);
            for (std::size_t k = 0; k < Pack::size; ++k) lanes.set(static_cast<int>(k), q[first + std::min(k, size - 1)]);
            if (!run<Pack, M>(asked, lanes, lanes_, lane_mean_, lane_variance_, sums)) {
                for (std::size_t k = 0; k < size; ++k) one<M>(asked, q[first + k], first + k, n);
                continue;
            }
            for (std::size_t k = 0; k < size; ++k) {
                const int lane = static_cast<int>(k);
                sse[first + k] = sums.get(lane);
                for (std::size_t j = 0; j < count; ++j) {
                    mean[j * n + first + k] = lane_mean_[j].get(lane);
                    variance[j * n + first + k] = lane_variance_[j].get(lane);
                }
            }
        }
    }

private:
    std::vector<Pack> lanes_;
    std::vector<double> states_, nodes_;
    std::vector<Pack> lane_mean_, lane_variance_;
    std::vector<double> one_mean_, one_variance_;

    template <class Real, int M>
    bool run(const Asked& asked, const Real& q, std::vector<Real>& states, std::vector<Real>& to_mean, std::vector<Real>& to_variance,
             Real& sum) {
        return predict_curve<Real, M>(asked.rows, asked.x, asked.x_unit, q, Real(1.0), asked.deriv,
                                      static_cast<std::int64_t>(asked.count), asked.at, states.data(), nodes_.data(),
                                      to_mean.data(), to_variance.data(), &sum)
                   .outcome == Outcome::ok;
    }

    template <int M>
    void one(const Asked& asked, double q, std::size_t place, std::size_t n) {
        constexpr double unknown = std::numeric_limits<double>::quiet_NaN();
        double sum = 0.0;
        const bool is_known = run<double, M>(asked, q, states_, one_mean_, one_variance_, sum);
        sse[place] = is_known ? sum : unknown;
        for (std::size_t j = 0; j < asked.count; ++j) {
            mean[j * n + place] = is_known ? one_mean_[j] : unknown;
            variance[j * n + place] = is_known ? one_variance_[j] : unknown;
        }
    }
};

// (4, C, G): of the series `which` (C), means and variances of f^(deriv) at `at` (G) and the first intensity of q (C, 1 + L), which is
// relative to the variance of the noise; then quantiles of the levels p and 1 - p, the other intensities being nodes of weights (C, L).
// The variance of the noise is `sigma2` (C); if that is zero, it is estimated at each node. `score` is the quantile of level p of the
// law of f given a node.
Doubles intervals_many(const WienerSeries& series, In<std::int64_t> which, In<double> x, In<double> x_unit, int order, In<double> q,
                       In<double> weights, In<double> sigma2, int wanted, In<double> at, const StandardTable& law, double p,
                       double score, int threads) {
    series.check_order(order);
    series.check_which(which);
    const std::size_t n = which.size(), count = at.size(), n_nodes = weights.ndim() == 2 ? weights.shape(1) : 0;
    check(q.ndim() == 2 && q.shape(0) == n && q.shape(1) == n_nodes + 1, "q is (C, 1 + L)");
    check(weights.ndim() == 2 && weights.shape(0) == n && sigma2.size() == n, "weights are (C, L) and sigma2 (C)");
    check(x.size() == series.all.size() && x_unit.size() == series.count(), "arrays differ in length");
    check(wanted >= 0 && wanted < order, "deriv is not below the order");
    check(p > 0.0 && p <= 0.5, "p is not above 0 and at most 1/2");
    threads = useful_threads(n, threads);
    constexpr double close = 1e-6;  // nodes are right to a hundredth of a half-width
    struct Buffers {
        CurveMoments moments;
        std::vector<double> q, weight, scale, sd, inverse, mirrored;  // of their full length: nothing is allocated later

        Buffers(std::size_t longest, int order, std::size_t n_nodes, std::size_t count)
            : moments(longest, order, n_nodes, count), q(n_nodes), weight(n_nodes), scale(n_nodes), sd(n_nodes), inverse(n_nodes),
              mirrored(n_nodes) {}
    };
    std::vector<Buffers> buffers;
    for (int t = 0; t < threads; ++t) buffers.emplace_back(series.longest(), order, n_nodes + 1, count);
    Doubles out = new_array({4, n, count});
    share_models(order, n, threads, [&](auto m, Stop&, int thread, std::size_t c) {
        Buffers& b = buffers[thread];
        const auto s = static_cast<std::size_t>(which.data()[c]);
        const Asked asked{series.rows(s), x.data() + series.start.data()[s], x_unit.data()[s], wanted, at.data(), count};
        b.q.assign(1, q.data()[c * (n_nodes + 1)]);
        b.weight.clear();
        for (std::size_t l = 0; l < n_nodes; ++l) {
            if (weights.data()[c * n_nodes + l] == 0.0) continue;
            b.q.push_back(q.data()[c * (n_nodes + 1) + 1 + l]);
            b.weight.push_back(weights.data()[c * n_nodes + l]);
        }
        b.moments.compute<decltype(m)::value>(asked, b.q);
        const std::size_t kept = b.q.size();
        b.scale.resize(kept);
        for (std::size_t l = 0; l < kept; ++l)
            b.scale[l] = sigma2.data()[c] > 0.0 ? sigma2.data()[c] : b.moments.sse[l] / static_cast<double>(asked.rows.n - order);
        for (std::size_t j = 0; j < count; ++j) {
            const double *mean = b.moments.mean.data() + j * kept, *variance = b.moments.variance.data() + j * kept;
            double* to = out.data() + c * count + j;
            to[0] = mean[0];
            to[n * count] = variance[0] * b.scale[0];
            for (std::size_t l = 1; l < kept; ++l) {
                b.sd[l] = std::sqrt(variance[l] * b.scale[l]);
                b.inverse[l] = 1.0 / b.sd[l];
            }
            interval(law.view(),
                     {mean + 1, b.sd.data() + 1, b.inverse.data() + 1, b.weight.data(), static_cast<std::int64_t>(kept - 1)}, p,
                     score, close, b.mirrored.data(), to + 2 * n * count, to + 3 * n * count);
        }
    });
    return out;
}

}  // namespace

void bind_many(nb::module_& module) {
    nb::class_<WienerSeries>(module, "WienerSeries").def(nb::init<In<std::int64_t>, const WienerRows&>(), "start"_a, "rows"_a);
    nb::class_<Settings>(module, "SearchSettings")
        .def(nb::init<double, double, double, double, double, double, double, double, double, int, int, In<double>>(),
             nb::kw_only(),
             "limit"_a, "coarse"_a, "exact_sd"_a, "decrement"_a, "near"_a, "level"_a, "hopeless"_a, "flat"_a, "longest_step"_a,
             "grid"_a, "max_iterations"_a, "interpolation"_a);
    module.def("fit_many", &fit_many, "series"_a, "design_ratio"_a, "order"_a, "scale_free"_a, "settings"_a, "threads"_a);
    module.def("predict_many", &predict_many, "series"_a, "x"_a, "x_unit"_a, "order"_a, "q"_a, "sigma2"_a, "wanted"_a, "at"_a,
         "threads"_a);
    module.def("terms_many", &terms_many, "series"_a, "which"_a, "order"_a, "q"_a, "threads"_a);
    module.def("intervals_many", &intervals_many, "series"_a, "which"_a, "x"_a, "x_unit"_a, "order"_a, "q"_a, "weights"_a, "sigma2"_a,
         "wanted"_a, "at"_a, "law"_a, "p"_a, "score"_a, "threads"_a);
    module.def("sum_many_second", &sum_many_second, "series"_a, "order"_a, "q"_a, "threads"_a);
}
