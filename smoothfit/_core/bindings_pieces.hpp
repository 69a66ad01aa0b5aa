// What the files that bind kernels of piecewise polynomials share: the degree as a constant, and the pieces of a domain.
#pragma once

#include "bindings.hpp"
#include "bspline.hpp"

// Calls f(std::integral_constant<int, degree>).
template <class F>
auto with_degree(int degree, const F& f) {
    check(degree >= 0 && degree <= smoothfit::max_degree, "degree is out of range");
    return with_size<0, smoothfit::max_degree>(degree, f);
}

inline smoothfit::Pieces make_pieces(const In<double>& breaks, const In<std::int64_t>& span, const In<std::int32_t>& cells) {
    const std::size_t n_pieces = span.size();
    check(n_pieces > 0 && breaks.size() == n_pieces + 1, "breaks is (n_pieces + 1,) and span (n_pieces,)");
    check(cells.size() >= 2, "cells is (n_cells + 1,)");
    const std::int64_t n_cells = static_cast<std::int64_t>(cells.size()) - 1;
    for (std::size_t c = 0; c < cells.size(); ++c)
        check(cells.data()[c] >= 0 && static_cast<std::size_t>(cells.data()[c]) < n_pieces, "cells is out of range");
    const double width = breaks.data()[n_pieces] - breaks.data()[0];
    check(width > 0, "breaks does not increase");
    return {breaks.data(), span.data(), static_cast<std::int64_t>(n_pieces), cells.data(), n_cells,
            static_cast<double>(n_cells) / width};
}

inline void check_spans(const In<double>& knots, const smoothfit::Pieces& pieces, int degree) {
    check(degree >= 0 && degree <= smoothfit::max_degree, "degree is out of range");
    for (std::int64_t p = 0; p < pieces.n_pieces; ++p)
        check(pieces.span[p] >= degree && static_cast<std::size_t>(pieces.span[p] + degree + 1) < knots.size(),
              "span is out of range");
}
