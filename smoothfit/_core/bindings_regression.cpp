// The kernels of banded least squares (band.hpp) as Python functions.
#include "bindings.hpp"

#include <algorithm>
#include <limits>
#include <memory>
#include <vector>

#include "band.hpp"
#include "bindings_pieces.hpp"
#include "scalar.hpp"
#include "spline_rows.hpp"

using namespace smoothfit;

namespace {

using Tangent = Dual<double, 1>;

// The kernel of `fit_locally` for polynomials of a degree.
FitLocally* local_fit_of(int degree) {
    return with_degree(degree, [](auto q) { return &fit_locally<decltype(q)::value>; });
}

void check_rows(const In<double>& values, const In<std::int64_t>& first, std::size_t w) {
    check(values.ndim() == 2 && first.size() == values.shape(0), "values is (n, width) and first (n,)");
    check(values.shape(1) <= w, "a row is wider than the band");
}

// Factor (K, w) and right-hand side (K,) of rows added to those of a factor; their squares left over join `rest`, and what is left of
// each goes to `left` (n) unless that is null.
Tuple<Doubles, Doubles> absorbed(const In<double>& values, const In<std::int64_t>& first, const In<double>& rhs,
                                 const In<double>& factor, const In<double>& z, double* rest, double* left) {
    check(factor.ndim() == 2 && z.size() == factor.shape(0), "factor is (K, w) and z (K,)");
    const std::size_t K = factor.shape(0), w = factor.shape(1), n = first.size();
    check_rows(values, first, w);
    check(rhs.size() == n, "rhs is (n,)");
    Doubles R = new_array({K, w}), right = new_array({K});
    for (std::size_t i = 0; i < K * w; ++i) R.data()[i] = factor.data()[i];
    for (std::size_t i = 0; i < K; ++i) right.data()[i] = z.data()[i];
    std::vector<double> row(w);
    run_unlocked([&] {
        return absorb_rows(values.data(), first.data(), rhs.data(), static_cast<std::int64_t>(n),
                           static_cast<std::int64_t>(values.shape(1)), R.data(), right.data(), rest,
                           static_cast<std::int64_t>(K), static_cast<std::int64_t>(w), row.data(), left);
    });
    return nb::make_tuple(R, right);
}

// Factor (K, w), right-hand side (K,) and rest of rows added to those of a factor.
Tuple<Doubles, Doubles, double> absorb_rows_of(In<double> values, In<std::int64_t> first, In<double> rhs, In<double> factor,
                                               In<double> z, double rest) {
    const Tuple<Doubles, Doubles> found = absorbed(values, first, rhs, factor, z, &rest, nullptr);
    return nb::make_tuple(found[0], found[1], rest);
}

// Factor (K, w), right-hand side (K,) and recursive residuals (n,) of the same: what is left of each row that joins those before.
Tuple<Doubles, Doubles, Doubles> recursive_residuals_of(In<double> values, In<std::int64_t> first, In<double> rhs,
                                                        In<double> factor, In<double> z) {
    Doubles left = new_array({first.size()});
    double rest = 0.0;
    const Tuple<Doubles, Doubles> found = absorbed(values, first, rhs, factor, z, &rest, left.data());
    return nb::make_tuple(found[0], found[1], left);
}

// The same for observations y (n,) of a derivative of splines at increasing x (n,); `root` (n,) multiplies rows and observations,
// or is empty.
Tuple<Doubles, Doubles, double> absorb_spline_rows_of(In<double> x, In<double> y, In<double> root, In<double> knots,
                                                      In<double> breaks, In<std::int64_t> span, In<std::int32_t> cells,
                                                      int degree, int deriv, bool strict, std::size_t w) {
    const Pieces pieces = make_pieces(breaks, span, cells);
    check_spans(knots, pieces, degree);
    check(deriv >= 0 && deriv <= degree, "deriv is out of range");
    check(w > static_cast<std::size_t>(degree), "the band is narrower than a row");
    const std::size_t n = x.size(), K = knots.size() - static_cast<std::size_t>(degree) - 1;
    check(y.size() == n && (root.size() == n || root.size() == 0), "x, y and root differ in length");
    Doubles R = new_array({K, w}), z = new_array({K});
    for (std::size_t i = 0; i < K * w; ++i) R.data()[i] = 0.0;
    for (std::size_t i = 0; i < K; ++i) z.data()[i] = 0.0;
    double rest = 0.0;
    std::vector<double> row(w);
    FitLocally* const local_fit = local_fit_of(degree - deriv);
    run_unlocked([&] {
        return with_degree(degree, [&](auto d) {
            return absorb_spline_rows<decltype(d)::value>(x.data(), y.data(), root.size() ? root.data() : nullptr,
                                                          static_cast<std::int64_t>(n), knots.data(), pieces, deriv, strict,
                                                          local_fit, R.data(), z.data(), &rest, static_cast<std::int64_t>(K),
                                                          static_cast<std::int64_t>(w), row.data());
        });
    });
    return nb::make_tuple(R, z, rest);
}

void check_sources(const In<double>& sources, const In<double>& rhs) {
    check(sources.ndim() == 3 && rhs.ndim() == 2, "sources is (n_sources, K, w) and rhs (n_sources, K)");
    check(rhs.shape(0) == sources.shape(0) && rhs.shape(1) == sources.shape(1), "rhs is (n_sources, K)");
    check(sources.shape(2) > 0, "the band is empty");
}

void check_stack(const In<double>& sources, const In<double>& rhs, const In<double>& scale) {
    check_sources(sources, rhs);
    check(scale.size() == sources.shape(0), "scale is (n_sources,)");
}

// R, z, coef, band of the inverse, misfit, trace, log_det, rest.
Tuple<Doubles, Doubles, Doubles, Doubles, Doubles, Doubles, double, double> solve_stack_of(In<double> sources, In<double> rhs,
    In<double> scale) {
    check_stack(sources, rhs, scale);
    const std::size_t S = sources.shape(0), K = sources.shape(1), w = sources.shape(2);
    Doubles R = new_array({K, w}), z = new_array({K}), coef = new_array({K}), inverse = new_array({K, w}), misfit = new_array({S}),
            trace = new_array({S});
    std::vector<double> row(w), window(w * w);
    Stack<double> stack{R.data(),     z.data(),   coef.data(),   inverse.data(), misfit.data(),
                        trace.data(), row.data(), window.data(), 0.0,            0.0};
    run_unlocked([&] {
        return solve_stack(sources.data(), rhs.data(), scale.data(), static_cast<std::int64_t>(S), static_cast<std::int64_t>(K),
                           static_cast<std::int64_t>(w), stack);
    });
    return nb::make_tuple(R, z, coef, inverse, misfit, trace, stack.log_det, stack.rest);
}

// log_det (L,) and rest (L,) at scales (L, n_sources), and with `solved` misfit and trace (L, n_sources), eight at a time; not
// finite where the sources do not determine the minimiser.
Tuple<Doubles, Doubles, Doubles, Doubles> stack_values_of(In<double> sources, In<double> rhs, In<double> scales, bool solved) {
    check_sources(sources, rhs);
    const std::size_t S = sources.shape(0), K = sources.shape(1), w = sources.shape(2), L = scales.shape(0);
    check(scales.ndim() == 2 && scales.shape(1) == S, "scales is (L, n_sources)");
    Doubles log_det = new_array({L}), rest = new_array({L}), misfit = new_array({solved ? L : 0, S}),
            trace = new_array({solved ? L : 0, S});
    std::vector<Pack> R(K * w), z(K), coef(solved ? K : 0), inverse(solved ? K * w : 0), misfits(S), traces(S), row(w), window(w * w),
        scale(S);
    for (std::size_t start = 0; start < L; start += Pack::size) {
        Stack<Pack> stack{R.data(),      z.data(),   coef.data(),   inverse.data(), misfits.data(),
                          traces.data(), row.data(), window.data(), Pack(0.0),      Pack(0.0)};
        for (std::size_t s = 0; s < S; ++s)
            for (int k = 0; k < Pack::size; ++k) scale[s].set(k, scales.data()[std::min(start + k, L - 1) * S + s]);
        Status status;
        {
            nb::gil_scoped_release release;
            const auto kernel = solved ? &solve_stack<Pack> : &stack_rows<Pack>;
            status = kernel(sources.data(), rhs.data(), scale.data(), static_cast<std::int64_t>(S), static_cast<std::int64_t>(K),
                            static_cast<std::int64_t>(w), stack);
        }
        const bool is_known = status.outcome == Outcome::ok;
        const double unknown = std::numeric_limits<double>::quiet_NaN();
        for (std::size_t l = start; l < std::min(start + Pack::size, L); ++l) {
            const int k = static_cast<int>(l - start);
            log_det.data()[l] = is_known ? stack.log_det.get(k) : unknown;
            rest.data()[l] = is_known ? stack.rest.get(k) : unknown;
            for (std::size_t s = 0; solved && s < S; ++s) {
                misfit.data()[l * S + s] = is_known ? misfits[s].get(k) : unknown;
                trace.data()[l * S + s] = is_known ? traces[s].get(k) : unknown;
            }
        }
    }
    return nb::make_tuple(log_det, rest, misfit, trace);
}

// Derivatives of misfit, trace, log_det and rest along `slope` (n_sources,) of the scales.
Tuple<Doubles, Doubles, double, double> solve_stack_slope_of(In<double> sources, In<double> rhs, In<double> scale,
    In<double> slope) {
    check_stack(sources, rhs, scale);
    check(slope.size() == scale.size(), "slope is (n_sources,)");
    const std::size_t S = sources.shape(0), K = sources.shape(1), w = sources.shape(2);
    std::vector<Tangent> scales(S), R(K * w), z(K), coef(K), inverse(K * w), misfit(S), trace(S), row(w), window(w * w);
    for (std::size_t s = 0; s < S; ++s) {
        scales[s].re = scale.data()[s];
        scales[s].eps[0] = slope.data()[s];
    }
    Stack<Tangent> stack{R.data(),     z.data(),   coef.data(),   inverse.data(), misfit.data(),
                         trace.data(), row.data(), window.data(), Tangent(0.0),   Tangent(0.0)};
    run_unlocked([&] {
        return solve_stack(sources.data(), rhs.data(), scales.data(), static_cast<std::int64_t>(S), static_cast<std::int64_t>(K),
                           static_cast<std::int64_t>(w), stack);
    });
    Doubles misfit_slope = new_array({S}), trace_slope = new_array({S});
    for (std::size_t s = 0; s < S; ++s) {
        misfit_slope.data()[s] = misfit[s].eps[0];
        trace_slope.data()[s] = trace[s].eps[0];
    }
    return nb::make_tuple(misfit_slope, trace_slope, stack.log_det.eps[0], stack.rest.eps[0]);
}

Doubles band_forms_of(In<double> values, In<std::int64_t> first, In<double> band) {
    check(band.ndim() == 2, "band is (K, w)");
    check_rows(values, first, band.shape(1));
    const std::size_t n = first.size();
    Doubles forms = new_array({n});
    run_unlocked([&] {
        return band_forms(values.data(), first.data(), static_cast<std::int64_t>(n), static_cast<std::int64_t>(values.shape(1)),
                          band.data(), static_cast<std::int64_t>(band.shape(0)), static_cast<std::int64_t>(band.shape(1)),
                          forms.data());
    });
    return forms;
}

}  // namespace

void bind_regression(nb::module_& module) {
    module.def("absorb_rows", &absorb_rows_of, "values"_a, "first"_a, "rhs"_a, "factor"_a, "z"_a, "rest"_a);
    module.def("recursive_residuals", &recursive_residuals_of, "values"_a, "first"_a, "rhs"_a, "factor"_a, "z"_a);
    module.def("absorb_spline_rows", &absorb_spline_rows_of, "x"_a, "y"_a, "root"_a, "knots"_a, "breaks"_a, "span"_a, "cells"_a,
         "degree"_a, "deriv"_a, "strict"_a, "w"_a);
    module.def("solve_stack", &solve_stack_of, "sources"_a, "rhs"_a, "scale"_a);
    module.def("stack_values", &stack_values_of, "sources"_a, "rhs"_a, "scales"_a, "solved"_a);
    module.def("solve_stack_slope", &solve_stack_slope_of, "sources"_a, "rhs"_a, "scale"_a, "slope"_a);
    module.def("band_forms", &band_forms_of, "values"_a, "first"_a, "band"_a);
}
