// The kernels of filtered difference equations (filtered.hpp) as Python functions.
#include "bindings.hpp"

#include "filtered.hpp"

using namespace smoothfit;

namespace {

// Checks what both kernels take: y (n,), u (n, inputs), start (runs + 1,), a (order,).
FilterRows filter_rows(const In<double>& y, const In<double>& u, const In<std::int64_t>& start, const In<double>& a, int first_lag,
                       bool intercept) {
    check(u.ndim() == 2 && u.shape(0) == y.size() && u.shape(1) <= max_filter_columns, "u is (n, inputs)");
    check(a.size() >= 1 && a.size() <= max_filter_order, "a is (order,)");
    check(first_lag == 0 || first_lag == 1, "first_lag is 0 or 1");
    check(start.size() >= 2, "start is (runs + 1,)");
    const std::int64_t* at = start.data();
    check(at[0] == 0 && at[start.size() - 1] == static_cast<std::int64_t>(y.size()), "start begins with 0 and ends with n");
    for (std::size_t i = 1; i < start.size(); ++i) check(at[i] >= at[i - 1], "start decreases");
    return {y.data(), u.data(), at, static_cast<std::int64_t>(start.size()) - 1, a.data(), static_cast<int>(a.size()),
            static_cast<int>(u.shape(1)), first_lag, intercept};
}

// Lower triangles of the moments (runs, C + order, C + order), C the number of columns of `inverse`.
Doubles filtered_moments(In<double> y, In<double> u, In<std::int64_t> start, In<double> a, int first_lag, bool intercept,
                         In<double> inverse) {
    const FilterRows rows = filter_rows(y, u, start, a, first_lag, intercept);
    const std::size_t columns = rows.order + rows.n_inputs * (rows.order + 1 - rows.first_lag) + rows.intercept + 1;
    check(rows.order <= max_moments_order, "moments are of orders 1 to 3");
    check(columns >= 2 && columns <= max_filter_columns, "there are 2 to 10 columns");
    check(inverse.ndim() == 2 && inverse.shape(0) == columns && inverse.shape(1) == columns, "inverse is (columns, columns)");
    const std::size_t all = columns + rows.order, runs = rows.n_runs;
    Doubles moments = new_array({runs, all, all});
    for (std::size_t i = 0; i < moments.size(); ++i) moments.data()[i] = 0.0;
    {
        nb::gil_scoped_release release;
        with_size<1, max_moments_order>(rows.order, [&](auto m) {
            with_size<2, max_filter_columns>(static_cast<int>(columns), [&](auto c) {
                if constexpr (decltype(c)::value > decltype(m)::value)
                    moments_of_rows<decltype(m)::value, decltype(c)::value>(rows, inverse.data(), moments.data());
            });
        });
    }
    return moments;
}

// What is left of the filtered observations (n,).
Doubles filtered_residual(In<double> y, In<double> u, In<std::int64_t> start, In<double> a, int first_lag, bool intercept,
                          In<double> psi) {
    const FilterRows rows = filter_rows(y, u, start, a, first_lag, intercept);
    const std::size_t columns = rows.order + rows.n_inputs * (rows.order + 1 - rows.first_lag) + rows.intercept;
    check(psi.size() == columns, "psi is (columns,)");
    Doubles left = new_array({y.size()});
    {
        nb::gil_scoped_release release;
        with_size<1, max_filter_order>(rows.order, [&](auto m) {
            residual_of_rows<decltype(m)::value>(rows, psi.data(), left.data());
        });
    }
    return left;
}

}  // namespace

void bind_filtered(nb::module_& module) {
    module.def("filtered_moments", &filtered_moments, "y"_a, "u"_a, "start"_a, "a"_a, "first_lag"_a, "intercept"_a, "inverse"_a);
    module.def("filtered_residual", &filtered_residual, "y"_a, "u"_a, "start"_a, "a"_a, "first_lag"_a, "intercept"_a, "psi"_a);
}
