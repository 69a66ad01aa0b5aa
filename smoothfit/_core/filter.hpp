// Exact Kalman filter with diffuse start for curves whose state is (f, f', ..., f^(m-1)).
//
// The state's covariance is kept as P = U D U', U unit upper triangular, D diagonal (Bierman 1977, "Factorization
// methods for discrete sequential estimation", chapters V and VII). Every entry of D is found by multiplications and by
// additions of positive numbers, so that no digits cancel however abruptly an observation sharpens what is known: two
// observations a billionth of the usual spacing apart leave a slope variance of 10^18, the third brings it to order one.
// The subtraction P - P_.k P_k. / F loses all digits there.
//
// The mean is kept as mu = U^-1 (mean): in these coordinates a step leaves it unchanged and every update is an average,
//
//   mu_j := (alpha_{j-1} mu_j + D_j f_j (y - sum_{i<j} f_i mu_i)) / alpha_j,    alpha_j = r + sum_{i<=j} D_i f_i^2,
//
// where mean + gain * innovation would be the difference of two huge numbers after an imprecise first guess of a slope.
//
// A component whose prior is flat has D = infinity, told by `flat`: the exact diffuse start is D = infinity throughout.
// The limits of Bierman's formulae are finite and need no second matrix: an observation of row k, f = U'e_k, is used up by the
// first flat p with f_p != 0,
//
//   D_p = alpha_{p-1} / f_p^2,   mu_p = (y - sum_{i<p} f_i mu_i) / f_p,   gain = U_.p / f_p,   U_.j -= U_.p f_j / f_p  (j > p),
//
// and adds log f_p^2 to the log determinant. A flat column of U is a polynomial that no observation so far has seen, in
// Taylor coefficients; an entry that is zero but for rounding, relative to the terms it was summed from, is set to zero, which decides
// the rank without any absolute tolerance.
//
// Over a step, U := T U stays unit upper triangular, and the noise sum_r c_r v_r v_r' (wiener.hpp) comes in by
// rank-one updates (Agee & Turner 1972), again with positive terms only.
#pragma once

#include <cstdint>

#include "scalar.hpp"
#include "status.hpp"
#include "wiener.hpp"

namespace smoothfit {

// Observations in order of x. Row i reads f^(deriv[i]) with noise variance sigma2[group[i]] * ratio[i]; deriv = missing
// asks for the state at an x without an observation. A row with delta > 0 starts a new node (a distinct x).
struct Rows {
    static constexpr std::uint8_t missing = 255;
    std::int64_t n;
    const double* delta;         // x[i] - x[i-1]; delta[0] is not used
    const std::uint8_t* deriv;
    const std::uint8_t* group;
    const double* y;
    const double* ratio;
};

template <class Real, int M>
struct State {
    Real mu[M];    // U^-1 (mean)
    Real u[M][M];  // strictly upper part of U; the diagonal of ones is not stored
    Real d[M];
    bool flat[M];
    int n_flat;

    // Flat in every direction: nothing is known yet.
    static State diffuse() {
        State s;
        SMOOTHFIT_UNROLL
        for (int i = 0; i < M; ++i) {
            s.mu[i] = Real(0.0);
            s.d[i] = Real(std::numeric_limits<double>::infinity());
            s.flat[i] = true;
            SMOOTHFIT_UNROLL
            for (int j = 0; j < M; ++j) s.u[i][j] = Real(0.0);
        }
        s.n_flat = M;
        return s;
    }
};

// An entry this small beside the terms it was summed from is rounding.
constexpr double rounding = 16 * std::numeric_limits<double>::epsilon();

template <class Real>
SMOOTHFIT_INLINE Real zero_if_rounding(const Real& sum, double size) {
    const double v = value(sum);
    return (v < 0 ? -v : v) <= rounding * size ? Real(0.0) : sum;
}

template <class Real>
SMOOTHFIT_INLINE double magnitude(const Real& x) {
    const double v = value(x);
    return v < 0 ? -v : v;
}

// U := T U; with it the mean becomes T (mean).
template <bool Diffuse, class Real, class Length, int M>
SMOOTHFIT_INLINE void transit(State<Real, M>& s, const Step<Length, M>& step) {
    SMOOTHFIT_UNROLL
    for (int j = 1; j < M; ++j) {
        SMOOTHFIT_UNROLL
        for (int i = 0; i < j; ++i) {
            Real sum = s.u[i][j];
            SMOOTHFIT_UNROLL
            for (int l = i + 1; l < j; ++l) sum = sum + step.taylor[l - i] * s.u[l][j];
            sum = sum + Real(step.taylor[j - i]);
            if constexpr (Diffuse) {
                if (s.flat[j]) {
                    double size = magnitude(s.u[i][j]) + magnitude(step.taylor[j - i]);
                    SMOOTHFIT_UNROLL
                    for (int l = i + 1; l < j; ++l) size += magnitude(step.taylor[l - i]) * magnitude(s.u[l][j]);
                    sum = zero_if_rounding(sum, size);
                }
            }
            s.u[i][j] = sum;
        }
    }
}

// P := P + c v v', v_last = 1 and v_i = 0 beyond (Agee & Turner); the mean U mu is unchanged. Overwrites v by U^-1 v.
template <bool Diffuse, int last, class Real, int M>
SMOOTHFIT_INLINE void add_noise(State<Real, M>& s, Real c, Real (&v)[M]) {
    Real moved = Real(0.0);  // sum of b_j mu_j over the columns so far: what their changes take from the mean
    SMOOTHFIT_UNROLL
    for (int i = last; i >= 0; --i) {
        if (i < last) s.mu[i] = s.mu[i] - v[i] * moved;
        if constexpr (Diffuse) {
            if (s.flat[i]) {
                SMOOTHFIT_UNROLL
                for (int l = 0; l < i; ++l) v[l] = v[l] - v[i] * s.u[l][i];
                continue;
            }
        }
        const Real cv = c * v[i];
        const Real d = s.d[i] + c * (v[i] * v[i]);
        if (i == 0) {
            s.d[0] = d;
            break;
        }
        const Real inverse = Real(1.0) / d;
        const Real b = cv * inverse;
        c = c * s.d[i] * inverse;
        s.d[i] = d;
        moved = moved + b * s.mu[i];
        SMOOTHFIT_UNROLL
        for (int l = 0; l < i; ++l) {
            v[l] = v[l] - v[i] * s.u[l][i];
            s.u[l][i] = s.u[l][i] + b * v[l];
        }
    }
}

// P := P + q (sum of the noises r = first .. M-1).
template <bool Diffuse, int r, class Real, class Length, int M>
SMOOTHFIT_INLINE void add_noises(State<Real, M>& s, const Step<Length, M>& step, const Real& q) {
    if constexpr (r + 1 < M) add_noises<Diffuse, r + 1>(s, step, q);
    Real v[M];
    SMOOTHFIT_UNROLL
    for (int i = 0; i < M - r; ++i) v[i] = Real(step.noise[r][i]);
    add_noise<Diffuse, M - 1 - r>(s, step.intensity[r] * q, v);
}

// Moves the state over one step.
template <bool Diffuse, class Real, class Length, int M>
SMOOTHFIT_INLINE void advance(State<Real, M>& s, const Step<Length, M>& step, const Real& q) {
    transit<Diffuse>(s, step);
    add_noises<Diffuse, 0>(s, step, q);
}

// What an observation did: its innovation, the innovation's variance (f_p^2 where a flat component took it up), the gain.
template <class Real, int M>
struct Absorbed {
    Real innovation;
    Real variance;
    Real gain[M];
    bool diffuse;
};

// Conditions the state on an observation y of h'x with noise variance r, where f = U'h. K >= 0: h is the unit row K, so that
// f_j = 0 below K and row K of U is f itself; K = -1: any h.
template <bool Diffuse, int K, class Real, int M>
SMOOTHFIT_INLINE Absorbed<Real, M> absorb(State<Real, M>& s, const Real (&f)[M], const Real& y, const Real& r) {
    constexpr int first = K < 0 ? 0 : K;
    Absorbed<Real, M> result;
    Real* k = result.gain;
    SMOOTHFIT_UNROLL
    for (int i = 0; i < M; ++i) k[i] = Real(0.0);
    Real alpha = r;            // r + sum of D_l f_l^2 over the columns so far
    Real inverse = Real(0.0);  // its inverse, once there is a finite column; k is zero before
    Real rest = y;             // y - sum of f_l mu_l over the columns so far
    SMOOTHFIT_UNROLL
    for (int j = first; j < M; ++j) {
        const Real lambda = f[j] * inverse;
        if constexpr (Diffuse) {
            if (s.flat[j]) {
                if (value(f[j]) == 0.0) continue;
                const Real inverse_f = Real(1.0) / f[j];
                for (int i = 0; i < j; ++i) {
                    const Real old = s.u[i][j];
                    s.u[i][j] = i == K ? lambda * r : old - k[i] * lambda;
                    k[i] = old * inverse_f;
                }
                k[j] = inverse_f;
                for (int i = j + 1; i < M; ++i) k[i] = Real(0.0);
                for (int l = j + 1; l < M; ++l) {
                    for (int i = 0; i <= j; ++i) {
                        const Real taken = f[l] * k[i];
                        const Real left = s.u[i][l] - taken;
                        const double size = magnitude(s.u[i][l]) + magnitude(taken);
                        s.u[i][l] = i == K ? Real(0.0) : s.flat[l] ? zero_if_rounding(left, size) : left;
                    }
                }
                s.mu[j] = rest * inverse_f;
                s.d[j] = alpha * inverse_f * inverse_f;
                s.flat[j] = false;
                s.n_flat -= 1;
                result.innovation = rest;
                result.variance = f[j] * f[j];
                result.diffuse = true;
                return result;
            }
        }
        const Real v = s.d[j] * f[j];
        const Real previous = alpha;
        alpha = alpha + f[j] * v;
        inverse = Real(1.0) / alpha;
        const Real mu = s.mu[j];
        s.mu[j] = (previous * mu + v * rest) * inverse;
        rest = rest - f[j] * mu;
        s.d[j] = s.d[j] * previous * inverse;
        SMOOTHFIT_UNROLL
        for (int i = 0; i < j; ++i) {
            const Real old = s.u[i][j];
            if (j > first) s.u[i][j] = i == K ? lambda * r : old - k[i] * lambda;
            k[i] = k[i] + v * old;
        }
        k[j] = v;
    }
    SMOOTHFIT_UNROLL
    for (int i = 0; i < M; ++i) k[i] = k[i] * inverse;
    result.innovation = rest;
    result.variance = alpha;
    result.diffuse = false;
    return result;
}

template <bool Diffuse, int K, class Real, int M>
SMOOTHFIT_INLINE Absorbed<Real, M> read_row(State<Real, M>& s, const Real& y, const Real& r) {
    Real f[M];
    SMOOTHFIT_UNROLL
    for (int j = 0; j < M; ++j) f[j] = j < K ? Real(0.0) : j == K ? Real(1.0) : s.u[K][j];
    return absorb<Diffuse, K>(s, f, y, r);
}

// Absorbs an observation of f^(k).
template <bool Diffuse, class Real, int M>
SMOOTHFIT_INLINE Absorbed<Real, M> read(State<Real, M>& s, int k, const Real& y, const Real& r) {
    if constexpr (M > 1)
        if (k == 1) return read_row<Diffuse, 1>(s, y, r);
    if constexpr (M > 2)
        if (k == 2) return read_row<Diffuse, 2>(s, y, r);
    if constexpr (M > 3)
        if (k == 3) return read_row<Diffuse, 3>(s, y, r);
    if constexpr (M > 4)
        if (k == 4) return read_row<Diffuse, 4>(s, y, r);
    return read_row<Diffuse, 0>(s, y, r);
}

// With K = sigma^2 R + q Sigma the covariance of the observations given the state at the first node, and X the observations of
// the polynomials x^j / j!:
template <class Real>
struct Likelihood {
    Real log_det;      // log|K| + log|X'K^-1 X|
    Real sse;          // r'K^-1 r, r the generalised least-squares residuals
    Real end_log_det;  // log determinant of the state's covariance at the last node
};

template <class Real, int M>
struct Filter {
    State<Real, M> state = State<Real, M>::diffuse();
    LogProduct<Real> determinant;
    Real sse = Real(0.0);
    std::int64_t node = 0;

    // Runs through the rows from `i` on, while the state is diffuse (first phase) or to the end (second phase, which
    // needs none of the first one's tests); leaves `i` at the row it stopped before, and tells whether it succeeded.
    template <bool Diffuse, class Sink>
    inline bool run(const Rows& rows, const Real& q, const Real* sigma2, Sink sink, std::int64_t& i) {
        State<Real, M> s = state;  // copies live in registers
        LogProduct<Real> product = determinant;
        Real sum = sse;
        bool sound = true;
        for (; i < rows.n && (!Diffuse || s.n_flat > 0); ++i) {
            if (i > 0 && rows.delta[i] > 0) {
                sink(node, s);
                ++node;
                advance<Diffuse>(s, Step<length_t<Real>, M>(rows.delta[i]), q);
            }
            if (rows.deriv[i] == Rows::missing) continue;
            const Real r = rows.ratio[i] * sigma2[rows.group[i]];
            const Absorbed<Real, M> absorbed = read<Diffuse>(s, rows.deriv[i], Real(rows.y[i]), r);
            sound = value(absorbed.variance) > 1e-200 && value(absorbed.variance) < 1e200;
            if (!sound) break;
            product.multiply(absorbed.variance);
            if (!absorbed.diffuse) sum = sum + absorbed.innovation * absorbed.innovation / absorbed.variance;
        }
        state = s;
        determinant = product;
        sse = sum;
        return sound;
    }
};

inline std::int64_t mask_of(const bool* flat, int m) {
    std::int64_t mask = 0;
    for (int j = 0; j < m; ++j) mask |= flat[j] ? std::int64_t{1} << j : 0;
    return mask;
}

// A sink for the states of nodes that nobody wants.
struct NoStates {
    template <class Real, int M>
    void operator()(std::int64_t, const State<Real, M>&) const noexcept {}
};

// Runs through the rows until nothing is diffuse any more: usually a few.
template <int M>
inline Status check_identified(const Rows& rows, const double* sigma2) noexcept {
    Filter<double, M> filter;
    std::int64_t i = 0;
    if (!filter.template run<true>(rows, 0.0, sigma2, NoStates{}, i)) return {Outcome::overflow, i};
    if (filter.state.n_flat > 0) return {Outcome::unidentified, mask_of(filter.state.flat, M)};
    return {};
}

// Runs the filter; `sink(node, state)` sees the filtered state of every node.
template <class Real, int M, class Sink>
SMOOTHFIT_NOINLINE Status run_filter(const Rows& rows, const Real& q, const Real* sigma2, Likelihood<Real>* out,
                                     Sink sink) noexcept {
    Filter<Real, M> filter;
    std::int64_t i = 0;
    if (!filter.template run<true>(rows, q, sigma2, sink, i) || !filter.template run<false>(rows, q, sigma2, sink, i))
        return {Outcome::overflow, i};
    State<Real, M>& s = filter.state;
    if (s.n_flat > 0) {
        std::int64_t mask = 0;
        SMOOTHFIT_UNROLL
        for (int j = 0; j < M; ++j) mask |= s.flat[j] ? std::int64_t{1} << j : 0;
        return {Outcome::unidentified, mask};
    }
    sink(filter.node, s);
    LogProduct<Real> end;
    SMOOTHFIT_UNROLL
    for (int j = 0; j < M; ++j) end.multiply(s.d[j]);
    *out = {filter.determinant.log(), filter.sse, end.log()};
    return {};
}

constexpr int max_model_order = 4;  // of a curve that is fitted; its integral is filtered with one more

// The filters without a sink, on every scalar that a likelihood is computed on: compiled once, in filters.cpp.
#define SMOOTHFIT_FILTER(instantiate, Real, M) \
    instantiate Status run_filter<Real, M, NoStates>(const Rows&, const Real&, const Real*, Likelihood<Real>*, NoStates) noexcept;
#define SMOOTHFIT_FILTERS_OF(instantiate, Real) \
    SMOOTHFIT_FILTER(instantiate, Real, 1)      \
    SMOOTHFIT_FILTER(instantiate, Real, 2)      \
    SMOOTHFIT_FILTER(instantiate, Real, 3)      \
    SMOOTHFIT_FILTER(instantiate, Real, 4)
#define SMOOTHFIT_FILTERS(instantiate)              \
    SMOOTHFIT_FILTERS_OF(instantiate, double)       \
    SMOOTHFIT_FILTERS_OF(instantiate, Pack)         \
    SMOOTHFIT_FILTERS_OF(instantiate, PackSlope)    \
    SMOOTHFIT_FILTERS_OF(instantiate, Slopes<1>)    \
    SMOOTHFIT_FILTERS_OF(instantiate, Slopes<2>)    \
    SMOOTHFIT_FILTERS_OF(instantiate, Slopes<3>)    \
    SMOOTHFIT_FILTERS_OF(instantiate, Curvature)

using PackSlope = Dual<Pack, 1>;
template <int N>
using Slopes = Dual<double, N>;
using Curvature = Dual<Dual<double, 1>, 1>;

SMOOTHFIT_FILTERS(extern template)

}  // namespace smoothfit
