// Moments of the rows of a difference equation A(L) y_k = sum_il b_il u_i,k-l + c + ..., all divided by A, run by run, and what the
// right side leaves of y.
//
//   x = y / A,   w_i = u_i / A,   e = 1 / A,   h = impulse / A,     A = 1 + a_1 L + ... + a_m L^m, from rest at the start of a run
//   row k of a run, k >= m:   x_{k-1} .. x_{k-m}, w_{i,k-l} by input and lag, e_k, x_k | h_{k-m} .. h_{k-2m+1}
//
// The columns before the bar are taken in the coordinates of `inverse` (upper triangular), in which they are nearly orthonormal,
// so that sums of products keep their digits. The columns after it span the solutions of A x = 0, the constants of a run; those
// that have decayed to nothing beside their start are left out.
#pragma once

#include <cstdint>
#include <limits>

#include "scalar.hpp"
#include "status.hpp"

namespace smoothfit {

constexpr int max_filter_order = 6;
constexpr int max_moments_order = 3;
constexpr int max_filter_columns = 10;
constexpr double decayed = 1e-30;  // of a response: its products are far below the rounding of the sums

struct FilterRows {
    const double* y;              // (n)
    const double* u;              // (n, n_inputs)
    const std::int64_t* start;    // (n_runs + 1): first row of each run, and n
    std::int64_t n_runs;
    const double* a;              // (order): a_1 .. a_m
    int order, n_inputs, first_lag;
    bool intercept;
};

// The last M + 1 values of a series divided by A, the newest first.
template <int M>
struct Recursion {
    double past[M + 1] = {};

    SMOOTHFIT_INLINE void step(double value, const double* a) {
        for (int j = M; j > 0; --j) past[j] = past[j - 1];
        for (int j = M; j > 0; --j) value -= a[j - 1] * past[j];
        past[0] = value;
    }
};

// Rows of z = W'x, a block of them at a time so that their products fill the vector units; rows that are left free are zero.
template <int C>
struct RowBlock {
    static constexpr int size = 64, lanes = 8;
    double x[C][size] = {}, z[C][size];
    int filled = 0;

    void turn(const double (&W)[C][C]) {
        for (int r = 0; r < size; r += lanes)
            for (int j = 0; j < C; ++j) {
                double part[lanes] = {};
                for (int i = 0; i <= j; ++i) {
                    SMOOTHFIT_UNROLL
                    for (int l = 0; l < lanes; ++l) part[l] += W[i][j] * x[i][r + l];
                }
                for (int l = 0; l < lanes; ++l) z[j][r + l] = part[l];
            }
    }

    double product(int i, int j) const {
        double part[lanes] = {}, sum = 0;
        for (int r = 0; r < size; r += lanes) {
            SMOOTHFIT_UNROLL
            for (int l = 0; l < lanes; ++l) part[l] += z[i][r + l] * z[j][r + l];
        }
        for (double share : part) sum += share;
        return sum;
    }

    void clear() {
        for (auto& column : x)
            for (int r = 0; r < size; ++r) column[r] = 0;
        filled = 0;
    }
};

// The series of a run, divided by A.
template <int M, int C>
struct Series {
    Recursion<M> y, one, u[C];
};

// Rows `from` to `to` of a run that starts at `first`, into the block; I inputs, or as many as there are where I is negative.
template <int M, int C, int I>
SMOOTHFIT_INLINE void fill(const FilterRows& rows, const double (&a)[M], std::int64_t first, std::int64_t from, std::int64_t to,
                           Series<M, C>& series, RowBlock<C>& block) {
    const int n_inputs = I < 0 ? rows.n_inputs : I;
    Series<M, C> s = series;  // in registers, where the number of inputs is known
    int r = block.filled;
    for (std::int64_t k = from; k < to; ++k) {
        s.y.step(rows.y[k], a);
        for (int i = 0; i < n_inputs; ++i) s.u[i].step(rows.u[k * n_inputs + i], a);
        if (rows.intercept) s.one.step(1.0, a);
        if (k < first + M) continue;
        int c = 0;
        for (int j = 1; j <= M; ++j) block.x[c++][r] = s.y.past[j];
        for (int i = 0; i < n_inputs; ++i)
            for (int l = rows.first_lag; l <= M; ++l) block.x[c++][r] = s.u[i].past[l];
        if (rows.intercept) block.x[c++][r] = s.one.past[0];
        block.x[c][r++] = s.y.past[0];
    }
    block.filled = r;
    series = s;
}

// moments (n_runs, C + m, C + m), lower triangles: products of the columns, C those before the bar.
template <int M, int C>
SMOOTHFIT_NOINLINE Status moments_of_rows(const FilterRows& rows, const double* inverse, double* moments) noexcept {
    constexpr int m = M, all = C + M;
    double a[M], W[C][C];
    for (int j = 0; j < M; ++j) a[j] = rows.a[j];
    for (int i = 0; i < C; ++i)
        for (int j = 0; j < C; ++j) W[i][j] = inverse[i * C + j];
    for (std::int64_t run = 0; run < rows.n_runs; ++run) {
        Series<M, C> series;
        Recursion<M> impulse;
        RowBlock<C> block;
        double sums[C][C] = {}, with_response[M][C] = {}, response[M][M] = {};
        const std::int64_t first = rows.start[run], last = rows.start[run + 1];
        bool starts = true, responds = true;
        for (std::int64_t from = first; from < last; from += block.size) {
            const std::int64_t to = from + block.size < last ? from + block.size : last;
            if (rows.n_inputs == 1)
                fill<M, C, 1>(rows, a, first, from, to, series, block);
            else
                fill<M, C, -1>(rows, a, first, from, to, series, block);
            block.turn(W);
            for (int i = 0; i < C; ++i)
                for (int j = 0; j <= i; ++j) sums[i][j] += block.product(i, j);
            for (int r = 0; responds && r < block.filled; ++r) {
                impulse.step(starts ? 1.0 : 0.0, a);
                starts = false;
                double size = 0;
                for (int p = 0; p < m; ++p) {
                    size += impulse.past[p] * impulse.past[p];
                    for (int j = 0; j < C; ++j) with_response[p][j] += impulse.past[p] * block.z[j][r];
                    for (int j = 0; j <= p; ++j) response[p][j] += impulse.past[p] * impulse.past[j];
                }
                responds = size > decayed * decayed;
            }
            block.clear();
        }
        double* out = moments + run * all * all;
        for (int i = 0; i < C; ++i)
            for (int j = 0; j <= i; ++j) out[i * all + j] = sums[i][j];
        for (int p = 0; p < m; ++p) {
            for (int j = 0; j < C; ++j) out[(C + p) * all + j] = with_response[p][j];
            for (int j = 0; j <= p; ++j) out[(C + p) * all + C + j] = response[p][j];
        }
    }
    return {};
}

// left (n): x_k less the other columns times psi, NaN in the first M rows of a run.
template <int M>
SMOOTHFIT_NOINLINE Status residual_of_rows(const FilterRows& rows, const double* psi, double* left) noexcept {
    double a[M];
    for (int j = 0; j < M; ++j) a[j] = rows.a[j];
    for (std::int64_t run = 0; run < rows.n_runs; ++run) {
        Recursion<M> rest;
        const std::int64_t first = rows.start[run], last = rows.start[run + 1];
        for (std::int64_t k = first; k < last; ++k) {
            if (k < first + M) {
                left[k] = std::numeric_limits<double>::quiet_NaN();
                continue;
            }
            int c = 0;
            double value = rows.y[k];
            for (int j = 1; j <= M; ++j) value -= psi[c++] * rows.y[k - j];
            for (int i = 0; i < rows.n_inputs; ++i)
                for (int l = rows.first_lag; l <= M; ++l) value -= psi[c++] * rows.u[(k - l) * rows.n_inputs + i];
            if (rows.intercept) value -= psi[c];
            rest.step(value, a);
            left[k] = rest.past[0];
        }
    }
    return {};
}

}  // namespace smoothfit
