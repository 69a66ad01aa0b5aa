// Smoother and sampler of the Markov processes of markov.hpp.
//
// It orthogonalises the shocks of x_i behind the rows of x_{i+1}: what is left of them, R e, is their part that x_{i+1} does
// not tell, and the coefficients are the gain (P. Park and T. Kailath 1995, "Square-root RTS smoothing algorithms").
#pragma once

#include <cmath>
#include <cstdint>
#include <utility>

#include "markov.hpp"

namespace smoothfit {

template <int M>
std::int64_t markov_size(int m) {
    return static_cast<std::int64_t>(actual<M>(m)) * (actual<M>(m) + 3);
}

// A filtered state: mu, D, flat, U.
template <int M>
void pack_markov(const MarkovState<double, M>& s, int given, double* p) {
    const int m = actual<M>(given);
    for (int i = 0; i < m; ++i) {
        *p++ = s.mu[i];
        *p++ = s.D[i];
        *p++ = s.flat[i];
        for (int j = 0; j < m; ++j) *p++ = j > i ? s.U[i][j] : 0.0;
    }
}

template <int M>
void unpack_markov(const double* p, int given, MarkovState<double, M>& s) {
    const int m = actual<M>(given);
    for (int i = 0; i < m; ++i) {
        s.mu[i] = *p++;
        s.D[i] = *p++;
        s.flat[i] = *p++;
        for (int j = 0; j < m; ++j) s.U[i][j] = *p++;
    }
    count_flat<double, M>(s, m);
}

// Where the smoother writes: of each row the mean of H x and its variance; or, with `normals` (n, 2 m, n_draws), draws of
// H x less its mean, (rows, n_draws), with `deviations` (m, n_draws) twice for their state; or, with `asked` (rows,), the covariances
// (n_asked, n_asked) of the rows that it marks, with `deviations` (m, n_asked) twice for those between the state and later rows.
struct MarkovOutput {
    double* mean;
    double* variance;
    const double* normals;
    double* deviations;
    double* draws;
    std::int64_t n_draws;
    const std::uint8_t* asked;
    double* joint;
    std::int64_t n_asked;
};

// What is left of shock r of shock c, R_rc, is one less its explained part: rounding where little is left. But w_c R_rc is the covariance
// of what is left of both, a sum over all shocks, mostly those of the step; it is taken where it is the more accurate.
template <int M>
void sharpen(double (&X)[2 * M][2 * M], const double (&w)[2 * M], int given) {
    const int m = actual<M>(given);
    double C[M][M];
    for (int r = 0; r < m; ++r)
        for (int c = 0; c <= r; ++c) {
            double sum = 0;
            for (int k = 0; k < 2 * m; ++k) sum += w[k] * X[m + r][k] * X[m + c][k];
            C[r][c] = C[c][r] = sum;
        }
    for (int r = 0; r < m; ++r)
        for (int c = 0; c < m; ++c)
            if (w[c] > C[r][r]) X[m + r][c] = C[r][c] / w[c];
}

// Covariances of the rows asked for at a node, of which the last is the one before `end`, with themselves and with those of later
// nodes: Cov(x_i, h) = G Cov(x_{i+1}, h), G = S J, for each later row h. U D U' is the covariance of x_i. Returns the first row of the
// node among those asked for. `now` and `next` are (m, n_asked).
template <int M>
std::int64_t join_node(const MarkovRows& rows, std::int64_t i, const double (&S)[M][M], const double (&J)[M][M], const double (&U)[M][M],
                       const double (&D)[M], const MarkovOutput& out, const double* next, double* now, std::int64_t end) {
    const int m = actual<M>(rows.m);
    const std::int64_t n = out.n_asked;
    for (std::int64_t k = end; k < n; ++k) {
        double shock[M];
        for (int r = 0; r < m; ++r) {
            shock[r] = 0;
            for (int c = 0; c < m; ++c) shock[r] += J[r][c] * next[c * n + k];
        }
        for (int r = 0; r < m; ++r) {
            double sum = shock[r];
            for (int c = r + 1; c < m; ++c) sum += S[r][c] * shock[c];
            now[r * n + k] = sum;
        }
    }
    for (std::int64_t row = rows.first[i + 1] - 1; row >= rows.first[i]; --row) {
        if (!out.asked[row]) continue;
        const double* H = rows.H + row * m;
        --end;
        double shock[M];
        for (int c = 0; c < m; ++c) {
            shock[c] = H[c];
            for (int r = 0; r < c; ++r) shock[c] += H[r] * U[r][c];
            shock[c] *= D[c];
        }
        for (int r = 0; r < m; ++r) {
            double sum = shock[r];
            for (int c = r + 1; c < m; ++c) sum += U[r][c] * shock[c];
            now[r * n + end] = sum;
        }
        for (std::int64_t k = end; k < n; ++k) {
            double sum = 0;
            for (int c = 0; c < m; ++c) sum += H[c] * now[c * n + k];
            out.joint[end * n + k] = out.joint[k * n + end] = sum;
        }
    }
    return end;
}

template <int M>
Status smooth_markov(const MarkovRows& rows, MarkovClasses<double, M>& classes, const double* filtered, const MarkovOutput& out) noexcept {
    const int m = actual<M>(rows.m);
    MarkovState<double, M> s{};
    double x[M] = {}, U[M][M] = {}, D[M] = {};  // posterior mean, and covariance U D U'
    double* now = out.deviations;
    double* next = out.deviations + m * (out.n_draws + out.n_asked);
    std::int64_t joined = out.n_asked;
    for (std::int64_t i = rows.n - 1; i >= 0; --i) {
        unpack_markov<M>(filtered + i * markov_size<M>(m), m, s);
        const double* normals = out.normals == nullptr ? nullptr : out.normals + i * 2 * m * out.n_draws;
        double J[M][M] = {}, X[2 * M][2 * M], w[2 * M], infinite[2 * M], e[M];
        if (i + 1 == rows.n) {
            for (int r = 0; r < m; ++r) {
                e[r] = s.mu[r];
                D[r] = s.D[r];
                for (int c = r + 1; c < m; ++c) U[r][c] = s.U[r][c];
            }
        } else {
            const MarkovStep<double, M>& step = classes.factored(rows.step[i + 1]);
            double coef[2 * M][M], none[M], after[M];
            ColumnsOf<M, 2 * M> columns;
            shocks_of_step<double, M, 2 * M>(s, step, m, X, w, infinite, columns);
            for (int r = 0; r < m; ++r) {
                for (int c = 0; c < m; ++c) {
                    X[m + r][c] = r == c ? 1.0 : 0.0;
                    X[m + r][m + c] = 0.0;
                }
                if constexpr (M > dense_state) {
                    columns.from[m + r] = r;
                    columns.to[m + r] = r + 1;
                    columns.step_from[m + r] = columns.step_to[m + r] = m;
                }
            }
            orthogonalize<double, 2 * M, 2 * M, M>(X, 2 * m, m, columns, w, s.n_flat > 0 ? infinite : nullptr, coef, after, none);
            for (int r = 0; r < m; ++r)
                for (int c = 0; s.n_flat > 0 && c < m; ++c)
                    if (infinite[c] > 0 && X[m + r][c] != 0) return {Outcome::overflow, rows.first[i]};
            sharpen<M>(X, w, m);
            for (int r = 0; r < m; ++r)
                for (int j = 0; j < m; ++j) {
                    double sum = coef[m + r][j];
                    for (int l = 0; l < j; ++l) sum -= J[r][l] * coef[l][j];
                    J[r][j] = sum;
                }
            for (int j = m - 1; j >= 0; --j) {  // the shocks of x_{i+1} at its posterior mean
                after[j] = x[j];
                for (int k = j + 1; k < m; ++k) after[j] -= coef[j][k] * after[k];
            }
            for (int r = 0; r < m; ++r) {
                e[r] = 0;
                for (int j = 0; j < m; ++j) e[r] += coef[m + r][j] * after[j];
                for (int c = 0; c < m; ++c) e[r] += X[m + r][c] * s.mu[c];
            }
            if (out.normals == nullptr) {
                double Y[M][3 * M], weights[3 * M];
                for (int c = 0; c < m; ++c) {
                    weights[c] = D[c];
                    weights[m + c] = w[c];
                    weights[2 * m + c] = w[m + c];
                    for (int r = 0; r < m; ++r) {
                        double sum = J[r][c];
                        for (int l = 0; l < c; ++l) sum += J[r][l] * U[l][c];
                        Y[r][c] = sum;
                        Y[r][m + c] = X[m + r][c];
                        Y[r][2 * m + c] = X[m + r][m + c];
                    }
                }
                for (int r = 0; r < m; ++r)  // from the shocks to the state; later rows are still those of shocks
                    for (int k = r + 1; k < m; ++k)
                        for (int c = 0; c < 3 * m; ++c) Y[r][c] += s.U[r][k] * Y[k][c];
                AllColumns all{3 * m};
                orthogonalize<double, M, 3 * M, M>(Y, m, m, all, weights, nullptr, U, D, none);
            }
        }
        for (int r = 0; r < m; ++r) {
            x[r] = e[r];
            for (int c = r + 1; c < m; ++c) x[r] += s.U[r][c] * e[c];
        }
        if (out.normals != nullptr) {
            const bool is_last = i + 1 == rows.n;
            for (std::int64_t d = 0; d < out.n_draws; ++d) {
                double shock[M];
                for (int r = 0; r < m; ++r) {
                    if (is_last) {
                        shock[r] = std::sqrt(s.D[r]) * normals[r * out.n_draws + d];
                        continue;
                    }
                    shock[r] = 0;
                    for (int c = 0; c < m; ++c) shock[r] += J[r][c] * next[c * out.n_draws + d];
                    for (int c = 0; c < 2 * m; ++c) shock[r] += X[m + r][c] * std::sqrt(w[c]) * normals[c * out.n_draws + d];
                }
                for (int r = 0; r < m; ++r) {
                    double sum = shock[r];
                    for (int c = r + 1; c < m; ++c) sum += s.U[r][c] * shock[c];
                    now[r * out.n_draws + d] = sum;
                }
            }
            for (std::int64_t row = rows.first[i]; row < rows.first[i + 1]; ++row)
                for (std::int64_t d = 0; d < out.n_draws; ++d) {
                    double sum = 0;
                    for (int c = 0; c < m; ++c) sum += rows.H[row * m + c] * now[c * out.n_draws + d];
                    out.draws[row * out.n_draws + d] = sum;
                }
            std::swap(now, next);
            continue;
        }
        if (out.asked != nullptr) {
            joined = join_node<M>(rows, i, s.U, J, U, D, out, next, now, joined);
            std::swap(now, next);
            continue;
        }
        for (std::int64_t row = rows.first[i]; row < rows.first[i + 1]; ++row) {
            const double* H = rows.H + row * m;
            double mean = 0, variance = 0;
            for (int j = 0; j < m; ++j) {
                double f = H[j];
                for (int l = 0; l < j; ++l) f += H[l] * U[l][j];
                mean += H[j] * x[j];
                variance += D[j] * f * f;
            }
            out.mean[row] = mean;
            out.variance[row] = variance;
        }
    }
    return {};
}

}  // namespace smoothfit
