// Banded least squares in square-root form: no product B'B is ever formed, so that no digits are squared away.
//
// A triangular factor R (K, w) holds its band row by row: R[j w + i] is the entry (j, j + i). With a right-hand side z (K) and a
// rest it stands for the rows it was made of: |B c - y|^2 = |R c - z|^2 + rest for every c. Rows are absorbed by Givens
// rotations (Golub & Van Loan 2013, section 5.2; for bands Cox 1981, "The least squares solution of overdetermined linear
// equations having band or augmented band structure"); absorbed in the order of their first columns they fill no more than w.
#pragma once

#include <cmath>
#include <cstdint>

#include "bspline.hpp"
#include "scalar.hpp"
#include "status.hpp"

namespace smoothfit {

inline double root_of(double x) { return std::sqrt(x); }

template <class Real, int N>
SMOOTHFIT_INLINE Dual<Real, N> root_of(const Dual<Real, N>& x) {
    Dual<Real, N> c;
    c.re = root_of(x.re);
    for (int i = 0; i < N; ++i) c.eps[i] = x.eps[i] / (2.0 * c.re);
    return c;
}

// Absorbs one row, entries row (w) in the columns first .. first + w - 1, which is destroyed; what is left of `rhs` joins `rest`.
template <class Real>
SMOOTHFIT_INLINE void absorb(Real* R, Real* z, Real& rest, std::int64_t K, std::int64_t w, Real* row, Real rhs,
                             std::int64_t first) noexcept {
    std::int64_t filled = w;  // entries of the row that may differ from zero
    for (std::int64_t j = first; j < K && filled > 0; ++j) {
        Real* const mine = R + j * w;
        if (value(row[0]) != 0.0) {
            const Real length = root_of(mine[0] * mine[0] + row[0] * row[0]);
            const Real c = mine[0] / length, s = row[0] / length;
            mine[0] = length;
            std::int64_t last = 0;
            for (std::int64_t i = 1; i < w; ++i) {
                const Real old = mine[i];
                mine[i] = c * old + s * row[i];
                row[i - 1] = c * row[i] - s * old;
                if (value(row[i - 1]) != 0.0) last = i;
            }
            const Real old = z[j];
            z[j] = c * old + s * rhs;
            rhs = c * rhs - s * old;
            filled = last;
        } else {
            for (std::int64_t i = 1; i < w; ++i) row[i - 1] = row[i];
            filled = filled - 1;
        }
        row[w - 1] = Real(0.0);
    }
    rest = rest + rhs * rhs;
}

// Absorbs n rows, values (n, width) from the columns first (n) on, width <= w. `row` (w) is room to work in.
inline Status absorb_rows(const double* values, const std::int64_t* first, const double* rhs, std::int64_t n, std::int64_t width,
                          double* R, double* z, double* rest, std::int64_t K, std::int64_t w, double* row) noexcept {
    for (std::int64_t i = 0; i < n; ++i) {
        if (!(first[i] >= 0 && first[i] < K)) return {Outcome::outside, i};
        for (std::int64_t r = 0; r < width; ++r) row[r] = values[i * width + r];
        for (std::int64_t r = width; r < w; ++r) row[r] = 0.0;
        absorb(R, z, *rest, K, w, row, rhs[i], first[i]);
    }
    return {};
}

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

// Absorbs readings y (n) of derivatives of splines at x (n), times root (n) or, where it is null, one. In increasing x no row fills
// the band below its own; any other order is right, too, and slow.
template <int Degree>
SMOOTHFIT_NOINLINE Status absorb_spline_rows(const double* x, const double* y, const double* root, std::int64_t n,
                                             const double* knots, const Pieces& pieces, int deriv, bool strict, double* R, double* z,
                                             double* rest, std::int64_t K, std::int64_t w, double* row) noexcept {
    PieceBlock<Degree + 1> block;
    PieceRow<Degree> rows;
    std::int64_t piece = 0, current = 0;
    rows.enter(knots, pieces.span[0]);
    for (std::int64_t i = 0; i < n; ++i) {
        if (strict && !pieces.contains(x[i])) return {Outcome::outside, i};
        piece = locate(pieces, x[i], piece);
        if (piece != current) {
            block.empty(R, z, rest, K, w, row, pieces.span[current] - Degree);
            current = piece;
            rows.enter(knots, pieces.span[piece]);
        } else if (block.is_full()) {
            block.reduce(rest);
        }
        double values[Degree + 1];
        rows.fill(knots, pieces.span[piece], x[i], deriv, values);
        block.add(values, y[i], root ? root[i] : 1.0);
    }
    block.empty(R, z, rest, K, w, row, pieces.span[current] - Degree);
    return {};
}

// What a weighted sum of squares, sum_s scale_s^2 |R_s c - z_s|^2, has to say.
template <class Real>
struct Stack {
    Real* R;        // (K, w) factor of the whole
    Real* z;        // (K)
    Real* coef;     // (K) the minimiser
    Real* inverse;  // (K, w) band of (R'R)^-1, entry (j, j + i)
    Real* misfit;   // (n_sources) |R_s coef - z_s|^2, unscaled
    Real* trace;    // (n_sources) tr[(R'R)^-1 R_s'R_s], unscaled
    Real* row;      // (w) room to work in
    Real log_det;   // of R'R
    Real rest;      // what the stacked rows leave: the minimum
};

// Stacks sources (n_sources, K, w), each a factor: R, z, log_det and rest. A zero on the diagonal of R stops it: `where` is the first
// such column.
template <class Real>
SMOOTHFIT_NOINLINE Status stack_rows(const double* sources, const double* rhs, const Real* scale, std::int64_t n_sources,
                                     std::int64_t K, std::int64_t w, Stack<Real>& out) noexcept {
    for (std::int64_t i = 0; i < K * w; ++i) out.R[i] = Real(0.0);
    for (std::int64_t j = 0; j < K; ++j) out.z[j] = Real(0.0);
    out.rest = Real(0.0);
    for (std::int64_t j = 0; j < K; ++j) {
        for (std::int64_t s = 0; s < n_sources; ++s) {
            const double* mine = sources + (s * K + j) * w;
            bool is_zero = rhs[s * K + j] == 0.0;
            for (std::int64_t i = 0; i < w; ++i) {
                out.row[i] = mine[i] * scale[s];
                is_zero = is_zero && mine[i] == 0.0;
            }
            if (!is_zero) absorb(out.R, out.z, out.rest, K, w, out.row, rhs[s * K + j] * scale[s], j);
        }
    }
    LogProduct<Real> product;
    for (std::int64_t j = 0; j < K; ++j) {
        if (!(value(out.R[j * w]) > 0.0)) return {Outcome::unidentified, j};
        product.multiply(out.R[j * w]);
    }
    out.log_det = 2.0 * product.log();
    return {};
}

// Stacks sources and solves; the band of the inverse by Takahashi's recursion (Hutchinson & de Hoog 1985, "Smoothing noisy data with
// spline functions").
template <class Real>
SMOOTHFIT_NOINLINE Status solve_stack(const double* sources, const double* rhs, const Real* scale, std::int64_t n_sources,
                                      std::int64_t K, std::int64_t w, Stack<Real>& out) noexcept {
    const Status status = stack_rows(sources, rhs, scale, n_sources, K, w, out);
    if (status.outcome != Outcome::ok) return status;
    for (std::int64_t j = K - 1; j >= 0; --j) {
        const Real* mine = out.R + j * w;
        Real* entry = out.inverse + j * w;
        const std::int64_t reach = j + w <= K ? w : K - j;  // entries within the matrix
        const Real over = Real(1.0) / mine[0];
        Real sum = out.z[j];
        for (std::int64_t k = 1; k < reach; ++k) sum = sum - mine[k] * out.coef[j + k];
        out.coef[j] = sum * over;
        for (std::int64_t i = reach - 1; i > 0; --i) {
            Real total(0.0);
            for (std::int64_t k = 1; k < reach; ++k) {  // entry (j + k, j + i) of the inverse
                const std::int64_t low = k < i ? k : i, high = k < i ? i : k;
                total = total + mine[k] * out.inverse[(j + low) * w + high - low];
            }
            entry[i] = Real(0.0) - total * over;
        }
        Real total = over;
        for (std::int64_t k = 1; k < reach; ++k) total = total - mine[k] * entry[k];
        entry[0] = total * over;
        for (std::int64_t i = reach; i < w; ++i) entry[i] = Real(0.0);
    }
    for (std::int64_t s = 0; s < n_sources; ++s) {
        Real misfit(0.0), trace(0.0);
        for (std::int64_t j = 0; j < K; ++j) {
            const double* mine = sources + (s * K + j) * w;
            const std::int64_t reach = j + w <= K ? w : K - j;
            Real residual(0.0 - rhs[s * K + j]);
            for (std::int64_t i = 0; i < reach; ++i) {
                if (mine[i] == 0.0) continue;
                residual = residual + mine[i] * out.coef[j + i];
                Real half = 0.5 * (mine[i] * out.inverse[(j + i) * w]);
                for (std::int64_t k = i + 1; k < reach; ++k) half = half + mine[k] * out.inverse[(j + i) * w + k - i];
                trace = trace + 2.0 * (mine[i] * half);
            }
            misfit = misfit + residual * residual;
        }
        out.misfit[s] = misfit;
        out.trace[s] = trace;
    }
    return {};
}

// Quadratic forms (n) of rows, values (n, width) from the columns first (n) on, in a symmetric band (K, w), width <= w.
inline Status band_forms(const double* values, const std::int64_t* first, std::int64_t n, std::int64_t width, const double* band,
                         std::int64_t K, std::int64_t w, double* forms) noexcept {
    for (std::int64_t r = 0; r < n; ++r) {
        if (!(first[r] >= 0 && first[r] < K)) return {Outcome::outside, r};
        const double* row = values + r * width;
        const std::int64_t reach = first[r] + width <= K ? width : K - first[r];
        double sum = 0.0;
        for (std::int64_t i = 0; i < reach; ++i) {
            const double* entry = band + (first[r] + i) * w;
            double half = 0.5 * row[i] * entry[0];
            for (std::int64_t k = i + 1; k < reach; ++k) half += row[k] * entry[k - i];
            sum += row[i] * half;
        }
        forms[r] = 2.0 * sum;
    }
    return {};
}

}  // namespace smoothfit
