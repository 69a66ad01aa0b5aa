// The state space kernels (filter.hpp, smoother.hpp) as Python functions.
#include "bindings_rows.hpp"

#include <cstring>
#include <utility>

#include "scalar.hpp"
#include "smoother.hpp"

using namespace smoothfit;

namespace {

template <class Real>
Status run_likelihood(int order, const Rows& rows, const Real& q, const Real* sigma2, Likelihood<Real>* out) {
    nb::gil_scoped_release release;
    return with_model_order(order, [&](auto m) {
        return run_filter<Real, decltype(m)::value>(rows, q, sigma2, out, NoStates{});
    });
}

// q and sigma2 of eight candidates from `start` on; idle lanes repeat the last candidate.
struct Candidates {
    const double* q;
    const double* sigma2;
    std::size_t count, n_groups;

    std::size_t at(std::size_t start, int lane) const {
        const std::size_t candidate = start + static_cast<std::size_t>(lane);
        return candidate < count ? candidate : count - 1;
    }
    Pack q_of(std::size_t start) const {
        Pack pack;
        for (int k = 0; k < Pack::size; ++k) pack.set(k, q[at(start, k)]);
        return pack;
    }
    Pack sigma2_of(std::size_t start, std::size_t g) const {
        Pack pack;
        for (int k = 0; k < Pack::size; ++k) pack.set(k, sigma2[at(start, k) * n_groups + g]);
        return pack;
    }
    // Writes the lanes that are not idle to row `row` of a (rows, count) array.
    void store(const Pack& values, std::size_t start, std::size_t row, double* out) const {
        for (int k = 0; k < Pack::size && start + k < count; ++k) out[row * count + start + k] = values.get(k);
    }
};

Candidates make_candidates(const In<double>& q, const In<double>& sigma2) {
    check(q.ndim() == 1 && sigma2.ndim() == 2 && sigma2.shape(0) == q.size(), "q is (L,) and sigma2 is (L, G)");
    check(sigma2.shape(1) <= max_groups, "too many groups");
    for (std::size_t i = 0; i < q.size(); ++i) check(q.data()[i] >= 0, "q is negative or NaN");
    for (std::size_t i = 0; i < sigma2.size(); ++i) check(sigma2.data()[i] > 0, "sigma2 is not positive");
    return {q.data(), sigma2.data(), q.size(), sigma2.shape(1)};
}

// (3, L): log_det, sse, end_log_det for each candidate; q (L,), sigma2 (L, G).
Doubles likelihood(const WienerRows& series, int order, In<double> q, In<double> sigma2) {
    const Candidates candidates = make_candidates(q, sigma2);
    const Rows rows = series.view(order, candidates.n_groups);
    Doubles out = new_array({3, candidates.count});
    if (candidates.count == 1) {
        Likelihood<double> l;
        raise_unless_ok(run_likelihood(order, rows, candidates.q[0], candidates.sigma2, &l));
        out.data()[0] = l.log_det;
        out.data()[1] = l.sse;
        out.data()[2] = l.end_log_det;
        return out;
    }
    for (std::size_t start = 0; start < candidates.count; start += Pack::size) {
        Pack pack_sigma2[max_groups];
        for (std::size_t g = 0; g < candidates.n_groups; ++g) pack_sigma2[g] = candidates.sigma2_of(start, g);
        Likelihood<Pack> l;
        raise_unless_ok(run_likelihood(order, rows, candidates.q_of(start), pack_sigma2, &l));
        candidates.store(l.log_det, start, 0, out.data());
        candidates.store(l.sse, start, 1, out.data());
        candidates.store(l.end_log_det, start, 2, out.data());
    }
    return out;
}

// (4, L): log_det and sse of each candidate, and their derivatives by a common factor e^c of all its sigma2.
Doubles likelihood_noise(const WienerRows& series, int order, In<double> q, In<double> sigma2) {
    using D = PackSlope;
    const Candidates candidates = make_candidates(q, sigma2);
    const Rows rows = series.view(order, candidates.n_groups);
    Doubles out = new_array({4, candidates.count});
    for (std::size_t start = 0; start < candidates.count; start += Pack::size) {
        D dual_q(0.0), dual_sigma2[max_groups];
        dual_q.re = candidates.q_of(start);
        for (std::size_t g = 0; g < candidates.n_groups; ++g) {
            dual_sigma2[g].re = candidates.sigma2_of(start, g);
            dual_sigma2[g].eps[0] = dual_sigma2[g].re;
        }
        Likelihood<D> l;
        raise_unless_ok(run_likelihood(order, rows, dual_q, dual_sigma2, &l));
        candidates.store(l.log_det.re, start, 0, out.data());
        candidates.store(l.sse.re, start, 1, out.data());
        candidates.store(l.log_det.eps[0], start, 2, out.data());
        candidates.store(l.sse.eps[0], start, 3, out.data());
    }
    return out;
}

// Raises KernelError("unidentified", mask) where the observations leave part of the state undetermined.
void require_identified(const WienerRows& series, int order, In<double> sigma2) {
    const Rows rows = series.view(order, sigma2.size());
    raise_unless_ok(with_order(
        order, [&](auto m) { return check_identified<decltype(m)::value>(rows, sigma2.data()); }));
}

// Derivatives along `count` directions of (log q, log sigma2) starting at `first`, N at a time.
template <int N>
Status gradient_block(int order, const Rows& rows, double q, const double* sigma2, std::size_t n_groups,
                      const double* directions, std::size_t first, std::size_t count, double* out) {
    using D = Slopes<N>;
    D dual_q(q), dual_sigma2[max_groups];
    const std::size_t width = 1 + n_groups;
    for (int k = 0; k < N; ++k) dual_q.eps[k] = q * directions[(first + k) * width];
    for (std::size_t g = 0; g < n_groups; ++g) {
        dual_sigma2[g] = D(sigma2[g]);
        for (int k = 0; k < N; ++k) dual_sigma2[g].eps[k] = sigma2[g] * directions[(first + k) * width + 1 + g];
    }
    Likelihood<D> l;
    const Status status = run_likelihood(order, rows, dual_q, dual_sigma2, &l);
    if (status.outcome != Outcome::ok) return status;
    const D* parts[3] = {&l.log_det, &l.sse, &l.end_log_det};
    for (int part = 0; part < 3; ++part) {
        out[part * (1 + count)] = parts[part]->re;
        for (int k = 0; k < N; ++k) out[part * (1 + count) + 1 + first + k] = parts[part]->eps[k];
    }
    return status;
}

// (3, 1 + p): values and exact derivatives along p directions; directions (p, 1 + G) in (log q, log sigma2).
Doubles likelihood_gradient(const WienerRows& series, int order, double q, In<double> sigma2, In<double> directions) {
    check(directions.ndim() == 2, "directions is (p, 1 + G)");
    const std::size_t n_groups = sigma2.size(), count = directions.shape(0);
    check(n_groups <= max_groups, "too many groups");
    check(directions.shape(1) == 1 + n_groups && count > 0, "directions is (p, 1 + G)");
    const Rows rows = series.view(order, n_groups);
    Doubles out = new_array({3, 1 + count});
    for (std::size_t first = 0; first < count;) {
        const std::size_t left = count - first;
        const auto run = left >= 3 ? gradient_block<3> : left == 2 ? gradient_block<2> : gradient_block<1>;
        raise_unless_ok(run(order, rows, q, sigma2.data(), n_groups, directions.data(), first, count, out.data()));
        first += left >= 3 ? 3 : left;
    }
    return out;
}

// x exp(a s + b t) at s = t = 0 as a nested dual: value x, derivatives a x and b x, mixed second derivative a b x.
Curvature twice_differentiated(double x, double a, double b) {
    Curvature d(x);
    d.re.eps[0] = a * x;
    d.eps[0].re = b * x;
    d.eps[0].eps[0] = a * b * x;
    return d;
}

// (3, L, 1 + a + a b): of each candidate values, derivatives along a directions, and second derivatives along them and b others (C
// order); q (L,), sigma2 (L, G), directions (a, 1 + G) and others (b, 1 + G) in (log q, log sigma2).
Doubles likelihood_second(const WienerRows& series, int order, In<double> q, In<double> sigma2, In<double> directions,
                          In<double> others) {
    using D = Curvature;
    const Candidates candidates = make_candidates(q, sigma2);
    const std::size_t n_groups = candidates.n_groups, width = 1 + n_groups;
    check(directions.ndim() == 2 && directions.shape(1) == width && directions.shape(0) > 0, "directions is (a, 1 + G)");
    check(others.ndim() == 2 && others.shape(1) == width && others.shape(0) > 0, "others is (b, 1 + G)");
    const std::size_t n_first = directions.shape(0), n_second = others.shape(0);
    const bool symmetric = directions.data() == others.data() && n_first == n_second;
    const Rows rows = series.view(order, n_groups);
    const std::size_t stride = 1 + n_first + n_first * n_second;
    Doubles out = new_array({3, candidates.count, stride});
    const auto at_candidate = [&](std::size_t l, std::size_t i, std::size_t j) {
        const double* a = directions.data() + i * width;
        const double* b = others.data() + j * width;
        D dual_sigma2[max_groups];
        for (std::size_t g = 0; g < n_groups; ++g)
            dual_sigma2[g] = twice_differentiated(candidates.sigma2[l * n_groups + g], a[1 + g], b[1 + g]);
        Likelihood<D> found;
        raise_unless_ok(run_likelihood(order, rows, twice_differentiated(candidates.q[l], a[0], b[0]), dual_sigma2, &found));
        const D* parts[3] = {&found.log_det, &found.sse, &found.end_log_det};
        for (std::size_t part = 0; part < 3; ++part) {
            double* row = out.data() + (part * candidates.count + l) * stride;
            row[0] = parts[part]->re.re;
            row[1 + i] = parts[part]->re.eps[0];
            row[1 + n_first + i * n_second + j] = parts[part]->eps[0].eps[0];
            if (symmetric) row[1 + n_first + j * n_second + i] = parts[part]->eps[0].eps[0];
        }
    };
    for (std::size_t l = 0; l < candidates.count; ++l)
        for (std::size_t i = 0; i < n_first; ++i)
            for (std::size_t j = 0; j < (symmetric ? i + 1 : n_second); ++j) at_candidate(l, i, j);
    return out;
}

// Filtered states of all nodes, packed: (n_nodes, order + order (order + 1) / 2).
Doubles filter(const WienerRows& series, int order, double q, In<double> sigma2) {
    const Rows rows = series.view(order, sigma2.size());
    std::size_t nodes = 1;
    for (std::int64_t i = 1; i < rows.n; ++i) nodes += rows.delta[i] > 0;
    Doubles out = new_array({nodes, packed_width(order)});
    double* states = out.data();
    Likelihood<double> l;
    run_unlocked([&] {
        return with_order(order, [&](auto m) {
            constexpr int M = decltype(m)::value;
            return run_filter<double, M>(rows, q, sigma2.data(), &l, PackedStates<double>{states});
        });
    });
    return out;
}

// Posterior of all nodes from filtered states, packed.
Doubles smooth_nodes(In<double> gap, int order, double q, In<double> filtered) {
    const std::size_t n = count_states(filtered, order);
    check(n == gap.size() + 1, "filtered is one node longer than gap");
    Doubles out = new_array({n, packed_width(order)});
    nb::gil_scoped_release release;
    with_order(order, [&](auto m) {
        smooth<double, decltype(m)::value>(static_cast<std::int64_t>(n), gap.data(), q, filtered.data(),
                                           out.data());
    });
    return out;
}

// Derivatives order .. 2 order - 1 of the posterior mean just left of nodes 1, 2, ...: (n - 1, order).
Doubles higher_derivatives_of(In<double> gap, int order, double q, In<double> filtered, In<double> posterior) {
    const std::size_t size = packed_width(order), n = count_states(filtered, order);
    check(n == gap.size() + 1, "filtered is one node longer than gap");
    check(count_states(posterior, order) == n, "posterior is shaped as filtered");
    Doubles out = new_array({n - 1, static_cast<std::size_t>(order)});
    nb::gil_scoped_release release;
    with_order(order, [&](auto m) {
        constexpr int M = decltype(m)::value;
        for (std::size_t i = 0; i + 1 < n; ++i) {
            higher_derivatives<double, M>(filtered.data() + i * size, posterior.data() + (i + 1) * size, gap.data()[i], q,
                                          out.data() + i * M);
        }
    });
    return out;
}

// Variances of f^(k), k < order, from packed posteriors: (n, order).
Doubles variances(int order, In<double> posterior) {
    const std::size_t size = packed_width(order), n = count_states(posterior, order);
    Doubles out = new_array({n, static_cast<std::size_t>(order)});
    with_order(order, [&](auto m) {
        constexpr int M = decltype(m)::value;
        for (std::size_t i = 0; i < n; ++i)
            for (int k = 0; k < M; ++k)
                out.data()[i * M + k] = packed_variance<double, M>(posterior.data() + i * size, k);
    });
    return out;
}

// Posterior at any x: left[i] the node at or before it (-1: none), ahead and behind the distances to the nodes.
Doubles predict_states(int order, double q, In<double> filtered, In<double> posterior, In<std::int64_t> left,
                       In<double> ahead, In<double> behind) {
    const std::size_t size = packed_width(order), n = count_states(filtered, order), count = left.size();
    check(n > 0 && count_states(posterior, order) == n, "posterior is shaped as filtered, with a node or more");
    check(ahead.size() == count && behind.size() == count, "left, ahead and behind differ in length");
    for (std::size_t i = 0; i < count; ++i) {
        check(left.data()[i] >= -1 && left.data()[i] < static_cast<std::int64_t>(n), "left is out of range");
    }
    Doubles out = new_array({count, size});
    nb::gil_scoped_release release;
    with_order(order, [&](auto m) {
        constexpr int M = decltype(m)::value;
        for (std::size_t i = 0; i < count; ++i) {
            predict<double, M>(static_cast<std::int64_t>(n), filtered.data(), posterior.data(), q, left.data()[i],
                               ahead.data()[i], behind.data()[i], out.data() + i * packed_size<M>);
        }
    });
    return out;
}

}  // namespace

void bind_statespace(nb::module_& module) {
    module.attr("MISSING") = static_cast<int>(Rows::missing);
    nb::class_<WienerRows>(module, "WienerRows")
        .def(nb::init<In<double>, In<std::uint8_t>, In<std::uint8_t>, In<double>, In<double>>(), "delta"_a, "deriv"_a,
             "group"_a, "y"_a, "ratio"_a);
    module.def("require_identified", &require_identified, "series"_a, "order"_a, "sigma2"_a);
    module.def("likelihood", &likelihood, "series"_a, "order"_a, "q"_a, "sigma2"_a);
    module.def("likelihood_noise", &likelihood_noise, "series"_a, "order"_a, "q"_a, "sigma2"_a);
    module.def("likelihood_gradient", &likelihood_gradient, "series"_a, "order"_a, "q"_a, "sigma2"_a, "directions"_a);
    module.def("likelihood_second", &likelihood_second, "series"_a, "order"_a, "q"_a, "sigma2"_a, "directions"_a, "others"_a);
    module.def("filter", &filter, "series"_a, "order"_a, "q"_a, "sigma2"_a);
    module.def("smooth", &smooth_nodes, "gap"_a, "order"_a, "q"_a, "filtered"_a);
    module.def("predict", &predict_states, "order"_a, "q"_a, "filtered"_a, "posterior"_a, "left"_a, "ahead"_a, "behind"_a);
    module.def("variances", &variances, "order"_a, "posterior"_a);
    module.def("higher_derivatives", &higher_derivatives_of, "gap"_a, "order"_a, "q"_a, "filtered"_a, "posterior"_a);
}
