// Observations of derivatives of splines as rows of banded least squares (band.hpp), piece by piece.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

#include "band.hpp"
#include "bspline.hpp"

namespace smoothfit {

// Rows of one piece, reduced together by Householder reflections; column by column, filled up with zeros to whole lanes.
template <int Width>
class PieceBlock {
public:
    static constexpr int lanes = 4;
    static constexpr int size = 64;

    bool is_full() const { return count_ == size; }

    // Adds a row of Width entries and its right-hand side.
    SMOOTHFIT_INLINE void add(const double* row, double rhs, double root) {
        SMOOTHFIT_UNROLL
        for (int c = 0; c < Width; ++c) column_[c][count_] = row[c] * root;
        column_[Width][count_] = rhs * root;
        ++count_;
    }

    // Leaves Width rows, a triangle; what their right-hand sides do not hold joins `rest`.
    void reduce(double* rest) {
        if (count_ <= Width) return;
        const int end = (count_ + lanes - 1) / lanes * lanes;
        for (int c = 0; c <= Width; ++c)
            for (int i = count_; i < end; ++i) column_[c][i] = 0.0;
        for (int c = 0; c < Width; ++c) {
            double* const mine = column_[c];
            for (int i = 0; i < c; ++i) head_[i] = mine[i];  // the rows above stay as they are
            for (int i = 0; i < c; ++i) mine[i] = 0.0;
            const double squares = dot(mine, mine, end);
            if (squares > 0.0) {
                const double top = mine[c], length = top > 0.0 ? -std::sqrt(squares) : std::sqrt(squares);
                mine[c] = top - length;
                const double factor = 1.0 / (length * mine[c]);  // -2 / |v|^2
                for (int k = c + 1; k <= Width; ++k) {
                    double* const other = column_[k];
                    const double share = dot(mine, other, end) * factor;
                    for (int i = 0; i < end; ++i) other[i] += share * mine[i];
                }
                for (int i = c; i < end; ++i) mine[i] = 0.0;
                mine[c] = length;
            }
            for (int i = 0; i < c; ++i) mine[i] = head_[i];
        }
        double* const rhs = column_[Width];
        for (int i = Width; i < end; ++i) {
            *rest += rhs[i] * rhs[i];
            rhs[i] = 0.0;
        }
        count_ = Width;
    }

    // Absorbs the rows, from the column `first` on, and forgets them.
    void empty(double* R, double* z, double* rest, std::int64_t K, std::int64_t w, double* row, std::int64_t first) {
        reduce(rest);
        for (int i = 0; i < count_; ++i) {
            for (int c = 0; c < Width; ++c) row[c] = column_[c][i];
            for (std::int64_t c = Width; c < w; ++c) row[c] = 0.0;
            absorb(R, z, *rest, K, w, row, column_[Width][i], first);
        }
        count_ = 0;
    }

private:
    static SMOOTHFIT_INLINE double dot(const double* a, const double* b, int end) {
        double sum[lanes] = {0.0, 0.0, 0.0, 0.0};
        for (int i = 0; i < end; i += lanes) {
            SMOOTHFIT_UNROLL
            for (int l = 0; l < lanes; ++l) sum[l] += a[i + l] * b[i + l];
        }
        return (sum[0] + sum[1]) + (sum[2] + sum[3]);
    }

    double column_[Width + 1][size];
    double head_[Width + 1];
    int count_ = 0;
};

// Reciprocals of the knot differences that the recursion of `basis_row` divides by, for the many points of a piece.
template <int Degree>
struct PieceRow {
    double inverse[Degree + 1][Degree + 1];

    void enter(const double* t, std::int64_t s) {
        for (int l = 1; l <= Degree; ++l)
            for (int r = 0; r < l; ++r) inverse[l][r] = 1.0 / (t[s + r + 1] - t[s + r + 1 - l]);
    }

    // `basis_row` with products for quotients.
    SMOOTHFIT_INLINE void fill(const double* t, std::int64_t s, double x, int deriv, double* out) const {
        const int lowest = Degree - deriv;
        out[0] = 1.0;
        SMOOTHFIT_UNROLL
        for (int l = 1; l <= Degree; ++l) {
            double saved = 0.0;
            if (l <= lowest) {
                SMOOTHFIT_UNROLL
                for (int r = 0; r < l; ++r) {
                    const double share = out[r] * inverse[l][r];
                    out[r] = saved + (t[s + r + 1] - x) * share;
                    saved = (x - t[s + r + 1 - l]) * share;
                }
            } else {
                SMOOTHFIT_UNROLL
                for (int r = 0; r < l; ++r) {
                    const double slope = l * out[r] * inverse[l][r];
                    out[r] = saved - slope;
                    saved = slope;
                }
            }
            out[l] = saved;
        }
    }
};

// A triangle R (Q + 1, Q + 1), z (Q + 1) and a rest that stand for observations of a polynomial of degree Q: its rows are those of
// T_0 .. T_Q, Chebyshev's polynomials of u = (x - middle) / half.
struct LocalTriangle {
    double middle, half;
    double R[max_degree + 1][max_degree + 1];
    double z[max_degree + 1];
    double rest;
};

// Sums over n observations, weighed by root^2, of T_0 .. T_2Q, of T_j e and of e^2, where e = y - sum_j reference_j T_j. As
// T_j T_k = (T_{j+k} + T_{|j-k|}) / 2, the first are the Gram matrix. Vectors of neighbours go side by side.
template <int Q>
SMOOTHFIT_NOINLINE void local_sums(const double* x, const double* y, const double* root, std::int64_t n, double middle,
                                   double per_half, const double* reference, double* chebyshev, double* moment,
                                   double* square) noexcept {
    using Vector = Pack::Vector;
    constexpr int width = Pack::width;
    Vector low[Q + 1] = {}, high[Q + 1] = {}, mixed[Q + 1] = {}, squares = {};
    Vector place, reading, weight = Vector{} + 1.0;
    for (std::int64_t i = 0; i < n; i += width) {
        if (i + width <= n) {
            std::memcpy(&place, x + i, sizeof place);
            std::memcpy(&reading, y + i, sizeof reading);
            if (root) std::memcpy(&weight, root + i, sizeof weight);
        } else {  // the last observations, and in the other lanes nothing
            double last[3][width];
            for (int l = 0; l < width; ++l) {
                const bool is_there = i + l < n;
                last[0][l] = x[is_there ? i + l : n - 1];
                last[1][l] = y[is_there ? i + l : n - 1];
                last[2][l] = !is_there ? 0.0 : root ? root[i + l] : 1.0;
            }
            std::memcpy(&place, last[0], sizeof place);
            std::memcpy(&reading, last[1], sizeof reading);
            std::memcpy(&weight, last[2], sizeof weight);
        }
        const Vector u = (place - middle) * per_half, twice = u + u;
        Vector t[Q + 1];
        t[0] = weight;
        if constexpr (Q > 0) t[1] = u * weight;
        SMOOTHFIT_UNROLL
        for (int j = 2; j <= Q; ++j) t[j] = twice * t[j - 1] - t[j - 2];
        Vector e = reading * weight;
        SMOOTHFIT_UNROLL
        for (int j = 0; j <= Q; ++j) e -= reference[j] * t[j];
        squares += e * e;
        SMOOTHFIT_UNROLL
        for (int j = 0; j <= Q; ++j) {
            low[j] += t[0] * t[j];
            if (j > 0) high[j] += t[Q] * t[j];
            mixed[j] += e * t[j];
        }
    }
    const auto total = [](const Vector& v) {
        double lanes[width], sum = 0.0;
        std::memcpy(lanes, &v, sizeof lanes);
        for (int l = 0; l < width; ++l) sum += lanes[l];
        return sum;
    };
    for (int j = 0; j <= Q; ++j) {
        chebyshev[j] = total(low[j]);
        moment[j] = total(mixed[j]);
    }
    for (int j = 1; j <= Q; ++j) chebyshev[Q + j] = 2.0 * total(high[j]) - chebyshev[Q - j];
    *square = total(squares);
}

constexpr double least_pivot = 1e-2;  // of the square of a polynomial's size: what of it the lower ones do not say
constexpr double least_rest = 1e-3;   // of the squares about the reference: what the fit leaves of them

// R'R = Gram and R'z = moment, in place; false where the observations do not tell the polynomials well apart.
template <int Q>
SMOOTHFIT_INLINE bool solve_local(const double* chebyshev, const double* moment, double (*R)[max_degree + 1], double* z) {
    for (int j = 0; j <= Q; ++j) {
        const double whole = 0.5 * (chebyshev[2 * j] + chebyshev[0]);
        double pivot = whole;
        for (int i = 0; i < j; ++i) pivot -= R[i][j] * R[i][j];
        if (!(pivot >= least_pivot * whole && pivot > 0.0 && pivot <= std::numeric_limits<double>::max())) return false;
        R[j][j] = std::sqrt(pivot);
        const double over = 1.0 / R[j][j];
        for (int k = j + 1; k <= Q; ++k) {
            double sum = 0.5 * (chebyshev[j + k] + chebyshev[k - j]);
            for (int i = 0; i < j; ++i) sum -= R[i][j] * R[i][k];
            R[j][k] = sum * over;
        }
        double sum = moment[j];
        for (int i = 0; i < j; ++i) sum -= R[i][j] * z[i];
        z[j] = sum * over;
    }
    return true;
}

// The triangle of n observations at increasing x, at least 16 (Q + 1); false where it would lose digits.
//
// Chebyshev's polynomials between the first x and the last have a well-conditioned Gram matrix G wherever the pivots of its
// Cholesky factor are not small, and they are checked: the computed R has R'R = G up to rounding relative to G itself, in every
// direction, so that whatever the whole system is, its variances are right to that. The observations enter by their distances e
// from a reference a, the fit to a few of them: z = R a + R'^-1 T'e. An error of R then moves the coefficients by its share of e,
// not of y (as in Bjorck's corrected seminormal equations, 1987), and the rest, e'e - |R'^-1 T'e|^2, subtracts a part of what it
// leaves.
template <int Q>
SMOOTHFIT_NOINLINE bool fit_locally(const double* x, const double* y, const double* root, std::int64_t n,
                                    LocalTriangle* out) noexcept {
    constexpr int n_few = 4 * (Q + 1);
    double few_x[n_few], few_y[n_few], few_root[n_few], chebyshev[2 * Q + 1], moment[Q + 1], reference[Q + 1] = {}, square;
    for (int i = 0; i < n_few; ++i) {
        const std::int64_t k = i * (n - 1) / (n_few - 1);
        few_x[i] = x[k];
        few_y[i] = y[k];
        few_root[i] = root ? root[k] : 1.0;
    }
    out->half = 0.5 * (x[n - 1] - x[0]);
    out->middle = x[0] + out->half;
    const double per_half = 1.0 / out->half;
    local_sums<Q>(few_x, few_y, few_root, n_few, out->middle, per_half, reference, chebyshev, moment, &square);
    if (!solve_local<Q>(chebyshev, moment, out->R, out->z)) return false;
    for (int j = Q; j >= 0; --j) {
        double sum = out->z[j];
        for (int k = j + 1; k <= Q; ++k) sum -= out->R[j][k] * reference[k];
        reference[j] = sum / out->R[j][j];
    }
    local_sums<Q>(x, y, root, n, out->middle, per_half, reference, chebyshev, moment, &square);
    if (!solve_local<Q>(chebyshev, moment, out->R, out->z)) return false;
    out->rest = square;
    for (int j = 0; j <= Q; ++j) {
        out->rest -= out->z[j] * out->z[j];
        for (int k = j; k <= Q; ++k) out->z[j] += out->R[j][k] * reference[k];
    }
    return out->rest >= least_rest * square && square <= std::numeric_limits<double>::max();
}

using FitLocally = bool(const double*, const double*, const double*, std::int64_t, LocalTriangle*) noexcept;

// Turns local triangles of polynomials of degree q = Degree - deriv into rows of splines.
template <int Degree>
class LocalRows {
public:
    explicit LocalRows(int deriv) : deriv_(deriv), q_(Degree - deriv) {
        for (int i = 0; i <= q_; ++i) {
            node_[i] = std::cos(pi * (i + 0.5) / (q_ + 1));
            for (int l = 0; l <= q_; ++l) transform_[l][i] = (l ? 2.0 : 1.0) / (q_ + 1) * std::cos(pi * l * (i + 0.5) / (q_ + 1));
        }
    }

    void absorb_into(const LocalTriangle& local, const PieceRow<Degree>& rows, const double* t, std::int64_t s, double* R, double* z,
                     double* rest, std::int64_t K, std::int64_t w, double* row) const {
        // What the functions are in Chebyshev's polynomials, from their values at the nodes; distances from the middle keep the
        // digits that places of narrow blocks would lose.
        double shifted[2 * Degree + 1], values[Degree + 1][Degree + 1], matrix[Degree + 1][Degree + 1];
        for (int k = 0; k < 2 * Degree; ++k) shifted[k] = t[s + 1 - Degree + k] - local.middle;
        for (int i = 0; i <= q_; ++i) rows.fill(shifted, Degree - 1, local.half * node_[i], deriv_, values[i]);
        for (int l = 0; l <= q_; ++l)
            for (int c = 0; c <= Degree; ++c) {
                double sum = 0.0;
                for (int i = 0; i <= q_; ++i) sum += transform_[l][i] * values[i][c];
                matrix[l][c] = sum;
            }
        for (int j = 0; j <= q_; ++j) {
            for (int c = 0; c <= Degree; ++c) {
                double sum = 0.0;
                for (int l = j; l <= q_; ++l) sum += local.R[j][l] * matrix[l][c];
                row[c] = sum;
            }
            for (std::int64_t c = Degree + 1; c < w; ++c) row[c] = 0.0;
            absorb(R, z, *rest, K, w, row, local.z[j], s - Degree);
        }
        *rest += local.rest;
    }

private:
    static constexpr double pi = 3.14159265358979323846;
    int deriv_, q_;
    double node_[Degree + 1], transform_[Degree + 1][Degree + 1];
};

// Absorbs observations y (n) of derivatives of splines at increasing x (n), times root (n) or, where it is null, one. Observations
// of a piece are first reduced to a triangle of their own: many by `fit_locally`, that of polynomials of degree Degree - deriv,
// others by reflections.
template <int Degree>
SMOOTHFIT_NOINLINE Status absorb_spline_rows(const double* x, const double* y, const double* root, std::int64_t n,
                                             const double* knots, const Pieces& pieces, int deriv, bool strict,
                                             FitLocally* fit_locally, double* R, double* z, double* rest, std::int64_t K,
                                             std::int64_t w, double* row) noexcept {
    constexpr std::int64_t most = 1024;  // observations of a block, which stay in the nearest cache
    const std::int64_t many = 16 * (Degree - deriv + 1);
    PieceBlock<Degree + 1> block;
    PieceRow<Degree> rows;
    const LocalRows<Degree> local_rows(deriv);
    LocalTriangle local;
    std::int64_t piece = 0;
    rows.enter(knots, pieces.span[0]);
    for (std::int64_t i = 0, end; i < n; i = end) {
        const std::int64_t here = locate(pieces, x[i], piece), s = pieces.span[here];
        if (here != piece) rows.enter(knots, s);
        piece = here;
        const double next = here + 1 < pieces.n_pieces ? pieces.breaks[here + 1] : std::numeric_limits<double>::infinity();
        end = std::lower_bound(x + i, x + std::min(n, i + most), next) - x;
        end = std::max(end, i + 1);  // NaN
        if (strict && !(pieces.contains(x[i]) && pieces.contains(x[end - 1]))) {
            while (pieces.contains(x[i])) ++i;
            return {Outcome::outside, i};
        }
        if (end - i >= many && fit_locally(x + i, y + i, root ? root + i : nullptr, end - i, &local)) {
            local_rows.absorb_into(local, rows, knots, s, R, z, rest, K, w, row);
            continue;
        }
        for (std::int64_t k = i; k < end; ++k) {
            if (block.is_full()) block.reduce(rest);
            double values[Degree + 1];
            rows.fill(knots, s, x[k], deriv, values);
            block.add(values, y[k], root ? root[k] : 1.0);
        }
        block.empty(R, z, rest, K, w, row, s - Degree);
    }
    return {};
}

}  // namespace smoothfit
