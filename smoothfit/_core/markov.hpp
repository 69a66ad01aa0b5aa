// Exact Kalman filter, smoother and sampler of a linear Gaussian Markov process that is read through any rows.
//
//   x_i = T_c x_{i-1} + w_i,   Var w_i = Q_c,     c = step[i] the class of the step into node i,
//   x_0 = B beta + w_0,        Var w_0 = P0,      beta entirely unknown (exactly diffuse),
//   y_r = H_r x_i + e_r,       Var e_r = ratio[r] variance[group[r]],     first[i] <= r < first[i + 1].
//
// T may be singular (components that are forgotten or held), Q and P0 of any rank, and a noise variance zero (a constraint).
// Hyperparameters, B and variance carry their derivatives along N directions where Real is Dual<double, N>, T, Q and P0 are made of them
// (processes.hpp), and the log-likelihood carries its exact score.
//
// The covariance is kept as P = U D U', U unit upper triangular, D diagonal (Bierman 1977, "Factorization methods for discrete
// sequential estimation", chapters V to VII): x - a = U e with independent e_j of variance D_j, or of variance k flat_j,
// k -> infinity, where flat_j > 0. A step and the smoother orthogonalise the rows that stand for the components in independent
// shocks, modified and weighted Gram & Schmidt; where shocks have infinite variance these are orthogonalised first, which is
// the limit. No covariance is ever the difference of two.
//
// The mean is kept as mu = U^-1 a, the mean of the shocks e: a reading averages it, and a step moves it as the shocks. Where a first
// guess was wide of the mark, a + gain * innovation would be the difference of two huge numbers; see filter.hpp.
//
// The smoother orthogonalises the shocks of x_i behind the rows of x_{i+1}: what is left of them, R e, is their part that x_{i+1} does
// not tell, and the coefficients are the gain (P. Park and T. Kailath 1995, "Square-root RTS smoothing algorithms").
//
// M up to 8 are unrolled; beyond, M is the greatest state and `m` the actual one. T and Q are block diagonal where processes add: in all but
// the smallest states only the hull of what is not zero in a row is computed with.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <vector>

#include "linear.hpp"
#include "processes.hpp"
#include "scalar.hpp"
#include "status.hpp"

namespace smoothfit {

struct MarkovRows {
    std::int64_t n;             // nodes
    const std::int32_t* step;   // (n): class of the step into the node; that of node 0 is not used
    const std::int64_t* first;  // (n + 1)
    const double* H;            // (rows, m)
    const double* y;            // (rows): NaN where nothing is read
    const double* ratio;        // (rows)
    const std::uint8_t* group;  // (rows)
    int m;
};

// What a slot is over a step: of no interval, of one that begins with the step, of one that goes on (markov/slots.py).
enum class Slot : std::int8_t { closed, fresh, open };

// The state: processes, accumulators of the integral of f, held values, and constants. Classes of steps differ in dt or in slots.
struct MarkovSteps {
    const Block* blocks;
    std::int64_t n_blocks;
    int n_process, n_accumulators, n_held, m;
    std::int64_t n_classes;
    const double* dt;               // (steps)
    const std::int64_t* class_dt;   // (classes)
    const std::int8_t* slots;       // (classes, n_accumulators + n_held)
    const double* sources;          // (n_held, n_process): what held slots hold
};

// What changes from one evaluation to the next, each entry a number and its N derivatives.
struct MarkovValues {
    const double* parameters;  // (hyperparameters, 1 + N)
    const double* B;           // (m, n_diffuse, 1 + N), n_diffuse <= m
    const double* variance;    // (groups, 1 + N)
    int n_diffuse;
    bool is_still;  // whether Q and P0 are zero
};

constexpr int unrolled_state = 8;

template <int M>
constexpr int actual(int m) {
    return M <= unrolled_state ? M : m;
}

constexpr double square_of_rounding = linear_rounding * linear_rounding;

// What of a sum, of the size of its terms, is no trace of a shock of infinite variance. Such a trace would be taken for one however
// small it is, and on even grids many are zero: the bound lies above the rounding of a diffuse start of many steps. To take a
// true trace below it for none is a change of that size of the rows, as to a neighbour that far away on x.
constexpr double flat_rounding = 0x1p-36;

template <class Real>
inline Real unless_vanishing(const Real& sum, double size) {
    return size_of(sum) <= flat_rounding * size ? Real(0.0) : sum;
}

template <class Real, int M>
struct MarkovState {
    Real mu[M];
    Real U[M][M];  // the part above the diagonal is used
    Real D[M];
    Real flat[M];
    int n_flat;
};

template <class Real, int M>
struct MarkovStep {
    Real T[M][M];
    Real U[M][M];  // Q = U D U'
    Real D[M];
    int begin[M], end[M];  // T_ij is zero but for begin[i] <= j < end[i]
    int reach[M];          // U_ij D_j is zero but for i <= j < reach[i]
};

// Columns of rows X: all of them, or of each row two hulls of what is not zero, of the shocks of the state and of those of the step.
struct AllColumns {
    int total;
    template <class F>
    SMOOTHFIT_INLINE void each(int, const F& f) const {
        for (int c = 0; c < total; ++c) f(c);
    }
    SMOOTHFIT_INLINE void join(int, int) {}
};

template <int R>
struct Hulls {
    int total;
    int from[R], to[R], step_from[R], step_to[R];
    template <class F>
    SMOOTHFIT_INLINE void each(int row, const F& f) const {
        for (int c = from[row]; c < to[row]; ++c) f(c);
        for (int c = step_from[row]; c < step_to[row]; ++c) f(c);
    }
    SMOOTHFIT_INLINE void join(int row, int other) {
        join(from[row], to[row], from[other], to[other]);
        join(step_from[row], step_to[row], step_from[other], step_to[other]);
    }

private:
    static SMOOTHFIT_INLINE void join(int& from, int& to, int other_from, int other_to) {
        if (other_from >= other_to) return;
        if (from >= to) from = other_from, to = other_to;
        from = other_from < from ? other_from : from;
        to = other_to > to ? other_to : to;
    }
};

constexpr int dense_state = 3;  // up to which all columns are computed with
template <int M, int R>
using ColumnsOf = std::conditional_t<M <= dense_state, AllColumns, Hulls<R>>;

// Orthogonalises the first `pivots` rows of X, the last of them first, in shocks of variances w, and k infinite[c], k -> infinity,
// where that is not null; takes their parts out of the rows after them. X_i = sum_j coef_ij e_j + what is left.
template <class Real, int R, int C, int P, class Columns>
SMOOTHFIT_INLINE void orthogonalize(Real (&X)[R][C], int rows, int pivots, Columns& columns, const Real (&w)[C], const Real* infinite,
                                    Real (&coef)[R][P], Real (&D)[P], Real (&flat)[P]) {
    double before[P];
    for (int j = 0; j < pivots; ++j) {
        before[j] = 0;
        columns.each(j, [&](int c) { before[j] += value(w[c]) * value(X[j][c]) * value(X[j][c]); });
    }
    int left = 0;
    for (int c = 0; infinite != nullptr && c < columns.total; ++c) left += value(infinite[c]) > 0;
    for (int j = pivots - 1; j >= 0; --j) {
        flat[j] = Real(0.0);
        D[j] = Real(0.0);
        Real shared[C], dot[R];
        Real norm(0.0);
        bool is_flat = false;
        const auto weigh = [&](const Real* weights) {
            norm = Real(0.0);
            columns.each(j, [&](int c) {
                shared[c] = weights[c] * X[j][c];
                norm = norm + shared[c] * X[j][c];
            });
        };
        const auto others = [&](const auto& f) {
            for (int i = 0; i < j; ++i) f(i);
            for (int i = pivots; i < rows; ++i) f(i);
        };
        if (left > 0) {
            weigh(infinite);
            is_flat = value(norm) > 0;
        }
        if (is_flat) {
            flat[j] = norm;
            --left;
        } else {
            weigh(w);
            if (!(value(norm) > square_of_rounding * before[j])) {
                others([&](int i) { coef[i][j] = Real(0.0); });
                continue;
            }
            D[j] = norm;
        }
        const Real inverse = Real(1.0) / norm;
        others([&](int i) { dot[i] = Real(0.0); });
        columns.each(j, [&](int c) { others([&](int i) { dot[i] = dot[i] + shared[c] * X[i][c]; }); });
        others([&](int i) {
            if (is_flat) {
                double size = 0;
                columns.each(j, [&](int c) { size += size_of(shared[c] * X[i][c]); });
                dot[i] = unless_vanishing(dot[i], size);
            }
            coef[i][j] = dot[i] * inverse;
        });
        if (is_flat) {
            others([&](int i) {
                columns.each(j, [&](int c) {
                    const Real term = coef[i][j] * X[j][c];
                    const double size = size_of(X[i][c]) + size_of(term);
                    X[i][c] = X[i][c] - term;
                    if (value(infinite[c]) > 0) X[i][c] = unless_vanishing(X[i][c], size);
                });
                for (int c = 0; left == 0 && c < columns.total; ++c)
                    if (value(infinite[c]) > 0) X[i][c] = Real(0.0);
                columns.join(i, j);
            });
        } else {
            columns.each(j, [&](int c) { others([&](int i) { X[i][c] = X[i][c] - coef[i][j] * X[j][c]; }); });
            others([&](int i) { columns.join(i, j); });
        }
    }
}

// A = U D U' of the block [from, to) of a positive semidefinite matrix; a pivot that is rounding is zero.
template <class Real, int M>
void factorize(const Real (&A)[M][M], int from, int to, Real (&U)[M][M], Real (&D)[M]) {
    for (int j = to - 1; j >= from; --j) {
        Real pivot = A[j][j];
        for (int k = j + 1; k < to; ++k) pivot = pivot - D[k] * U[j][k] * U[j][k];
        const bool is_zero = !(value(pivot) > linear_rounding * value(A[j][j]));
        D[j] = is_zero ? Real(0.0) : pivot;
        for (int i = from; i < to; ++i) U[i][j] = Real(i == j ? 1.0 : 0.0);
        for (int i = from; i < j && !is_zero; ++i) {
            Real sum = A[i][j];
            for (int k = j + 1; k < to; ++k) sum = sum - D[k] * U[i][k] * U[j][k];
            U[i][j] = sum / pivot;
        }
    }
}

SMOOTHFIT_INLINE bool is_zero(double x) { return x == 0; }
template <int N>
SMOOTHFIT_INLINE bool is_zero(const Dual<double, N>& x) {
    bool zero = x.re == 0;
    for (int i = 0; i < N; ++i) zero = zero && x.eps[i] == 0;
    return zero;
}

constexpr std::int64_t most_tabled = 256;  // classes of steps that are made ahead

// The steps by class: all of them are made ahead where there are few, else the last one is kept.
template <class Real, int M>
class MarkovClasses {
public:
    MarkovClasses(const MarkovSteps& steps, const MarkovValues& values)
        : steps_(steps), is_still_(values.is_still), Q_{}, front_T_{}, front_Q_{}, step_{} {
        const int m = actual<M>(steps_.m);
        for (std::int64_t b = 0; b < steps.n_blocks; ++b) processes_.emplace_back(steps.blocks[b], values.parameters);
        for (int i = 0; i < m; ++i) {
            step_.U[i][i] = Real(1.0);
            if (i >= steps.n_process + steps.n_accumulators + steps.n_held) step_.T[i][i] = Real(1.0);
        }
        if (steps.n_classes > most_tabled) return;
        for (std::int64_t c = 0; c < steps.n_classes; ++c) {
            load(c);
            table_.push_back(step_);
        }
    }

    const MarkovStep<Real, M>& at(std::int64_t c) {
        if (!table_.empty()) return table_[static_cast<std::size_t>(c)];
        if (c != loaded_) load(c);
        return step_;
    }

    // The covariance of the first state, but for what is entirely unknown.
    void first(Real (&P0)[M][M]) const {
        int at = 0;
        for (const Process<Real>& process : processes_) {
            const int d = process.block().dim;
            for (int i = 0; i < d; ++i)
                for (int j = 0; j < d; ++j) P0[at + i][at + j] = is_still_ ? Real(0.0) : process.first(i, j);
            at += d;
        }
    }

private:
    void load(std::int64_t c) {
        const std::int64_t s = steps_.class_dt[c];
        Real corner(0.0);
        int at = 0;
        for (const Process<Real>& process : processes_) {
            const int d = process.block().dim, skip = process.block().integrated;
            process.matrices(steps_.dt[s], s, [&](int i, int j, const Real& t, const Real& q) {
                if (i >= skip && j >= skip) {
                    step_.T[at + i - skip][at + j - skip] = t;
                    Q_[at + i - skip][at + j - skip] = q;
                } else if (i == 0 && j > 0) {
                    front_T_[at + j - 1] = t;
                    front_Q_[at + j - 1] = q;
                } else if (i == 0) {
                    corner = corner + q;
                }
            });
            if (steps_.n_accumulators == 0 && !is_still_) factorize<Real, M>(Q_, at, at + d, step_.U, step_.D);
            at += d;
        }
        load_slots(steps_.slots + c * (steps_.n_accumulators + steps_.n_held), corner);
        if constexpr (M > dense_state) find_ranges();
        loaded_ = c;
    }

    void load_slots(const std::int8_t* slots, const Real& corner) {
        const int D = steps_.n_process;
        const auto use = [&](int s) { return static_cast<Slot>(slots[s]); };
        for (int s = 0; s < steps_.n_accumulators; ++s) {
            const bool is_active = use(s) != Slot::closed;
            for (int j = 0; j < D; ++j) {
                step_.T[D + s][j] = is_active ? front_T_[j] : Real(0.0);
                Q_[D + s][j] = Q_[j][D + s] = is_active ? front_Q_[j] : Real(0.0);
            }
            step_.T[D + s][D + s] = Real(use(s) == Slot::open ? 1.0 : 0.0);
            for (int other = 0; other <= s; ++other)
                Q_[D + s][D + other] = Q_[D + other][D + s] = is_active && use(other) != Slot::closed ? corner : Real(0.0);
        }
        if (steps_.n_accumulators > 0 && !is_still_) factorize<Real, M>(Q_, 0, D + steps_.n_accumulators, step_.U, step_.D);
        for (int s = 0; s < steps_.n_held; ++s) {
            const int row = D + steps_.n_accumulators + s;
            const Slot mine = use(steps_.n_accumulators + s);
            for (int j = 0; j < D; ++j) step_.T[row][j] = Real(mine == Slot::fresh ? steps_.sources[s * D + j] : 0.0);
            step_.T[row][row] = Real(mine == Slot::open ? 1.0 : 0.0);
        }
    }

    void find_ranges() {
        const int m = actual<M>(steps_.m);
        for (int i = 0; i < m; ++i) {
            step_.begin[i] = m;
            step_.end[i] = 0;
            step_.reach[i] = i;
            for (int j = 0; j < m; ++j) {
                if (!is_zero(step_.T[i][j])) {
                    step_.begin[i] = j < step_.begin[i] ? j : step_.begin[i];
                    step_.end[i] = j + 1;
                }
                if (j >= i && !is_zero(step_.U[i][j]) && !is_zero(step_.D[j])) step_.reach[i] = j + 1;
            }
        }
    }

    const MarkovSteps& steps_;
    bool is_still_;
    std::vector<Process<Real>> processes_;
    std::vector<MarkovStep<Real, M>> table_;
    Real Q_[M][M], front_T_[M], front_Q_[M];
    MarkovStep<Real, M> step_;
    std::int64_t loaded_ = -1;
};

template <class Real, int M>
void count_flat(MarkovState<Real, M>& s, int given) {
    const int m = actual<M>(given);
    s.n_flat = 0;
    for (int j = 0; j < m; ++j) s.n_flat += value(s.flat[j]) > 0;
}

template <class Real, int M>
void start_markov(const MarkovClasses<Real, M>& classes, const MarkovValues& values, int given, MarkovState<Real, M>& s) {
    const int m = actual<M>(given);
    constexpr int width = Width<Real>::value;
    Real P0[M][M] = {}, U[M][M], D[M] = {}, X[M][2 * M], w[2 * M], infinite[2 * M];
    classes.first(P0);
    factorize<Real, M>(P0, 0, m, U, D);
    for (int c = 0; c < 2 * m; ++c) {
        w[c] = c < m ? D[c] : Real(0.0);
        infinite[c] = Real(c >= m && c < m + values.n_diffuse ? 1.0 : 0.0);
        for (int i = 0; i < m; ++i)
            X[i][c] = c < m                       ? (i <= c ? U[i][c] : Real(0.0))
                      : c - m < values.n_diffuse ? Width<Real>::load(values.B + (i * values.n_diffuse + c - m) * width)
                                                  : Real(0.0);
    }
    for (int i = 0; i < m; ++i) s.mu[i] = Real(0.0);
    AllColumns columns{2 * m};
    orthogonalize<Real, M, 2 * M, M>(X, m, m, columns, w, values.n_diffuse > 0 ? infinite : nullptr, s.U, s.D, s.flat);
    count_flat<Real, M>(s, m);
}

// Rows of T (x - a) + w in the shocks of the state, columns 0 .. m - 1, and those of the step. Further rows are left to the caller.
template <class Real, int M, int R>
SMOOTHFIT_INLINE void shocks_of_step(const MarkovState<Real, M>& s, const MarkovStep<Real, M>& step, int given, Real (&X)[R][2 * M],
                                     Real (&w)[2 * M], Real (&infinite)[2 * M], ColumnsOf<M, R>& columns) {
    const int m = actual<M>(given);
    columns.total = 2 * m;
    for (int c = 0; c < m; ++c) {
        w[c] = s.D[c];
        w[m + c] = step.D[c];
        infinite[c] = s.flat[c];
        infinite[m + c] = Real(0.0);
    }
    for (int i = 0; i < m; ++i) {
        int begin = 0, end = m, reach = m;
        if constexpr (M > dense_state) {
            begin = columns.from[i] = step.begin[i];
            end = step.end[i];
            reach = step.reach[i];
            columns.to[i] = m;
            columns.step_from[i] = m + i;
            columns.step_to[i] = m + reach;
        }
        for (int c = 0; c < begin; ++c) X[i][c] = Real(0.0);
        for (int c = begin; c < m; ++c) {
            Real sum = step.T[i][c];
            const int last = c < end ? c : end;
            if (s.n_flat > 0 && value(s.flat[c]) > 0) {
                double size = size_of(sum);
                for (int l = begin; l < last; ++l) {
                    const Real term = step.T[i][l] * s.U[l][c];
                    sum = sum + term;
                    size += size_of(term);
                }
                sum = unless_vanishing(sum, size);
            } else {
                for (int l = begin; l < last; ++l) sum = sum + step.T[i][l] * s.U[l][c];
            }
            X[i][c] = sum;
        }
        for (int c = 0; c < m; ++c) X[i][m + c] = i > c || c >= reach ? Real(0.0) : i == c ? Real(1.0) : step.U[i][c];
    }
}

template <class Real, int M>
SMOOTHFIT_INLINE void step_markov(MarkovState<Real, M>& s, const MarkovStep<Real, M>& step, int given) {
    const int m = actual<M>(given);
    Real X[M][2 * M], w[2 * M], infinite[2 * M], moved[M];
    ColumnsOf<M, M> columns;
    shocks_of_step<Real, M, M>(s, step, m, X, w, infinite, columns);
    orthogonalize<Real, M, 2 * M, M>(X, m, m, columns, w, s.n_flat > 0 ? infinite : nullptr, s.U, s.D, s.flat);
    for (int i = 0; i < m; ++i) {
        moved[i] = X[i][0] * s.mu[0];
        for (int c = 1; c < m; ++c) moved[i] = moved[i] + X[i][c] * s.mu[c];
    }
    for (int i = 0; i < m; ++i) s.mu[i] = moved[i];
    if (s.n_flat > 0) count_flat<Real, M>(s, m);
}

// Bierman's update by one reading, and its limit where shocks of infinite variance reach it; false where it has no variance at all, as
// a constraint that follows from those before.
template <class Real, int M>
SMOOTHFIT_INLINE bool read_markov(MarkovState<Real, M>& s, int given, const double* H, double y, const Real& r, Reading<Real>* out) {
    const int m = actual<M>(given);
    Real f[M], b[M], wide[M];
    double rounding_of_alpha = 0;
    for (int j = 0; j < m; ++j) {
        Real sum(H[j]);
        double size = H[j] < 0 ? -H[j] : H[j];
        for (int i = 0; i < j; ++i) {
            const Real term = H[i] * s.U[i][j];
            sum = sum + term;
            size += size_of(term);
        }
        f[j] = value(s.flat[j]) > 0 ? unless_vanishing(sum, size) : sum;
        rounding_of_alpha += value(s.D[j]) * size * size;
    }
    Real alpha = r, infinite(0.0), rest(y);  // y less what the shocks before j have of it
    bool is_flat = false;
    for (int j = 0; j < m; ++j) {
        b[j] = wide[j] = Real(0.0);
        const Real mine = rest;
        rest = rest - f[j] * s.mu[j];
        if (value(s.flat[j]) > 0) {
            if (value(f[j]) == 0) continue;
            const Real gain = s.flat[j] * f[j];
            const Real sum = infinite + gain * f[j];
            const bool is_first = !is_flat;
            const bool moves = !is_first || value(alpha) > 0;
            Real part(0.0);
            if (is_first) {
                s.D[j] = alpha / (f[j] * f[j]);
                s.mu[j] = mine / f[j];
                if (moves) part = f[j] / alpha;
                s.flat[j] = Real(0.0);
                --s.n_flat;
            } else {
                s.flat[j] = s.flat[j] * infinite / sum;
                s.mu[j] = (infinite * s.mu[j] + gain * mine) / sum;
                part = f[j] / infinite;
            }
            for (int i = 0; i < j; ++i) {
                const Real before = s.U[i][j];
                if (moves) {
                    const Real term = part * (is_first ? b[i] : wide[i]);
                    const double size = size_of(before) + size_of(term);
                    s.U[i][j] = is_first ? before - term : unless_vanishing(before - term, size);
                }
                wide[i] = wide[i] + gain * before;
            }
            wide[j] = gain;
            infinite = sum;
            is_flat = true;
        } else if (is_flat) {
            const Real part = f[j] / infinite;
            for (int i = 0; i < j; ++i) s.U[i][j] = s.U[i][j] - part * wide[i];
        } else {
            const Real gain = s.D[j] * f[j];
            const Real sum = alpha + gain * f[j];
            if (!(value(sum) > 0)) continue;
            const bool moves = value(alpha) > 0;
            Real part(0.0);
            if (moves) part = f[j] / alpha;
            s.D[j] = s.D[j] * (alpha / sum);
            s.mu[j] = (alpha * s.mu[j] + gain * mine) / sum;
            for (int i = 0; i < j; ++i) {
                const Real before = s.U[i][j];
                if (moves) s.U[i][j] = before - part * b[i];
                b[i] = b[i] + gain * before;
            }
            b[j] = gain;
            alpha = sum;
        }
    }
    if (!is_flat && value(r) == 0 && !(value(alpha) > square_of_rounding * rounding_of_alpha)) return false;
    *out = {rest, is_flat ? infinite : alpha, is_flat};
    return true;
}

template <class Real, int M>
struct MarkovSums {
    Real log_det = Real(0.0);
    Real sse = Real(0.0);
    std::int64_t n_used = 0;
    std::int64_t n_flat = 0;   // readings that shocks of infinite variance took up
    std::int64_t unknown = 0;  // bit mask of shocks that stay so
    MarkovState<Real, M> end;
};

template <class Real, int M>
std::int64_t unknown_of(const MarkovState<Real, M>& s, int m) {
    std::int64_t mask = 0;
    for (int j = 0; j < m; ++j) {
        if (!(value(s.flat[j]) > 0)) continue;
        mask |= std::int64_t{1} << j;
        for (int i = 0; i < j; ++i)
            if (value(s.U[i][j]) != 0) mask |= std::int64_t{1} << i;
    }
    return mask;
}

// Runs the filter; `sink(i, state)` sees each filtered state. Innovations over their standard deviations go to `innovations` (rows), if
// that is not null; those that shocks of infinite variance took up are left as they are.
template <class Real, int M, class Sink>
SMOOTHFIT_NOINLINE Status run_markov(const MarkovRows& rows, MarkovClasses<Real, M>& classes, const MarkovValues& values,
                                     MarkovSums<Real, M>* out, Sink sink, double* innovations = nullptr) noexcept {
    constexpr int width = Width<Real>::value;
    const int m = actual<M>(rows.m);
    MarkovSums<Real, M>& sums = *out;
    MarkovState<Real, M>& s = sums.end;
    LogProduct<Real> determinant;
    for (std::int64_t i = 0; i < rows.n; ++i) {
        if (i == 0) {
            start_markov<Real, M>(classes, values, m, s);
        } else {
            step_markov<Real, M>(s, classes.at(rows.step[i]), m);
        }
        for (std::int64_t r = rows.first[i]; r < rows.first[i + 1]; ++r) {
            const double y = rows.y[r];
            if (y != y) continue;
            const Real noise = rows.ratio[r] * Width<Real>::load(values.variance + rows.group[r] * width);
            Reading<Real> reading;
            if (!read_markov<Real, M>(s, m, rows.H + r * m, y, noise, &reading)) continue;
            const double f = value(reading.variance);
            if (!(f > 1e-200 && f < 1e200)) return {Outcome::overflow, r};
            determinant.multiply(reading.variance);
            if (reading.diffuse) {
                ++sums.n_flat;
            } else {
                ++sums.n_used;
                if (innovations != nullptr) innovations[r] = value(reading.innovation) / std::sqrt(f);
                sums.sse = sums.sse + reading.innovation * reading.innovation / reading.variance;
            }
        }
        sink(i, s);
    }
    sums.unknown = unknown_of<Real, M>(s, m);
    sums.log_det = determinant.log();
    return {};
}

// Smoothing ----------------------------------------------------------------------------------------------------------

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
// H x less its mean, (rows, n_draws), with `deviations` (m, n_draws) twice for their state.
struct MarkovOutput {
    double* mean;
    double* variance;
    const double* normals;
    double* deviations;
    double* draws;
    std::int64_t n_draws;
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

template <int M>
Status smooth_markov(const MarkovRows& rows, MarkovClasses<double, M>& classes, const double* filtered, const MarkovOutput& out) noexcept {
    const int m = actual<M>(rows.m);
    MarkovState<double, M> s{};
    double x[M] = {}, U[M][M] = {}, D[M] = {};  // posterior mean, and covariance U D U'
    double* now = out.deviations;
    double* next = out.deviations + m * out.n_draws;
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
            const MarkovStep<double, M>& step = classes.at(rows.step[i + 1]);
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
            double* other = now;
            now = next;
            next = other;
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
