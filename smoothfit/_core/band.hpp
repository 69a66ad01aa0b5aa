// Banded least squares in square-root form: no product B'B of all rows is ever formed, so that no digits are squared away.
//
// A triangular factor R (K, w) holds its band row by row: R[j w + i] is the entry (j, j + i). With a right-hand side z (K) and a
// rest it stands for the rows it was made of: |B c - y|^2 = |R c - z|^2 + rest for every c. Rows are absorbed by Givens
// rotations (Golub & Van Loan 2013, section 5.2; for bands Cox 1981, "The least squares solution of overdetermined linear
// equations having band or augmented band structure"); absorbed in the order of their first columns they fill no more than w.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

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

SMOOTHFIT_INLINE Pack root_of(const Pack& x) {
    double lanes[Pack::size];
    std::memcpy(lanes, x.vector, sizeof lanes);
    SMOOTHFIT_UNROLL
    for (int i = 0; i < Pack::size; ++i) lanes[i] = std::sqrt(lanes[i]);
    Pack c;
    std::memcpy(c.vector, lanes, sizeof lanes);
    return c;
}

// Whether x vanishes, and whether it is positive: its real part; of a pack, every lane and any lane.
template <class Real>
SMOOTHFIT_INLINE bool is_zero(const Real& x) {
    return value(x) == 0.0;
}
SMOOTHFIT_INLINE bool is_zero(const Pack& x) {
    for (int i = 0; i < Pack::size; ++i)
        if (x.get(i) != 0.0) return false;
    return true;
}
// One in the lanes of a pack that vanish, where a rotation is to do nothing; zero elsewhere, and for what has no lanes.
template <class Real>
SMOOTHFIT_INLINE double zeros_of(const Real&) {
    return 0.0;
}
SMOOTHFIT_INLINE Pack zeros_of(const Pack& x) {
    double lanes[Pack::size];
    std::memcpy(lanes, x.vector, sizeof lanes);
    SMOOTHFIT_UNROLL
    for (int i = 0; i < Pack::size; ++i) lanes[i] = lanes[i] == 0.0 ? 1.0 : 0.0;
    Pack c;
    std::memcpy(c.vector, lanes, sizeof lanes);
    return c;
}
template <class Real>
SMOOTHFIT_INLINE bool is_positive(const Real& x) {
    return value(x) > 0.0;
}
SMOOTHFIT_INLINE bool is_positive(const Pack& x) {
    for (int i = 0; i < Pack::size; ++i)
        if (x.get(i) > 0.0) return true;
    return false;
}

// Absorbs one row, entries row (w) in the columns first .. first + w - 1, which is destroyed; what is left of `rhs` is returned, and
// its square joins `rest`.
template <class Real>
SMOOTHFIT_INLINE Real absorb(Real* R, Real* z, Real& rest, std::int64_t K, std::int64_t w, Real* row, Real rhs,
                             std::int64_t first) noexcept {
    std::int64_t filled = w;  // entries of the row that may differ from zero
    for (std::int64_t j = first; j < K && filled > 0; ++j) {
        Real* const mine = R + j * w;
        const Real square = mine[0] * mine[0] + row[0] * row[0];
        if (!is_zero(row[0]) && !is_zero(square)) {  // a square may underflow
            const Real length = root_of(square), still = zeros_of(length);
            const Real over = Real(1.0) / (length + still);
            const Real c = mine[0] * over + still, s = row[0] * over;
            mine[0] = length;
            std::int64_t last = 0;
            for (std::int64_t i = 1; i < w; ++i) {
                const Real old = mine[i];
                mine[i] = c * old + s * row[i];
                row[i - 1] = c * row[i] - s * old;
                if (!is_zero(row[i - 1])) last = i;
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
    return rhs;
}

// Absorbs n rows, values (n, width) from the columns first (n) on, width <= w. `row` (w) is room to work in. What is left of each
// right-hand side goes to `left` (n) unless that is null: the recursive residuals.
inline Status absorb_rows(const double* values, const std::int64_t* first, const double* rhs, std::int64_t n, std::int64_t width,
                          double* R, double* z, double* rest, std::int64_t K, std::int64_t w, double* row,
                          double* left = nullptr) noexcept {
    for (std::int64_t i = 0; i < n; ++i) {
        if (!(first[i] >= 0 && first[i] < K)) return {Outcome::outside, i};
        for (std::int64_t r = 0; r < width; ++r) row[r] = values[i * width + r];
        for (std::int64_t r = width; r < w; ++r) row[r] = 0.0;
        const double remaining = absorb(R, z, *rest, K, w, row, rhs[i], first[i]);
        if (left != nullptr) left[i] = remaining;
    }
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
    Real* window;   // (w, w) more of it
    Real log_det;   // of R'R
    Real rest;      // what the stacked rows leave: the minimum
};

// Stacks sources (n_sources, K, w), each a factor: R, z, log_det and rest. A zero on the diagonal of R stops it: `where` is the
// first such column. (Of a pack, a zero in every lane; a lane of its own with a zero ends with a log_det that is not finite.)
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
        if (!is_positive(out.R[j * w])) return {Outcome::unidentified, j};
        product.multiply(out.R[j * w]);
    }
    out.log_det = 2.0 * product.log();
    return {};
}

// Stacks sources and solves; and the band of the inverse, in square-root form.
//
// The inverse is the covariance of c where R c = z + e, Var e = I. Backwards, c_j is a combination of the w - 1 coefficients after
// it and of e_j; `window` holds c_j .. c_{j + w - 1} as combinations (rows, upper triangular) of w independent numbers, of which
// rotations leave w - 1 for the next step. Products of rows are the entries of the inverse, and squares of lengths the traces: what
// Takahashi's recursion (Hutchinson & de Hoog 1985) subtracts, where polynomials of some degree are all that is known, is never
// formed.
template <class Real>
SMOOTHFIT_NOINLINE Status solve_stack(const double* sources, const double* rhs, const Real* scale, std::int64_t n_sources,
                                      std::int64_t K, std::int64_t w, Stack<Real>& out) noexcept {
    const Status status = stack_rows(sources, rhs, scale, n_sources, K, w, out);
    if (status.outcome != Outcome::ok) return status;
    Real* const window = out.window;
    for (std::int64_t i = 0; i < w * w; ++i) window[i] = Real(0.0);
    for (std::int64_t s = 0; s < n_sources; ++s) out.misfit[s] = out.trace[s] = Real(0.0);
    for (std::int64_t j = K - 1; j >= 0; --j) {
        const Real* mine = out.R + j * w;
        Real* entry = out.inverse + j * w;
        const std::int64_t reach = j + w <= K ? w : K - j;  // entries within the matrix
        const Real over = Real(1.0) / mine[0];
        Real sum = out.z[j];
        for (std::int64_t k = 1; k < reach; ++k) sum = sum - mine[k] * out.coef[j + k];
        out.coef[j] = sum * over;
        window[0] = over;
        for (std::int64_t c = 1; c < w; ++c) {
            Real total(0.0);
            for (std::int64_t k = 1; k <= c && k < reach; ++k) total = total - mine[k] * window[k * w + c];
            window[c] = total * over;
        }
        for (std::int64_t i = 0; i < w; ++i) {
            Real total(0.0);
            for (std::int64_t c = i; c < w; ++c) total = total + window[c] * window[i * w + c];
            entry[i] = total;
        }
        for (std::int64_t s = 0; s < n_sources; ++s) {
            const double* theirs = sources + (s * K + j) * w;
            Real residual(0.0 - rhs[s * K + j]);
            for (std::int64_t i = 0; i < reach; ++i) residual = residual + theirs[i] * out.coef[j + i];
            out.misfit[s] = out.misfit[s] + residual * residual;
            for (std::int64_t c = 0; c < w; ++c) {
                Real total(0.0);
                for (std::int64_t i = 0; i <= c && i < reach; ++i) total = total + theirs[i] * window[i * w + c];
                out.trace[s] = out.trace[s] + total * total;
            }
        }
        for (std::int64_t i = w - 2; i >= 0; --i) {  // the last number joins the others
            Real* const diagonal = window + i * w + i;
            Real* const last = window + i * w + w - 1;
            if (is_zero(*last)) continue;
            const Real length = root_of(*diagonal * *diagonal + *last * *last), still = zeros_of(length);
            const Real shorter = Real(1.0) / (length + still);
            const Real cosine = *diagonal * shorter + still, sine = *last * shorter;
            for (std::int64_t r = 0; r <= i; ++r) {
                const Real x = window[r * w + i], y = window[r * w + w - 1];
                window[r * w + i] = cosine * x + sine * y;
                window[r * w + w - 1] = cosine * y - sine * x;
            }
        }
        for (std::int64_t r = w - 2; r >= 0; --r)
            for (std::int64_t c = r; c < w - 1; ++c) window[(r + 1) * w + c + 1] = window[r * w + c];
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
