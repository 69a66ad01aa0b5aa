// Exact Kalman filter of a linear Gaussian Markov process that is read through any rows.
//
//   x_i = T_c x_{i-1} + w_i,   Var w_i = Q_c,     c = step[i] the class of the step into node i,
//   x_0 = B beta + w_0,        Var w_0 = P0,      beta entirely unknown (exactly diffuse), or of a wide variance,
//   y_r = H_r x_i + e_r,       Var e_r = ratio[r] variance[group[r]] + offset[r],     first[i] <= r < first[i + 1].
//
// T may be singular (components that are forgotten or held), Q and P0 of any rank, and a noise variance zero (a constraint).
// Hyperparameters, B and variance carry their derivatives along N directions where Real is Dual<double, N>, T, Q and P0 are made of them
// (processes.hpp), and the log-likelihood carries its exact score.
//
// The covariance is kept as P = U D U', U unit upper triangular, D diagonal (Bierman 1977, "Factorization methods for discrete
// sequential estimation", chapters V to VII): x - a = U e with independent e_j of variance D_j, or of variance k flat_j,
// k -> infinity, where flat_j > 0. A step and the smoother (markov_smoother.hpp) orthogonalise the rows that stand for the components in independent
// shocks, modified and weighted Gram & Schmidt; where shocks have infinite variance these are orthogonalised first, which is
// the limit. No covariance is ever the difference of two.
//
// The mean is kept as mu = U^-1 a, the mean of the shocks e: an observation averages it, and a step moves it as the shocks. Where a
// first guess was wide of the mark, a + gain * innovation would be the difference of two huge numbers; see filter.hpp.
//
// M up to 8 are unrolled; beyond, M is the greatest state and `m` the actual one. T and Q are block diagonal where processes add:
// in all but the smallest states only the hull of what is not zero in a row is computed with.
#pragma once

#include <cmath>
#include <cstdint>
#include <type_traits>

#include "linear.hpp"
#include "markov_covariance.hpp"
#include "markov_steps.hpp"
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
    const double* offset;       // (rows)
    const std::uint8_t* group;  // (rows)
    int m;
};

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

// Columns of rows X: all of them, or of each row two hulls of what is not zero, of the shocks of the state and of those of the
// step.
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
        Real shared[C], dot[R] = {};
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
            for (int i = 0; i < j && i + 1 < P; ++i) f(i);
            if constexpr (R > P)
                for (int i = pivots; i < rows; ++i) f(i);
        };
        if (infinite != nullptr && left > 0) {
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

template <class Real, int M>
void count_flat(MarkovState<Real, M>& s, int given) {
    const int m = actual<M>(given);
    s.n_flat = 0;
    for (int j = 0; j < m; ++j) s.n_flat += value(s.flat[j]) > 0;
}

// Variance of a direction of the start.
template <class Real>
Real wide_variance(const MarkovValues& values, int direction) {
    return values.spread[direction] * Width<Real>::load(values.variance + (values.n_groups - 1) * Width<Real>::value);
}

// Once in a filter: its loops are not unrolled.
template <class Real, int M>
void start_markov(const MarkovClasses<Real, M>& classes, const MarkovValues& values, int given, MarkovState<Real, M>& s) {
    const int m = M == 1 ? 1 : given;
    constexpr int width = Width<Real>::value;
    Real P0[M][M] = {}, U[M][M], D[M] = {}, X[M][2 * M], w[2 * M], infinite[2 * M];
    classes.first(P0);
    factorize<Real, M>(P0, 0, m, U, D);
    bool is_exact = false;
    for (int c = 0; c < 2 * m; ++c) {
        const bool is_unknown = c >= m && c < m + values.n_diffuse, is_wide = is_unknown && std::isfinite(values.spread[c - m]);
        w[c] = c < m ? D[c] : is_wide ? wide_variance<Real>(values, c - m) : Real(0.0);
        infinite[c] = Real(is_unknown && !is_wide ? 1.0 : 0.0);
        is_exact = is_exact || (is_unknown && !is_wide);
        for (int i = 0; i < m; ++i)
            X[i][c] = c < m                       ? (i <= c ? U[i][c] : Real(0.0))
                      : c - m < values.n_diffuse ? Width<Real>::load(values.B + (i * values.n_diffuse + c - m) * width)
                                                  : Real(0.0);
    }
    for (int i = 0; i < m; ++i) s.mu[i] = Real(0.0);
    AllColumns columns{2 * m};
    orthogonalize<Real, M, 2 * M, M>(X, m, m, columns, w, is_exact ? infinite : nullptr, s.U, s.D, s.flat);
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

// Bierman's update by one observation, and its limit where shocks of infinite variance reach it; false where it has no variance at
// all, as a constraint that follows from those before.
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
    std::int64_t n_flat = 0;   // observations that shocks of infinite variance took up
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

// Sees the filtered states and does nothing: the filter need not factor them.
struct NoSink {
    template <class State>
    void before(const State&) const {}
    template <class Real>
    void after(std::int64_t, const Reading<Real>&) const {}
    template <class State>
    void operator()(std::int64_t, const State&) const {}
};

// The state of a filter as factors, or, if it may switch, between observations that tell little as a covariance.
template <class Real, int M, bool may_switch>
class Switching {
public:
    Switching(MarkovClasses<Real, M>& classes, int m, MarkovState<Real, M>& factors)
        : classes_(classes), m_(m), factors_(factors), covariance_{}, may_multiply_(may_switch && classes.is_plain()) {}

    SMOOTHFIT_INLINE void step(std::int64_t c) {
        if (is_covariance()) return step_covariance<Real, M>(covariance_, classes_.at(c), m_);
        step_markov<Real, M>(factors_, classes_.factored(c), m_);
    }

    SMOOTHFIT_INLINE bool read(const double* H, double y, const Real& noise, Reading<Real>* out) {
        if (is_covariance()) {
            if (read_covariance<Real, M>(covariance_, m_, H, y, noise, out)) return true;
            factor();
        }
        return read_markov<Real, M>(factors_, m_, H, y, noise, out);
    }

    // After an observation: goes over to the covariance if that keeps all digits, more rarely each time that it did not for long.
    SMOOTHFIT_INLINE void choose(const double* H, const Real& noise) {
        if (!may_multiply_ || is_covariance_ || factors_.n_flat > 0 || --wait_ > 0) return;
        is_covariance_ = multiply_out<Real, M>(factors_.mu, factors_.U, factors_.D, m_, covariance_) &&
                         tells_little<Real, M>(covariance_.P, m_, H, noise);
        if (!is_covariance_) wait_ = ++tried_;
    }

    void factor() {
        if (!is_covariance()) return;
        const int m = actual<M>(m_);
        factorize<Real, M>(covariance_.P, 0, m, factors_.U, factors_.D);
        for (int j = m - 1; j >= 0; --j) {
            factors_.mu[j] = covariance_.a[j];
            for (int k = j + 1; k < m; ++k) factors_.mu[j] = factors_.mu[j] - factors_.U[j][k] * factors_.mu[k];
        }
        is_covariance_ = false;
        wait_ = ++tried_;
    }

private:
    SMOOTHFIT_INLINE bool is_covariance() const { return may_switch && is_covariance_; }

    MarkovClasses<Real, M>& classes_;
    const int m_;
    MarkovState<Real, M>& factors_;
    MarkovCovariance<Real, M> covariance_;
    const bool may_multiply_;
    bool is_covariance_ = false;
    std::int64_t wait_ = 0, tried_ = 0;
};

// Takes out of the sums what they have of the directions of the start that are wide: of exactly diffuse ones that is their limit.
template <class Real, int M>
void leave_out_wide(const MarkovValues& values, MarkovSums<Real, M>& sums) {
    for (int k = 0; k < values.n_diffuse; ++k) {
        if (!std::isfinite(values.spread[k])) continue;
        sums.log_det = sums.log_det - log_of(wide_variance<Real>(values, k));
        --sums.n_used;
    }
}

// Runs the filter; `sink(i, state)` sees each filtered state, and `before(state)` and `after(r, reading)` each observation. Innovations over their standard deviations go to `innovations`
// (rows), if that is not null; those that shocks of infinite variance took up are left as they are.
template <class Real, int M, class Sink>
SMOOTHFIT_NOINLINE Status run_markov(const MarkovRows& rows, MarkovClasses<Real, M>& classes, const MarkovValues& values,
                                     MarkovSums<Real, M>* out, Sink sink, double* innovations = nullptr) noexcept {
    constexpr int width = Width<Real>::value;
    const int m = actual<M>(rows.m);
    MarkovSums<Real, M>& sums = *out;
    MarkovState<Real, M>& s = sums.end;
    Switching<Real, M, std::is_same_v<Sink, NoSink>> state(classes, m, s);
    LogProduct<Real> determinant;
    for (std::int64_t i = 0; i < rows.n; ++i) {
        if (i == 0) {
            start_markov<Real, M>(classes, values, rows.m, s);
        } else {
            state.step(rows.step[i]);
        }
        for (std::int64_t r = rows.first[i]; r < rows.first[i + 1]; ++r) {
            const double y = rows.y[r];
            if (y != y) continue;
            const double* H = rows.H + r * m;
            const Real noise = rows.ratio[r] * Width<Real>::load(values.variance + rows.group[r] * width) + Real(rows.offset[r]);
            Reading<Real> reading;
            sink.before(s);
            if (!state.read(H, y, noise, &reading)) continue;
            const double f = value(reading.variance);
            if (!(f > 1e-200 && f < 1e200)) return {Outcome::overflow, r};
            sink.after(r, reading);
            determinant.multiply(reading.variance);
            if (reading.diffuse) {
                ++sums.n_flat;
            } else {
                ++sums.n_used;
                if (innovations != nullptr) innovations[r] = value(reading.innovation) / std::sqrt(f);
                sums.sse = sums.sse + reading.innovation * reading.innovation / reading.variance;
            }
            state.choose(H, noise);
        }
        sink(i, s);
    }
    state.factor();
    sums.unknown = unknown_of<Real, M>(s, m);
    sums.log_det = determinant.log();
    leave_out_wide(values, sums);
    return {};
}

}  // namespace smoothfit
