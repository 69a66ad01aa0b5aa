// The linear Gaussian kernels (linear.hpp) as Python functions.
#include "bindings.hpp"

#include <type_traits>

#include "linear.hpp"
#include "scalar.hpp"

using namespace smoothfit;

namespace {

constexpr int max_state = 6;

struct Sizes {
    std::size_t n, n_readings, n_inputs, n_states, n_classes, width;
};

// Checks what every kernel takes: T and Q (classes, M, M, 1 + N), G (classes, M, K, 1 + N), variance (R, 1 + N).
Sizes check_sizes(const In<std::int32_t>& step, const In<double>& u, const In<double>& y, const In<double>& ratio,
                  const In<std::uint8_t>& component, const In<double>& T, const In<double>& Q, const In<double>& G,
                  const In<double>& variance) {
    check(y.ndim() == 2 && y.shape(0) > 0 && y.shape(1) > 0, "y is (n, readings)");
    check(T.ndim() == 4 && Q.ndim() == 4 && G.ndim() == 4 && variance.ndim() == 2, "T, Q, G are 4-d, variance 2-d");
    const Sizes s{y.shape(0), y.shape(1), G.shape(2), T.shape(1), T.shape(0), T.shape(3)};
    check(s.n_states >= 1 && s.n_states <= max_state && T.shape(2) == s.n_states, "T is (classes, M, M, 1 + N)");
    check(Q.shape(0) == s.n_classes && Q.shape(1) == s.n_states && Q.shape(2) == s.n_states && Q.shape(3) == s.width,
          "Q is shaped as T");
    check(G.shape(0) == s.n_classes && G.shape(1) == s.n_states && G.shape(3) == s.width, "G is (classes, M, inputs, 1 + N)");
    check(variance.shape(0) == s.n_readings && variance.shape(1) == s.width, "variance is (readings, 1 + N)");
    check(step.size() == s.n, "step is (n,)");
    check(u.ndim() == 2 && u.shape(0) == s.n && u.shape(1) == s.n_inputs, "u is (n, inputs)");
    check(ratio.ndim() == 2 && ratio.shape(0) == s.n && ratio.shape(1) == s.n_readings, "ratio is shaped as y");
    check(component.size() == s.n_readings, "component is (readings,)");
    for (std::size_t r = 0; r < s.n_readings; ++r) check(component.data()[r] < s.n_states, "component is out of range");
    for (std::size_t i = 0; i < s.n; ++i)
        check(step.data()[i] < static_cast<std::int64_t>(s.n_classes), "step is out of range");
    return s;
}

LinearRows rows_of(const Sizes& s, const In<std::int32_t>& step, const In<double>& u, const In<double>& y,
                   const In<double>& ratio, const In<std::uint8_t>& component) {
    return {static_cast<std::int64_t>(s.n), step.data(), u.data(), y.data(), ratio.data(), component.data(),
            static_cast<int>(s.n_inputs), static_cast<int>(s.n_readings)};
}

template <int N>
using Scalar = std::conditional_t<N == 0, double, Dual<double, N == 0 ? 1 : N>>;

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
    Status status;
    {
        nb::gil_scoped_release release;
        status = with_size<1, max_state>(static_cast<int>(s.n_states), [&](auto m) {
            return run_linear<Real, decltype(m)::value>(rows, steps, &sums, v, f, [](std::int64_t, const auto&) {});
        });
    }
    raise_unless_ok(status);
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

// ((2, 1 + N) log determinant and sum of squares with derivatives, (2, N, N) information, readings used, readings that flat
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
    Status status;
    {
        nb::gil_scoped_release release;
        status = with_size<1, max_state>(static_cast<int>(m), [&](auto size) {
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
    }
    raise_unless_ok(status);
    return nb::make_tuple(mean, covariance);
}

}  // namespace

void bind_linear(nb::module_& module) {
    module.def("linear_likelihood", &linear_likelihood, "step"_a, "u"_a, "y"_a, "ratio"_a, "component"_a, "T"_a, "Q"_a, "G"_a,
         "variance"_a, "keep"_a);
    module.def("linear_smooth", &linear_smooth, "step"_a, "u"_a, "y"_a, "ratio"_a, "component"_a, "T"_a, "Q"_a, "G"_a,
         "variance"_a);
}
