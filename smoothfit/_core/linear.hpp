// Exact Kalman filter and smoother of a linear Gaussian model of a small state, with diffuse starts.
//
//   x_i = T_c x_{i-1} + G_c u_i + w_i,   Var w_i = Q_c,     c = step[i] the class of the step into node i
//   y_ir = x_i[component[r]] + e_ir,     Var e_ir = ratio[i, r] variance[r]
//
// A node with step[i] < 0 starts a run: its state is entirely unknown (exactly diffuse). T, Q, G and variance carry their
// derivatives along N directions where Real is Dual<double, N>; the log-likelihood then carries its exact score.
//
// The mean and the covariance P are those of the finite part; the columns of `flat` span the directions in which nothing
// is known yet. An observation of row k uses up the flat column of the largest entry f = flat[k, p]: with c = flat[:, p] / f,
//
//   a += c v,   P := (I - c e_k') P (I - c e_k')' + r c c',   flat_j -= c flat[k, j]   (j != p),   log determinant += log f^2,
//
// the limit of the ordinary update (Koopman & Durbin 2003, "Filtering and smoothing of state vector for diffuse
// state-space models") without a second covariance matrix. An entry of `flat` that is zero but for rounding, relative to the terms
// it was summed from, is set to zero. The ordinary update writes the row that was read as P_kj r / F, never as a difference.
#pragma once

#include <cstdint>
#include <limits>

#include "scalar.hpp"
#include "status.hpp"

namespace smoothfit {

struct LinearRows {
    std::int64_t n;                 // nodes
    const std::int32_t* step;       // (n): class of the step into the node, negative where a run starts
    const double* u;                // (n, n_inputs): what drives the step into the node
    const double* y;                // (n, n_readings): NaN where missing
    const double* ratio;            // (n, n_readings)
    const std::uint8_t* component;  // (n_readings): the entry of the state that is observed
    int n_inputs;
    int n_readings;
};

// Matrices of the step classes, each entry a number and its N derivatives; variance (n_readings) likewise.
struct LinearSteps {
    const double* T;  // (classes, M, M, 1 + N)
    const double* Q;  // (classes, M, M, 1 + N)
    const double* G;  // (classes, M, n_inputs, 1 + N)
    const double* variance;
};

template <class Real>
struct Width {
    static constexpr int value = 1;
    static SMOOTHFIT_INLINE double load(const double* p) { return *p; }
};
template <int N>
struct Width<Dual<double, N>> {
    static constexpr int value = 1 + N;
    static SMOOTHFIT_INLINE Dual<double, N> load(const double* p) {
        Dual<double, N> x;
        x.re = p[0];
        for (int i = 0; i < N; ++i) x.eps[i] = p[1 + i];
        return x;
    }
};

inline void store(double x, double* p) { *p = x; }
template <int N>
inline void store(const Dual<double, N>& x, double* p) {
    p[0] = x.re;
    for (int i = 0; i < N; ++i) p[1 + i] = x.eps[i];
}

template <class Real, int M>
struct LinearState {
    Real a[M];
    Real P[M][M];
    Real flat[M][M];  // columns 0 .. n_flat - 1
    int n_flat;

    static LinearState diffuse() {
        LinearState s;
        for (int i = 0; i < M; ++i) {
            s.a[i] = Real(0.0);
            for (int j = 0; j < M; ++j) {
                s.P[i][j] = Real(0.0);
                s.flat[i][j] = Real(i == j ? 1.0 : 0.0);
            }
        }
        s.n_flat = M;
        return s;
    }
};

constexpr double linear_rounding = 64 * std::numeric_limits<double>::epsilon();

template <class Real>
inline double size_of(const Real& x) {
    const double v = value(x);
    return v < 0 ? -v : v;
}

template <class Real>
inline Real unless_rounding(const Real& sum, double size) {
    return size_of(sum) <= linear_rounding * size ? Real(0.0) : sum;
}

template <class Real, int M>
struct LinearStep {
    Real T[M][M];
    Real Q[M][M];

    void load(const LinearSteps& steps, std::int64_t c) {
        constexpr int width = Width<Real>::value;
        for (int i = 0; i < M; ++i) {
            for (int j = 0; j < M; ++j) {
                T[i][j] = Width<Real>::load(steps.T + ((c * M + i) * M + j) * width);
                Q[i][j] = Width<Real>::load(steps.Q + ((c * M + i) * M + j) * width);
            }
        }
    }
};

// a := T a + G u.
template <class Real, int M>
SMOOTHFIT_INLINE void drive(Real (&a)[M], const LinearStep<Real, M>& step, const double* G, const double* u, int n_inputs) {
    constexpr int width = Width<Real>::value;
    Real moved[M];
    for (int i = 0; i < M; ++i) {
        Real sum = step.T[i][0] * a[0];
        for (int j = 1; j < M; ++j) sum = sum + step.T[i][j] * a[j];
        for (int k = 0; k < n_inputs; ++k) sum = sum + u[k] * Width<Real>::load(G + (i * n_inputs + k) * width);
        moved[i] = sum;
    }
    for (int i = 0; i < M; ++i) a[i] = moved[i];
}

// P := T P T' + Q.
template <class Real, int M>
SMOOTHFIT_INLINE void spread(Real (&P)[M][M], const LinearStep<Real, M>& step) {
    Real half[M][M];
    for (int i = 0; i < M; ++i) {
        for (int j = 0; j < M; ++j) {
            Real sum = step.T[i][0] * P[0][j];
            for (int l = 1; l < M; ++l) sum = sum + step.T[i][l] * P[l][j];
            half[i][j] = sum;
        }
    }
    for (int i = 0; i < M; ++i) {
        for (int j = 0; j <= i; ++j) {
            Real sum = step.Q[i][j];
            for (int l = 0; l < M; ++l) sum = sum + half[i][l] * step.T[j][l];
            P[i][j] = sum;
            P[j][i] = sum;
        }
    }
}

template <class Real, int M>
void spread_flat(LinearState<Real, M>& s, const LinearStep<Real, M>& step) {
    for (int c = 0; c < s.n_flat; ++c) {
        Real moved[M];
        for (int i = 0; i < M; ++i) {
            Real sum(0.0);
            double size = 0;
            for (int l = 0; l < M; ++l) {
                const Real term = step.T[i][l] * s.flat[l][c];
                sum = sum + term;
                size += size_of(term);
            }
            moved[i] = unless_rounding(sum, size);
        }
        for (int i = 0; i < M; ++i) s.flat[i][c] = moved[i];
    }
}

template <class Real>
struct Reading {
    Real innovation;
    Real variance;  // f^2 where a flat direction took the observation up
    bool diffuse;
};

// An observation that some flat direction reaches; false where none does.
template <class Real, int M>
bool read_flat(LinearState<Real, M>& s, int k, double y, const Real& r, Reading<Real>* out) {
    int p = -1;
    for (int c = 0; c < s.n_flat; ++c)
        if (value(s.flat[k][c]) != 0.0 && (p < 0 || size_of(s.flat[k][c]) > size_of(s.flat[k][p]))) p = c;
    if (p < 0) return false;
    const Real f = s.flat[k][p], inverse = Real(1.0) / f;
    Real gain[M];
    for (int i = 0; i < M; ++i) gain[i] = i == k ? Real(1.0) : s.flat[i][p] * inverse;
    *out = {y - s.a[k], f * f, true};
    Real row[M];
    for (int j = 0; j < M; ++j) row[j] = s.P[k][j];
    for (int i = 0; i < M; ++i) s.a[i] = i == k ? Real(y) : s.a[i] + gain[i] * out->innovation;
    for (int i = 0; i < M; ++i) {
        for (int j = 0; j <= i; ++j) {
            const Real common = gain[i] * gain[j];
            Real entry = common * r;
            if constexpr (M > 1)
                if (i != k && j != k) entry = entry + s.P[i][j] - gain[i] * row[j] - gain[j] * row[i] + common * row[k];
            s.P[i][j] = entry;
            s.P[j][i] = entry;
        }
    }
    for (int c = 0; c < s.n_flat; ++c) {
        if (c == p) continue;
        const Real taken = s.flat[k][c];
        for (int i = 0; i < M; ++i) {
            const Real term = gain[i] * taken;
            s.flat[i][c] = i == k ? Real(0.0) : unless_rounding(s.flat[i][c] - term, size_of(s.flat[i][c]) + size_of(term));
        }
    }
    const int last = s.n_flat > 1 ? s.n_flat - 1 : 0;
    for (int i = 0; i < M; ++i) s.flat[i][p] = s.flat[i][last];
    s.n_flat = last;
    return true;
}

template <class Real, int M>
SMOOTHFIT_INLINE Reading<Real> read_known(LinearState<Real, M>& s, int k, double y, const Real& r) {
    Reading<Real> out{y - s.a[k], s.P[k][k] + r, false};
    const Real inverse = Real(1.0) / out.variance;
    const Real left = r * inverse;
    Real column[M], gain[M];
    for (int i = 0; i < M; ++i) {
        column[i] = s.P[i][k];
        gain[i] = column[i] * inverse;
    }
    for (int i = 0; i < M; ++i) s.a[i] = s.a[i] + gain[i] * out.innovation;
    for (int i = 0; i < M; ++i) {
        for (int j = 0; j <= i; ++j) {
            const Real entry = i == k || j == k ? (i == k ? column[j] : column[i]) * left : s.P[i][j] - gain[i] * column[j];
            s.P[i][j] = entry;
            s.P[j][i] = entry;
        }
    }
    return out;
}

// -2 log-likelihood = n_used log 2 pi + log_det + sse, of all observations but those that a flat direction took up, and the
// expected information of the N directions in its two parts: sum dv dv' / F and sum dF dF' / (2 F^2).
template <class Real>
struct LinearSums {
    Real log_det = Real(0.0);
    Real sse = Real(0.0);
    std::int64_t n_used = 0;
    std::int64_t n_flat = 0;       // observations that flat directions took up
    std::int64_t n_unknown = 0;    // flat directions left at the ends of the runs
    double of_mean[Width<Real>::value][Width<Real>::value] = {};
    double of_variance[Width<Real>::value][Width<Real>::value] = {};
};

// Sums of products of innovations that share a variance: v^2 with its derivatives, and dv dv'.
template <class Real>
struct Products {
    double square = 0;
};
template <int N>
struct Products<Dual<double, N>> {
    double square = 0;
    double slope[N] = {};  // of half the square
    double slopes[N][N] = {};
};

SMOOTHFIT_INLINE void add_products(Products<double>& p, double v) { p.square += v * v; }
template <int N>
SMOOTHFIT_INLINE void add_products(Products<Dual<double, N>>& p, const Dual<double, N>& v) {
    p.square += v.re * v.re;
    for (int i = 0; i < N; ++i) {
        p.slope[i] += v.re * v.eps[i];
        for (int j = 0; j < N; ++j) p.slopes[i][j] += v.eps[i] * v.eps[j];
    }
}

inline void add_steady(LinearSums<double>& sums, const Products<double>& p, double variance, double) {
    sums.sse += p.square / variance;
}
template <int N>
inline void add_steady(LinearSums<Dual<double, N>>& sums, const Products<Dual<double, N>>& p,
                       const Dual<double, N>& variance, double count) {
    Dual<double, N> square;
    square.re = p.square;
    for (int i = 0; i < N; ++i) square.eps[i] = 2 * p.slope[i];
    sums.sse = sums.sse + square / variance;
    for (int i = 0; i < N; ++i) {
        for (int j = 0; j <= i; ++j) {
            sums.of_mean[i][j] += p.slopes[i][j] / variance.re;
            sums.of_variance[i][j] += 0.5 * count * (variance.eps[i] / variance.re) * (variance.eps[j] / variance.re);
        }
    }
}

inline void add_information(LinearSums<double>&, const Reading<double>&) {}
template <int N>
SMOOTHFIT_INLINE void add_information(LinearSums<Dual<double, N>>& sums, const Reading<Dual<double, N>>& reading) {
    const double inverse = 1.0 / reading.variance.re;
    double v[N], f[N];
    for (int i = 0; i < N; ++i) {
        v[i] = reading.innovation.eps[i] * inverse;
        f[i] = reading.variance.eps[i] * inverse;
    }
    for (int i = 0; i < N; ++i) {
        for (int j = 0; j <= i; ++j) {
            sums.of_mean[i][j] += v[i] * reading.innovation.eps[j];
            sums.of_variance[i][j] += 0.5 * f[i] * f[j];
        }
    }
}

// Whether a number, and each of its derivatives, is what it was but for its last bits.
inline bool is_repeated(double x, double before) {
    const double gap = x < before ? before - x : x - before;
    return gap <= 4 * std::numeric_limits<double>::epsilon() * size_of(x);
}
template <int N>
inline bool is_repeated(const Dual<double, N>& x, const Dual<double, N>& before) {
    bool same = is_repeated(x.re, before.re);
    for (int i = 0; i < N; ++i) same = same && is_repeated(x.eps[i], before.eps[i]);
    return same;
}

// The filter where its covariance no longer moves: observations at one spacing, none missing, of one noise. P, gains and the
// variances F repeat there but for their last bits (which may go round in cycles), so that an observation costs the mean alone, and
// sums of products of innovations wait for their common factor 1/F. Looks are far apart, so that what still creeps is seen to move.
template <class Real, int M>
class Steady {
public:
    static constexpr int most_readings = M;
    static constexpr int apart = 60;  // nodes between two looks

    bool is_on() const { return on_; }

    // Whether node i repeats what the nodes before it were; if not, looking starts afresh.
    SMOOTHFIT_INLINE bool repeats(const LinearRows& rows, std::int64_t i) const {
        if (rows.step[i] != rows.step[i - 1]) return false;
        for (int r = 0; r < rows.n_readings; ++r) {
            const std::int64_t at = i * rows.n_readings + r;
            if (!(rows.y[at] == rows.y[at]) || rows.ratio[at] != rows.ratio[at - rows.n_readings]) return false;
        }
        return true;
    }

    void restart() { seen_ = 0; }

    // Whether the next filtered covariance is looked at, so that gains have to be kept.
    bool is_due() const { return seen_ % apart == 0; }

    void keep(int r, int k, const Real (&P)[M][M], const Real& noise) {
        variance_[r] = P[k][k] + noise;
        const Real inverse = Real(1.0) / variance_[r];
        for (int i = 0; i < M; ++i) gain_[r][i] = P[i][k] * inverse;
    }

    // Looks at the filtered covariance of a node, and is on where it is that of the last look.
    void look(const Real (&P)[M][M]) {
        if (seen_++ % apart != 0) return;
        on_ = seen_ > 1;
        for (int i = 0; i < M; ++i) {
            for (int j = 0; j < M; ++j) {
                on_ = on_ && is_repeated(P[i][j], P_[i][j]);
                P_[i][j] = P[i][j];
            }
        }
    }

    // Reads y of component k into the mean; the innovation.
    SMOOTHFIT_INLINE Real read(int r, int k, double y, Real (&a)[M]) {
        const Real v = y - a[k];
        for (int i = 0; i < M; ++i) a[i] = a[i] + gain_[r][i] * v;
        add_products(products_[r], v);
        return v;
    }
    void count_node() { ++count_; }
    const Real& variance(int r) const { return variance_[r]; }

    // Adds what has been read to the sums, and goes back to looking.
    void finish(int n_readings, LinearSums<Real>& sums) {
        for (int r = 0; r < n_readings; ++r) {
            sums.log_det = sums.log_det + static_cast<double>(count_) * log_of(variance_[r]);
            add_steady(sums, products_[r], variance_[r], static_cast<double>(count_));
            products_[r] = Products<Real>();
        }
        sums.n_used += count_ * n_readings;
        count_ = 0;
        on_ = false;
        seen_ = 0;
    }

private:
    bool on_ = false;
    std::int64_t seen_ = 0, count_ = 0;
    Real P_[M][M] = {};
    Real variance_[most_readings] = {};
    Real gain_[most_readings][M] = {};
    Products<Real> products_[most_readings];
};

// Runs the filter. `innovations` and `variances` (n, n_readings, 1 + N) may be null; where they are not, missing observations are
// left as they are, and observations of flat directions get a variance of infinity. `sink(i, state)` sees each filtered state.
template <class Real, int M, class Sink>
SMOOTHFIT_NOINLINE Status run_linear(const LinearRows& rows, const LinearSteps& steps, LinearSums<Real>* out,
                                     double* innovations, double* variances, Sink sink) noexcept {
    constexpr int width = Width<Real>::value;
    LinearSums<Real> sums;
    LinearState<Real, M> s = LinearState<Real, M>::diffuse();
    LinearStep<Real, M> step{};
    LogProduct<Real> determinant;
    Steady<Real, M> steady;
    const bool may_be_steady = rows.n_readings <= Steady<Real, M>::most_readings;
    std::int64_t loaded = -1;
    for (std::int64_t i = 0; i < rows.n; ++i) {
        const std::int64_t c = rows.step[i];
        const bool repeats = may_be_steady && i > 0 && c >= 0 && steady.repeats(rows, i);
        if (steady.is_on()) {
            if (repeats) {
                drive<Real, M>(s.a, step, steps.G + c * M * rows.n_inputs * width, rows.u + i * rows.n_inputs, rows.n_inputs);
                for (int r = 0; r < rows.n_readings; ++r) {
                    const std::int64_t at = i * rows.n_readings + r;
                    const Real v = steady.read(r, rows.component[r], rows.y[at], s.a);
                    if (innovations != nullptr) {
                        store(v, innovations + at * width);
                        store(steady.variance(r), variances + at * width);
                    }
                }
                steady.count_node();
                sink(i, s);
                continue;
            }
            steady.finish(rows.n_readings, sums);
        }
        if (c < 0) {
            if (i > 0) sums.n_unknown += s.n_flat;
            s = LinearState<Real, M>::diffuse();
        } else {
            if (c != loaded) {
                step.load(steps, c);
                loaded = c;
            }
            drive<Real, M>(s.a, step, steps.G + c * M * rows.n_inputs * width, rows.u + i * rows.n_inputs, rows.n_inputs);
            spread<Real, M>(s.P, step);
            if (s.n_flat > 0) spread_flat<Real, M>(s, step);
        }
        if (!repeats || s.n_flat > 0) steady.restart();
        const bool looks = repeats && s.n_flat == 0 && steady.is_due();
        for (int r = 0; r < rows.n_readings; ++r) {
            const std::int64_t at = i * rows.n_readings + r;
            const double y = rows.y[at];
            if (y != y) continue;
            const Real noise = rows.ratio[at] * Width<Real>::load(steps.variance + r * width);
            Reading<Real> reading;
            if (s.n_flat == 0 || !read_flat<Real, M>(s, rows.component[r], y, noise, &reading)) {
                if (looks) steady.keep(r, rows.component[r], s.P, noise);
                reading = read_known<Real, M>(s, rows.component[r], y, noise);
            }
            const double f = value(reading.variance);
            if (!(f > 1e-200 && f < 1e200)) return {Outcome::overflow, i};
            determinant.multiply(reading.variance);
            if (reading.diffuse) {
                ++sums.n_flat;
            } else {
                ++sums.n_used;
                sums.sse = sums.sse + reading.innovation * reading.innovation / reading.variance;
                add_information(sums, reading);
            }
            if (innovations != nullptr) {
                store(reading.innovation, innovations + at * width);
                store(reading.diffuse ? Real(std::numeric_limits<double>::infinity()) : reading.variance, variances + at * width);
            }
        }
        if (repeats && s.n_flat == 0) steady.look(s.P);
        sink(i, s);
    }
    if (steady.is_on()) steady.finish(rows.n_readings, sums);
    sums.n_unknown += s.n_flat;
    sums.log_det = sums.log_det + determinant.log();
    *out = sums;
    return {};
}

}  // namespace smoothfit
