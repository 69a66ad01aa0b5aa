// B-splines: where a point lies, the basis functions that do not vanish there, and splines in Bernstein form.
//
// Knots t_0 <= t_1 <= ... with n_basis + degree + 1 entries span n_basis functions. The domain [t_degree, t_n_basis] is cut into
// pieces by the distinct knots in it, `breaks`; piece p is the knot span [t_s, t_{s+1}) with s = span[p], and on it the functions
// s - degree .. s do not vanish. At a knot the values are right limits, at the end of the domain left limits; beyond the
// domain the end pieces go on.
//
// Values come by the recursion of Cox and de Boor, which for points of the domain adds products of positive numbers only (de
// Boor 1978, "A practical guide to splines", chapter X); a derivative of order q takes q differences of the values of degree - q:
//
//   D B_{j,l} = l [ B_{j,l-1} / (t_{j+l} - t_j) - B_{j+1,l-1} / (t_{j+l+1} - t_{j+1}) ].
#pragma once

#include <cstdint>

#include "scalar.hpp"
#include "status.hpp"

namespace smoothfit {

constexpr int max_degree = 12;  // 10 for the user, two more for the integrals of the integrals

struct Pieces {
    const double* breaks;       // n_pieces + 1, increasing
    const std::int64_t* span;   // n_pieces
    std::int64_t n_pieces;
    const std::int32_t* cells;  // n_cells + 1: the piece in which each of n_cells equal cells of the domain begins; n_pieces - 1
    std::int64_t n_cells;
    double cells_per_unit;

    double lower() const { return breaks[0]; }
    double upper() const { return breaks[n_pieces]; }
    bool contains(double x) const { return x >= lower() && x <= upper(); }  // false for NaN
};

// The cells of `Pieces`: whatever their number, no search is longer than one in the pieces of a single cell.
inline void fill_cells(const double* breaks, std::int64_t n_pieces, std::int64_t n_cells, double cells_per_unit,
                       std::int32_t* cells) noexcept {
    std::int64_t piece = 0;
    for (std::int64_t c = 0; c <= n_cells; ++c) {
        while (piece + 1 < n_pieces && (breaks[piece + 1] - breaks[0]) * cells_per_unit < static_cast<double>(c)) ++piece;
        cells[c] = static_cast<std::int32_t>(piece);
    }
    cells[n_cells] = static_cast<std::int32_t>(n_pieces - 1);
}

// Piece of x; `hint` is that of the point before. Points beyond the domain belong to the end pieces; NaN to any.
SMOOTHFIT_INLINE std::int64_t locate(const Pieces& pieces, double x, std::int64_t hint) {
    const double* b = pieces.breaks;
    if (x >= b[hint] && x < b[hint + 1]) return hint;
    if (!(x > b[0])) return 0;
    if (x >= b[pieces.n_pieces]) return pieces.n_pieces - 1;
    const double position = (x - b[0]) * pieces.cells_per_unit;
    std::int64_t cell = static_cast<std::int64_t>(position);
    if (cell >= pieces.n_cells) cell = pieces.n_cells - 1;
    // Rounding of the position may miss the cell by one; a piece more on either side is enough, as its ends are compared.
    std::int64_t low = pieces.cells[cell], high = pieces.cells[cell + 1];
    while (b[low] > x) --low;
    while (x >= b[high + 1]) ++high;
    while (high - low > 1) {  // the last piece that begins at or before x is one of low .. high
        const std::int64_t middle = (low + high) / 2;
        if (b[middle] <= x)
            low = middle;
        else
            high = middle - 1;
    }
    return low + (x >= b[low + 1]);  // no branch: for x in any order it could not be predicted
}

// Values or derivatives at x of the Degree + 1 functions of span s.
template <int Degree>
SMOOTHFIT_INLINE void basis_row(const double* t, std::int64_t s, double x, int deriv, double* out) {
    double left[Degree + 1], right[Degree + 1];
    const int lowest = Degree - deriv;
    out[0] = 1.0;
    SMOOTHFIT_UNROLL
    for (int l = 1; l <= Degree; ++l) {
        left[l] = x - t[s + 1 - l];
        right[l] = t[s + l] - x;
        double saved = 0.0;
        if (l <= lowest) {
            SMOOTHFIT_UNROLL
            for (int r = 0; r < l; ++r) {
                const double share = out[r] / (right[r + 1] + left[l - r]);
                out[r] = saved + right[r + 1] * share;
                saved = left[l - r] * share;
            }
            out[l] = saved;
        } else {
            SMOOTHFIT_UNROLL
            for (int r = 0; r < l; ++r) {
                const double slope = l * out[r] / (t[s + r + 1] - t[s + r + 1 - l]);
                out[r] = saved - slope;
                saved = slope;
            }
            out[l] = saved;
        }
    }
}

// Rows of n points: values (n, Degree + 1), and in `columns` (n, Degree + 1) the functions they belong to. With `strict`, stops
// at the first point beyond the domain.
template <int Degree, class Index>
SMOOTHFIT_NOINLINE Status basis_rows(const double* x, std::int64_t n, const double* knots, const Pieces& pieces, int deriv,
                                     bool strict, double* values, Index* columns) noexcept {
    std::int64_t piece = 0;
    for (std::int64_t i = 0; i < n; ++i) {
        if (strict && !pieces.contains(x[i])) return {Outcome::outside, i};
        piece = locate(pieces, x[i], piece);
        const std::int64_t s = pieces.span[piece];
        basis_row<Degree>(knots, s, x[i], deriv, values + i * (Degree + 1));
        for (int r = 0; r <= Degree; ++r) columns[i * (Degree + 1) + r] = static_cast<Index>(s - Degree + r);
    }
    return {};
}

// The same rows in a dense array (n, n_columns) without its first `skipped` functions.
template <int Degree>
SMOOTHFIT_NOINLINE Status dense_rows(const double* x, std::int64_t n, const double* knots, const Pieces& pieces, int deriv,
                                     bool strict, std::int64_t n_columns, std::int64_t skipped, double* out) noexcept {
    std::int64_t piece = 0;
    for (std::int64_t i = 0; i < n; ++i) {
        if (strict && !pieces.contains(x[i])) return {Outcome::outside, i};
        piece = locate(pieces, x[i], piece);
        const std::int64_t s = pieces.span[piece];
        double row[Degree + 1];
        basis_row<Degree>(knots, s, x[i], deriv, row);
        double* target = out + i * n_columns;
        for (std::int64_t j = 0; j < n_columns; ++j) target[j] = 0.0;
        for (int r = 0; r <= Degree; ++r) {
            const std::int64_t column = s - Degree + r - skipped;
            if (column >= 0) target[column] = row[r];
        }
    }
    return {};
}

// Sum of b_k C(Degree, k) u^k (1 - u)^(Degree - k); `scaled` holds b_k C(Degree, k), `stride` apart. Stable for u in [0, 1]: the
// error is rounding of the greatest |b_k|.
template <int Degree>
SMOOTHFIT_INLINE double bernstein_value(const double* scaled, std::int64_t stride, double u) {
    const double v = 1.0 - u;
    double power = u, sum = scaled[0];
    SMOOTHFIT_UNROLL
    for (int k = 1; k <= Degree; ++k) {
        sum = sum * v + scaled[k * stride] * power;
        power = power * u;
    }
    return sum;
}

// Values (n, n_columns) of splines; scaled (n_pieces, Degree + 1, n_columns) holds their Bernstein coefficients on every piece,
// times C(Degree, k); per_width (n_pieces) is 1 / (width of the piece).
template <int Degree>
SMOOTHFIT_NOINLINE Status spline_values(const double* x, std::int64_t n, const Pieces& pieces, const double* per_width,
                                        const double* scaled, std::int64_t n_columns, bool strict, double* out) noexcept {
    std::int64_t piece = 0;
    for (std::int64_t i = 0; i < n; ++i) {
        if (strict && !pieces.contains(x[i])) return {Outcome::outside, i};
        piece = locate(pieces, x[i], piece);
        const double u = (x[i] - pieces.breaks[piece]) * per_width[piece];
        const double* coef = scaled + piece * (Degree + 1) * n_columns;
        for (std::int64_t c = 0; c < n_columns; ++c)
            out[i * n_columns + c] = bernstein_value<Degree>(coef + c, n_columns, u);
    }
    return {};
}

}  // namespace smoothfit
