// Fixed-interval smoother of the models of linear.hpp, from packed filtered states.
#pragma once

#include <cstdint>
#include <cstring>
#include <limits>
#include <utility>

#include "linear.hpp"

namespace smoothfit {

// A filtered state: mean, covariance, number of flat directions, flat directions.
template <int M>
constexpr int linear_size = M + 2 * M * M + 1;

template <int M>
inline void pack_linear(const LinearState<double, M>& s, double* p) {
    std::memcpy(p, s.a, sizeof s.a);
    std::memcpy(p + M, s.P, sizeof s.P);
    p[M + M * M] = s.n_flat;
    std::memcpy(p + M + M * M + 1, s.flat, sizeof s.flat);
}

template <int M>
using Square = double[M][M];

// X := A^-1 X by elimination with partial pivoting; false where A is singular.
template <int M>
inline bool solve_in_place(Square<M>& A, double* X, int columns) {
    for (int k = 0; k < M; ++k) {
        int p = k;
        for (int i = k + 1; i < M; ++i)
            if (size_of(A[i][k]) > size_of(A[p][k])) p = i;
        if (!(size_of(A[p][k]) > 0)) return false;
        for (int j = 0; j < M; ++j) {
            const double t = A[k][j];
            A[k][j] = A[p][j];
            A[p][j] = t;
        }
        for (int j = 0; j < columns; ++j) {
            const double t = X[k * columns + j];
            X[k * columns + j] = X[p * columns + j];
            X[p * columns + j] = t;
        }
        for (int i = k + 1; i < M; ++i) {
            const double factor = A[i][k] / A[k][k];
            for (int j = k; j < M; ++j) A[i][j] -= factor * A[k][j];
            for (int j = 0; j < columns; ++j) X[i * columns + j] -= factor * X[k * columns + j];
        }
    }
    for (int k = M - 1; k >= 0; --k) {
        for (int j = 0; j < columns; ++j) {
            double sum = X[k * columns + j];
            for (int l = k + 1; l < M; ++l) sum -= A[k][l] * X[l * columns + j];
            X[k * columns + j] = sum / A[k][k];
        }
    }
    return true;
}

constexpr double DETERMINED = 4 * std::numeric_limits<double>::epsilon();  // of a variance, beside those of other entries: rounding

// X := A^- X for a covariance A and columns X in its range, as those of cov(x, y) for y of covariance A: by elimination with diagonal
// pivoting. Entries that the others determine, whose conditional variance is rounding of their own, count for nothing.
template <int M>
inline void solve_covariance(Square<M>& A, double* X, int columns) {
    double own[M];
    int order[M];
    for (int i = 0; i < M; ++i) {
        own[i] = A[i][i];
        order[i] = i;
    }
    int rank = 0;
    for (; rank < M; ++rank) {
        int best = -1;
        double most = M * DETERMINED;
        for (int i = rank; i < M; ++i) {
            const int o = order[i];
            if (A[o][o] > most * own[o]) {
                most = A[o][o] / own[o];
                best = i;
            }
        }
        if (best < 0) break;
        std::swap(order[rank], order[best]);
        const int p = order[rank];
        for (int i = rank + 1; i < M; ++i) {
            const int o = order[i];
            const double factor = A[o][p] / A[p][p];
            for (int j = rank + 1; j < M; ++j) A[o][order[j]] -= factor * A[p][order[j]];
            for (int j = 0; j < columns; ++j) X[o * columns + j] -= factor * X[p * columns + j];
        }
    }
    for (int i = rank; i < M; ++i)
        for (int j = 0; j < columns; ++j) X[order[i] * columns + j] = 0;
    for (int k = rank - 1; k >= 0; --k) {
        const int p = order[k];
        for (int j = 0; j < columns; ++j) {
            double sum = X[p * columns + j];
            for (int l = k + 1; l < rank; ++l) sum -= A[p][order[l]] * X[order[l] * columns + j];
            X[p * columns + j] = sum / A[p][p];
        }
    }
}

template <int M>
inline void multiply(const Square<M>& A, const Square<M>& B, Square<M>& C) {
    for (int i = 0; i < M; ++i)
        for (int j = 0; j < M; ++j) {
            double sum = 0;
            for (int l = 0; l < M; ++l) sum += A[i][l] * B[l][j];
            C[i][j] = sum;
        }
}

// C += A B A'.
template <int M>
inline void add_congruent(const Square<M>& A, const Square<M>& B, Square<M>& C) {
    Square<M> half;
    multiply<M>(A, B, half);
    for (int i = 0; i < M; ++i)
        for (int j = 0; j < M; ++j)
            for (int l = 0; l < M; ++l) C[i][j] += half[i][l] * A[j][l];
}

// lim (P + k F F')^-1, k -> infinity: the inverse of P on the complement of the columns of F, or, if P has none there, one that holds
// on its range.
template <int M>
inline void limit_of_inverse(const Square<M>& P, const double (*flat)[M], int n_flat, Square<M>& out) {
    double basis[M][M] = {};  // rows: orthonormal, the first n_flat span the columns of F
    int count = 0;
    for (int candidate = 0; candidate < n_flat + M && count < M; ++candidate) {
        double v[M], before = 0, after = 0;
        for (int i = 0; i < M; ++i) v[i] = candidate < n_flat ? flat[i][candidate] : (i == candidate - n_flat ? 1.0 : 0.0);
        for (int i = 0; i < M; ++i) before += v[i] * v[i];
        for (int pass = 0; pass < 2; ++pass)
            for (int b = 0; b < count; ++b) {
                double dot = 0;
                for (int i = 0; i < M; ++i) dot += basis[b][i] * v[i];
                for (int i = 0; i < M; ++i) v[i] -= dot * basis[b][i];
            }
        for (int i = 0; i < M; ++i) after += v[i] * v[i];
        if (candidate >= n_flat && after < 0.5 / M * before) continue;  // some unit vector always keeps 1 / M of its length
        const double length = std::sqrt(after);
        for (int i = 0; i < M; ++i) basis[count][i] = v[i] / length;
        ++count;
    }
    const int known = M - n_flat;
    // On the complement, coordinates `known`; elsewhere ones on the diagonal, so that one solver serves all sizes.
    Square<M> inner, right;
    for (int i = 0; i < M; ++i)
        for (int j = 0; j < M; ++j) {
            inner[i][j] = i == j ? 1.0 : 0.0;
            right[i][j] = i < known ? basis[n_flat + i][j] : 0.0;
        }
    for (int i = 0; i < known; ++i)
        for (int j = 0; j < known; ++j) {
            double sum = 0;
            for (int k = 0; k < M; ++k)
                for (int l = 0; l < M; ++l) sum += basis[n_flat + i][k] * P[k][l] * basis[n_flat + j][l];
            inner[i][j] = sum;
        }
    solve_covariance<M>(inner, &right[0][0], M);
    for (int i = 0; i < M; ++i)
        for (int j = 0; j < M; ++j) {
            double sum = 0;
            for (int k = 0; k < known; ++k) sum += basis[n_flat + k][i] * right[k][j];
            out[i][j] = sum;
        }
}

// Posterior means (n, M) and covariances (n, M, M) from packed filtered states. Where the filtered state is known, Rauch,
// Tung & Striebel's step J = P T' (P+)^-1 with the covariance as a sum of squares; where it is partly flat, the limit through T^-1.
template <int M>
Status smooth_linear(const LinearRows& rows, const LinearSteps& steps, const double* filtered, double* mean,
                     double* covariance) noexcept {
    LinearStep<double, M> step{};
    std::int64_t loaded = -1;
    for (std::int64_t i = rows.n - 1; i >= 0; --i) {
        const double* packed = filtered + i * linear_size<M>;
        double a[M];
        Square<M> P;
        std::memcpy(a, packed, sizeof a);
        std::memcpy(P, packed + M, sizeof P);
        const int n_flat = static_cast<int>(packed[M + M * M]);
        double* x = mean + i * M;
        double* V = covariance + i * M * M;
        if (i + 1 == rows.n || rows.step[i + 1] < 0) {
            std::memcpy(x, a, sizeof a);
            std::memcpy(V, P, sizeof P);
            continue;
        }
        const std::int64_t c = rows.step[i + 1];
        if (c != loaded) {
            step.load(steps, c);
            loaded = c;
        }
        const double* G = steps.G + c * M * rows.n_inputs;
        double ahead[M];
        std::memcpy(ahead, a, sizeof a);
        drive<double, M>(ahead, step, G, rows.u + (i + 1) * rows.n_inputs, rows.n_inputs);
        Square<M> after;
        std::memcpy(after, P, sizeof P);
        spread<double, M>(after, step);
        const double* next = mean + (i + 1) * M;
        Square<M> W, result = {};
        std::memcpy(W, covariance + (i + 1) * M * M, sizeof W);
        if (n_flat == 0) {
            Square<M> J, transposed, left, Q;  // J' = (P+)^-1 T P
            multiply<M>(step.T, P, transposed);
            solve_covariance<M>(after, &transposed[0][0], M);
            for (int r = 0; r < M; ++r)
                for (int k = 0; k < M; ++k) J[r][k] = transposed[k][r];
            multiply<M>(J, step.T, left);
            for (int r = 0; r < M; ++r)
                for (int k = 0; k < M; ++k) {
                    left[r][k] = (r == k ? 1.0 : 0.0) - left[r][k];
                    Q[r][k] = step.Q[r][k] + W[r][k];
                }
            add_congruent<M>(left, P, result);
            add_congruent<M>(J, Q, result);
            for (int r = 0; r < M; ++r) {
                x[r] = a[r];
                for (int k = 0; k < M; ++k) x[r] += J[r][k] * (next[k] - ahead[k]);
            }
        } else {
            LinearState<double, M> flat;
            flat.n_flat = n_flat;
            std::memcpy(flat.flat, packed + M + M * M + 1, sizeof flat.flat);
            spread_flat<double, M>(flat, step);
            Square<M> limit, taken, rest, inner = {}, inverse = {}, T;
            limit_of_inverse<M>(after, flat.flat, n_flat, limit);
            multiply<M>(step.Q, limit, taken);
            for (int r = 0; r < M; ++r)
                for (int k = 0; k < M; ++k) {
                    rest[r][k] = (r == k ? 1.0 : 0.0) - taken[r][k];
                    inverse[r][k] = r == k ? 1.0 : 0.0;
                }
            add_congruent<M>(rest, W, inner);
            Square<M> noise;
            multiply<M>(rest, step.Q, noise);
            for (int r = 0; r < M; ++r)
                for (int k = 0; k < M; ++k) inner[r][k] += 0.5 * (noise[r][k] + noise[k][r]);
            std::memcpy(T, step.T, sizeof T);
            if (!solve_in_place<M>(T, &inverse[0][0], M)) return {Outcome::overflow, i};
            add_congruent<M>(inverse, inner, result);
            double moved[M], offset[M];
            double origin[M] = {};
            drive<double, M>(origin, step, G, rows.u + (i + 1) * rows.n_inputs, rows.n_inputs);
            for (int r = 0; r < M; ++r) offset[r] = ahead[r] - next[r];
            for (int r = 0; r < M; ++r) {
                moved[r] = next[r] - origin[r];
                for (int k = 0; k < M; ++k) moved[r] += taken[r][k] * offset[k];
            }
            for (int r = 0; r < M; ++r) {
                x[r] = 0;
                for (int k = 0; k < M; ++k) x[r] += inverse[r][k] * moved[k];
            }
        }
        for (int r = 0; r < M; ++r)
            for (int k = 0; k < M; ++k) V[r * M + k] = 0.5 * (result[r][k] + result[k][r]);
    }
    return {};
}

}  // namespace smoothfit
