// The kernels of bases and splines (bspline.hpp) as Python functions.
#include <cstdint>

#include "bindings_pieces.hpp"
#include "bspline.hpp"

using namespace smoothfit;

namespace {

// cells (n_cells + 1,) of increasing breaks.
Out<std::int32_t> cells_of(In<double> breaks, std::size_t n_cells) {
    check(breaks.size() >= 2 && n_cells > 0, "breaks has two entries or more, n_cells is positive");
    check(breaks.size() < (std::size_t{1} << 31), "there are too many breaks");
    const double width = breaks.data()[breaks.size() - 1] - breaks.data()[0];
    check(width > 0, "breaks does not increase");
    Out<std::int32_t> cells = new_array_of<std::int32_t>({n_cells + 1});
    fill_cells(breaks.data(), static_cast<std::int64_t>(breaks.size()) - 1, static_cast<std::int64_t>(n_cells),
               static_cast<double>(n_cells) / width, cells.data());
    return cells;
}

// values (n, degree + 1) and columns (n, degree + 1) of the functions that do not vanish at x (n,).
Tuple<Doubles, Out<std::int32_t>> basis_rows_of(In<double> x, In<double> knots, In<double> breaks, In<std::int64_t> span,
                                                In<std::int32_t> cells, int degree, int deriv, bool strict) {
    const Pieces pieces = make_pieces(breaks, span, cells);
    check_spans(knots, pieces, degree);
    check(deriv >= 0 && deriv <= degree, "deriv is out of range");
    check(knots.size() < (std::size_t{1} << 31), "there are too many knots");
    const std::size_t n = x.size(), width = static_cast<std::size_t>(degree) + 1;
    Doubles values = new_array({n, width});
    Out<std::int32_t> columns = new_array_of<std::int32_t>({n, width});
    run_unlocked([&] {
        return with_degree(degree, [&](auto d) {
            return basis_rows<decltype(d)::value>(x.data(), static_cast<std::int64_t>(n), knots.data(), pieces, deriv, strict,
                                                  values.data(), columns.data());
        });
    });
    return nb::make_tuple(values, columns);
}

// The same rows in a dense array (n, n_basis - skipped).
Doubles dense_rows_of(In<double> x, In<double> knots, In<double> breaks, In<std::int64_t> span, In<std::int32_t> cells,
                      int degree, int deriv, bool strict, std::size_t skipped) {
    const Pieces pieces = make_pieces(breaks, span, cells);
    check_spans(knots, pieces, degree);
    check(deriv >= 0 && deriv <= degree, "deriv is out of range");
    const std::size_t n = x.size(), n_basis = knots.size() - static_cast<std::size_t>(degree) - 1;
    check(skipped < n_basis, "skipped is not below the number of functions");
    Doubles out = new_array({n, n_basis - skipped});
    run_unlocked([&] {
        return with_degree(degree, [&](auto d) {
            return dense_rows<decltype(d)::value>(x.data(), static_cast<std::int64_t>(n), knots.data(), pieces, deriv, strict,
                                                  static_cast<std::int64_t>(n_basis - skipped),
                                                  static_cast<std::int64_t>(skipped), out.data());
        });
    });
    return out;
}

// Values (n, n_columns) at x (n,) of splines with scaled Bernstein coefficients (n_pieces, degree + 1, n_columns).
Doubles spline_values_of(In<double> x, In<double> breaks, In<std::int64_t> span, In<std::int32_t> cells, In<double> per_width,
                         In<double> scaled, bool strict) {
    const Pieces pieces = make_pieces(breaks, span, cells);
    const auto n_pieces = static_cast<std::size_t>(pieces.n_pieces);
    check(scaled.ndim() == 3 && scaled.shape(0) == n_pieces, "scaled is (n_pieces, degree + 1, n_columns)");
    check(per_width.size() == n_pieces, "per_width is (n_pieces,)");
    check(scaled.shape(1) >= 1 && scaled.shape(1) <= max_degree + 1, "degree is out of range");
    const std::size_t n = x.size(), n_columns = scaled.shape(2);
    Doubles out = new_array({n, n_columns});
    run_unlocked([&] {
        return with_degree(static_cast<int>(scaled.shape(1)) - 1, [&](auto d) {
            return spline_values<decltype(d)::value>(x.data(), static_cast<std::int64_t>(n), pieces, per_width.data(),
                                                     scaled.data(), static_cast<std::int64_t>(n_columns), strict, out.data());
        });
    });
    return out;
}

}  // namespace

void bind_basis(nb::module_& module) {
    module.attr("MAX_DEGREE") = max_degree;
    module.def("cells", &cells_of, "breaks"_a, "n_cells"_a);
    module.def("basis_rows", &basis_rows_of, "x"_a, "knots"_a, "breaks"_a, "span"_a, "cells"_a, "degree"_a, "deriv"_a, "strict"_a);
    module.def("dense_rows", &dense_rows_of, "x"_a, "knots"_a, "breaks"_a, "span"_a, "cells"_a, "degree"_a, "deriv"_a, "strict"_a,
         "skipped"_a);
    module.def("spline_values", &spline_values_of, "x"_a, "breaks"_a, "span"_a, "cells"_a, "per_width"_a, "scaled"_a, "strict"_a);
}
