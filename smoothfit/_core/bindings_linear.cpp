// The linear Gaussian kernels (linear.hpp) and exact discretisation (discretize.hpp) as Python functions.
#include "bindings.hpp"

#include <array>
#include <limits>
#include <type_traits>

#include "discretize.hpp"
#include "linear.hpp"
#include "linear_smoother.hpp"
#include "scalar.hpp"

using namespace smoothfit;

namespace {

constexpr int max_state = 6;

struct Sizes {
    std::size_t n, n_readings, n_inputs, n_states, n_classes, width;
};

// Checks what every kernel takes: T and Q (classes, M, M, 1 + N), G (classes, M, K, 1 + N), variance (R, 1 + N), by their shapes.
Sizes check_sizes(const In<std::int32_t>& step, const In<double>& u, const In<double>& y, const In<double>& ratio,
                  const In<std::uint8_t>& component, const std::array<std::size_t, 4>& T, const std::array<std::size_t, 4>& Q,
                  const std::array<std::size_t, 4>& G, const std::array<std::size_t, 2>& variance) {
    check(y.ndim() == 2 && y.shape(0) > 0 && y.shape(1) > 0, "y is (n, readings)");
    const Sizes s{y.shape(0), y.shape(1), G[2], T[1], T[0], T[3]};
    check(s.n_states >= 1 && s.n_states <= max_state && T[2] == s.n_states, "T is (classes, M, M, 1 + N)");
    check(Q == T, "Q is shaped as T");
    check(G[0] == s.n_classes && G[1] == s.n_states && G[3] == s.width, "G is (classes, M, inputs, 1 + N)");
    check(variance[0] == s.n_readings && variance[1] == s.width, "variance is (readings, 1 + N)");
    check(step.size() == s.n, "step is (n,)");
    check(u.ndim() == 2 && u.shape(0) == s.n && u.shape(1) == s.n_inputs, "u is (n, inputs)");
    check(ratio.ndim() == 2 && ratio.shape(0) == s.n && ratio.shape(1) == s.n_readings, "ratio is shaped as y");
    check(component.size() == s.n_readings, "component is (readings,)");
    for (std::size_t r = 0; r < s.n_readings; ++r) check(component.data()[r] < s.n_states, "component is out of range");
    for (std::size_t i = 0; i < s.n; ++i)
        check(step.data()[i] < static_cast<std::int64_t>(s.n_classes), "step is out of range");
    return s;
}

Sizes check_sizes(const In<std::int32_t>& step, const In<double>& u, const In<double>& y, const In<double>& ratio,
                  const In<std::uint8_t>& component, const In<double>& T, const In<double>& Q, const In<double>& G,
                  const In<double>& variance) {
    check(T.ndim() == 4 && Q.ndim() == 4 && G.ndim() == 4 && variance.ndim() == 2, "T, Q, G are 4-d, variance 2-d");
    return check_sizes(step, u, y, ratio, component, {T.shape(0), T.shape(1), T.shape(2), T.shape(3)},
                       {Q.shape(0), Q.shape(1), Q.shape(2), Q.shape(3)}, {G.shape(0), G.shape(1), G.shape(2), G.shape(3)},
                       {variance.shape(0), variance.shape(1)});
}

LinearRows rows_of(const Sizes& s, const In<std::int32_t>& step, const In<double>& u, const In<double>& y,
                   const In<double>& ratio, const In<std::uint8_t>& component) {
    return {static_cast<std::int64_t>(s.n), step.data(), u.data(), y.data(), ratio.data(), component.data(),
            static_cast<int>(s.n_inputs), static_cast<int>(s.n_readings)};
}

template <int N>
using Scalar = std::conditional_t<N == 0, double, Dual<double, N == 0 ? 1 : N>>;

// Takes filtered states and keeps none; one type, so that the filter is compiled once for all that want its sums alone.
struct Nowhere {
    template <class State>
    void operator()(std::int64_t, const State&) const {}
};

template <int N>
nb::tuple run(const Sizes& s, const LinearRows& rows, const LinearSteps& steps, bool keep) {
    using Real = Scalar<N>;
    LinearSums<Real> sums;
    Doubles innovations = new_array({keep ? s.n : 0, s.n_readings, s.width});
    Doubles variances = new_array({keep ? s.n : 0, s.n_readings, s.width});
    double* v = keep ? innovations.data() : nullptr;
    double* f = keep ? variances.data() : nullptr;
    for (std::size_t i = 0; keep && i < innovations.size(); ++i)
        v[i] = f[i] = std::numeric_limits<double>::quiet_NaN();
    run_unlocked([&] {
        return with_size<1, max_state>(static_cast<int>(s.n_states), [&](auto m) {
            return run_linear<Real, decltype(m)::value>(rows, steps, &sums, v, f, Nowhere());
        });
    });
    Doubles values = new_array({2, s.width});
    store(sums.log_det, values.data());
    store(sums.sse, values.data() + s.width);
    Doubles information = new_array({2, static_cast<std::size_t>(N), static_cast<std::size_t>(N)});
    for (int i = 0; i < N; ++i)
        for (int j = 0; j < N; ++j) {
            information.data()[i * N + j] = i < j ? sums.of_mean[j][i] : sums.of_mean[i][j];
            information.data()[(N + i) * N + j] = i < j ? sums.of_variance[j][i] : sums.of_variance[i][j];
        }
    return nb::make_tuple(values, information, sums.n_used, sums.n_flat, sums.n_unknown, innovations, variances);
}

// ((2, 1 + N) log determinant and sum of squares with derivatives, (2, N, N) information, observations used, observations that flat
// directions took up, flat directions left, innovations and their variances (n, R, 1 + N) where asked for).
Tuple<Doubles, Doubles, int, int, int, Doubles, Doubles> linear_likelihood(In<std::int32_t> step, In<double> u, In<double> y,
    In<double> ratio, In<std::uint8_t> component, In<double> T, In<double> Q, In<double> G, In<double> variance, bool keep) {
    const Sizes s = check_sizes(step, u, y, ratio, component, T, Q, G, variance);
    const LinearRows rows = rows_of(s, step, u, y, ratio, component);
    const LinearSteps steps{T.data(), Q.data(), G.data(), variance.data()};
    switch (s.width) {
        case 1: return run<0>(s, rows, steps, keep);
        case 4: return run<3>(s, rows, steps, keep);
        case 6: return run<5>(s, rows, steps, keep);
        case 9: return run<8>(s, rows, steps, keep);
        case 17: return run<16>(s, rows, steps, keep);
        default: check(false, "N is 0, 3, 5, 8 or 16"); return nb::tuple();
    }
}

template <int N>
nb::tuple run_many(std::size_t count, const Sizes& s, const LinearRows& rows, const LinearSteps& all) {
    using Real = Scalar<N>;
    Doubles values = new_array({count, 2, s.width});
    Doubles information = new_array({count, N, N});
    std::int64_t n_used = 0;
    {
        nb::gil_scoped_release release;
        const std::size_t square = s.n_classes * s.n_states * s.n_states * s.width;
        const std::size_t driven = s.n_classes * s.n_states * s.n_inputs * s.width;
        for (std::size_t l = 0; l < count; ++l) {
            const LinearSteps steps{all.T + l * square, all.Q + l * square, all.G + l * driven,
                                    all.variance + l * s.n_readings * s.width};
            LinearSums<Real> sums;
            Status status = with_size<1, max_state>(static_cast<int>(s.n_states), [&](auto m) {
                return run_linear<Real, decltype(m)::value>(rows, steps, &sums, nullptr, nullptr, Nowhere());
            });
            double* at = values.data() + l * 2 * s.width;
            if (status.outcome == Outcome::ok && sums.n_unknown == 0) {
                store(sums.log_det, at);
                store(sums.sse, at + s.width);
                n_used = sums.n_used;
            } else {
                for (std::size_t i = 0; i < 2 * s.width; ++i) at[i] = std::numeric_limits<double>::quiet_NaN();
            }
            for (int i = 0; i < N; ++i)
                for (int j = 0; j < N; ++j)
                    information.data()[(l * N + i) * N + j] = i < j ? sums.of_mean[j][i] : sums.of_mean[i][j];
        }
    }
    return nb::make_tuple(values, information, n_used);
}

// As linear_likelihood at L parameters: T, Q, G and variance have a leading axis, and the sums (L, 2, 1 + N) are NaN where the filter
// stops or states stay unknown; sum dv dv' / F (L, N, N), observations used.
Tuple<Doubles, Doubles, int> linear_likelihoods(In<std::int32_t> step, In<double> u, In<double> y, In<double> ratio,
                                               In<std::uint8_t> component, In<double> T, In<double> Q, In<double> G, In<double> variance) {
    check(T.ndim() == 5 && Q.ndim() == 5 && G.ndim() == 5 && variance.ndim() == 3, "T, Q, G are 5-d, variance 3-d");
    const std::size_t count = T.shape(0);
    check(Q.shape(0) == count && G.shape(0) == count && variance.shape(0) == count, "T, Q, G and variance differ in length");
    const Sizes s = check_sizes(step, u, y, ratio, component, {T.shape(1), T.shape(2), T.shape(3), T.shape(4)},
                                {Q.shape(1), Q.shape(2), Q.shape(3), Q.shape(4)},
                                {G.shape(1), G.shape(2), G.shape(3), G.shape(4)}, {variance.shape(1), variance.shape(2)});
    const LinearRows rows = rows_of(s, step, u, y, ratio, component);
    const LinearSteps steps{T.data(), Q.data(), G.data(), variance.data()};
    switch (s.width) {
        case 4: return run_many<3>(count, s, rows, steps);
        case 6: return run_many<5>(count, s, rows, steps);
        case 9: return run_many<8>(count, s, rows, steps);
        case 17: return run_many<16>(count, s, rows, steps);
        default: check(false, "N is 3, 5, 8 or 16"); return nb::tuple();
    }
}

// Posterior means (n, M) and covariances (n, M, M).
Tuple<Doubles, Doubles> linear_smooth(In<std::int32_t> step, In<double> u, In<double> y, In<double> ratio,
                                      In<std::uint8_t> component, In<double> T, In<double> Q, In<double> G, In<double> variance) {
    const Sizes s = check_sizes(step, u, y, ratio, component, T, Q, G, variance);
    check(s.width == 1, "smoothing takes no derivatives");
    const LinearRows rows = rows_of(s, step, u, y, ratio, component);
    const LinearSteps steps{T.data(), Q.data(), G.data(), variance.data()};
    const std::size_t m = s.n_states;
    Doubles mean = new_array({s.n, m}), covariance = new_array({s.n, m, m});
    std::unique_ptr<double[]> filtered(new double[s.n * (m + 2 * m * m + 1)]);
    LinearSums<double> sums;
    run_unlocked([&] {
        return with_size<1, max_state>(static_cast<int>(m), [&](auto size) {
            constexpr int M = decltype(size)::value;
            Status result = run_linear<double, M>(rows, steps, &sums, nullptr, nullptr,
                                                  [&](std::int64_t i, const LinearState<double, M>& state) {
                                                      pack_linear<M>(state, filtered.get() + i * linear_size<M>);
                                                  });
            if (result.outcome == Outcome::ok && sums.n_unknown > 0) result = {Outcome::unidentified, sums.n_unknown};
            if (result.outcome == Outcome::ok)
                result = smooth_linear<M>(rows, steps, filtered.get(), mean.data(), covariance.data());
            return result;
        });
    });
    return nb::make_tuple(mean, covariance);
}

template <class Real>
void step_matrices_of(const double* systems, const double* entry, const StepLayout& at, const double* steps, std::int64_t n,
                      std::int64_t count, double* out) {
    for (std::int64_t l = 0; l < count; ++l)
        step_matrices(reinterpret_cast<const Real*>(systems) + l * at.m * at.m, entry, at, steps, n,
                      reinterpret_cast<Real*>(out) + l * n * at.width());
}

// T, hold, ramp and Q of steps (C,), flattened side by side, (L, C, width, 1 + N), of systems (L, m, m, 1 + N) with an entry (m, p);
// N = 0 or 1 derivatives along a change of each system. Ramp and Q only where they are asked for.
Doubles discretize(In<double> systems, In<double> entry, In<double> steps, bool ramp, bool noise) {
    check(systems.ndim() == 4 && systems.shape(1) == systems.shape(2) && systems.shape(1) > 0, "systems are (L, m, m, 1 + N)");
    check(entry.ndim() == 2 && entry.shape(0) == systems.shape(1) && entry.shape(1) > 0, "entry is (m, p)");
    check(steps.ndim() == 1, "steps are (C,)");
    const std::size_t count = systems.shape(0), n = steps.shape(0), width = systems.shape(3);
    check(width == 1 || width == 2, "N is 0 or 1");
    const StepLayout at{static_cast<int>(entry.shape(0)), static_cast<int>(entry.shape(1)), ramp, noise};
    Doubles result = new_array({count, n, static_cast<std::size_t>(at.width()), width});
    {
        nb::gil_scoped_release release;
        const auto fill = width == 1 ? step_matrices_of<double> : step_matrices_of<Scalar<1>>;
        fill(systems.data(), entry.data(), at, steps.data(), static_cast<std::int64_t>(n), static_cast<std::int64_t>(count),
             result.data());
    }
    return result;
}

}  // namespace

void bind_linear(nb::module_& module) {
    module.def("linear_likelihood", &linear_likelihood, "step"_a, "u"_a, "y"_a, "ratio"_a, "component"_a, "T"_a, "Q"_a, "G"_a,
         "variance"_a, "keep"_a);
    module.def("linear_likelihoods", &linear_likelihoods, "step"_a, "u"_a, "y"_a, "ratio"_a, "component"_a, "T"_a, "Q"_a, "G"_a,
         "variance"_a);
    module.def("linear_smooth", &linear_smooth, "step"_a, "u"_a, "y"_a, "ratio"_a, "component"_a, "T"_a, "Q"_a, "G"_a,
         "variance"_a);
    module.def("discretize", &discretize, "systems"_a, "entry"_a, "steps"_a, "ramp"_a, "noise"_a);
}
