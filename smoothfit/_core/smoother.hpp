// Fixed-interval smoothing: from the filtered states to the posterior given all observations, backward in x.
//
// One step back, from x(t + d) = T x(t) + sum_r v_r eta_r, takes the posterior at t + d to that at t. Two forms:
//
// Small noise (`undo_noises`): the noises are taken out one at a time. With P the covariance before and P' = P + c v v'
// after, w = c P'^-1 v and e = (smoothed) - (predicted) mean,
//
//   mean -= v (w'e),   V := (I - v w') V (I - v w')' + v v' c (1 - v'w),   1 - v'w = 1 / (1 + c v'P^-1 v),
//   w'e = c (1 - v'w) sum_j t_j (U^-1 (smoothed mean) - mu)_j / D_j,   t = U^-1 v,   P = U D U',
//
// then T^-1 = T(-d) is applied. Nothing is subtracted from the filtered covariance: P - P N P and P - G (P' - V) G'
// lose every digit where many observations share one bandwidth. Flat components have P^-1 = 0 and need no other formula.
//
// Large noise (`regress_back`): T(-d) would magnify rounding. x(t) is regressed on x(t + d) by filtering its components
// as observations of T x(t): x(t) = G x(t + d) + constant + remainder, V := G V G' + Var(remainder).
//
// In both forms V is a sum of weighted squares of columns, and is kept as V = U D U' by weighted Gram-Schmidt
// orthogonalisation (Thornton 1976): a combination that is known far better than its terms stays so.
//
// (Rauch, Tung & Striebel 1965; Bierman 1973, "Fixed interval smoothing with discrete measurements", for the one-noise form.)
#pragma once

#include "filter.hpp"

namespace smoothfit {

// Where the lanes of a pack differ, decisions are taken for each of them: a set of lanes is a number, one bit a lane.
template <class Real>
constexpr unsigned all_lanes = 1;
template <>
inline constexpr unsigned all_lanes<Pack> = (1u << Pack::size) - 1;

template <class Real>
SMOOTHFIT_INLINE unsigned lanes_below(const Real& x, double bound) {
    return x < Real(bound);
}
SMOOTHFIT_INLINE unsigned lanes_below(const Pack& x, double bound) {
    unsigned lanes = 0;
    for (int k = 0; k < Pack::size; ++k) lanes |= static_cast<unsigned>(x.get(k) < bound) << k;
    return lanes;
}

template <class Real>
SMOOTHFIT_INLINE void take_lanes(Real& x, const Real& other, unsigned) {
    x = other;
}
SMOOTHFIT_INLINE void take_lanes(Pack& x, const Pack& other, unsigned lanes) {
    for (int k = 0; k < Pack::size; ++k)
        if (lanes >> k & 1) x.set(k, other.get(k));
}

template <class Real>
SMOOTHFIT_INLINE Real smaller(const Real& a, const Real& b) {
    return a < b ? a : b;
}
SMOOTHFIT_INLINE Pack smaller(const Pack& a, const Pack& b) {
    Pack c;
    SMOOTHFIT_UNROLL
    for (int i = 0; i < Pack::n_vectors; ++i) c.vector[i] = a.vector[i] < b.vector[i] ? a.vector[i] : b.vector[i];
    return c;
}

// 1 / d; zero where d is.
template <class Real>
SMOOTHFIT_INLINE Real inverse_or_zero(const Real& d) {
    return d > Real(0.0) ? Real(1.0) / d : Real(0.0);
}
SMOOTHFIT_INLINE Pack inverse_or_zero(const Pack& d) {
    const Pack zero(0.0);
    Pack c = Pack(1.0) / d;
    SMOOTHFIT_UNROLL
    for (int i = 0; i < Pack::n_vectors; ++i) c.vector[i] = d.vector[i] > zero.vector[i] ? c.vector[i] : zero.vector[i];
    return c;
}

template <class Real, int M>
struct Posterior {
    Real mean[M];
    Real u[M][M];  // strictly upper part of U
    Real d[M];
};

// Columns a[.][k] with weights w[k]: the covariance sum_k w_k a_k a_k'.
template <class Real, int M>
struct Columns {
    Real a[M][2 * M];
    Real w[2 * M];
};

// The columns of U D U' first, room for M more.
template <class Real, int M>
SMOOTHFIT_INLINE void put_columns(Columns<Real, M>& columns, int first, const Real (&u)[M][M], const Real (&d)[M]) {
    SMOOTHFIT_UNROLL
    for (int k = 0; k < M; ++k) {
        columns.w[first + k] = d[k];
        SMOOTHFIT_UNROLL
        for (int i = 0; i < M; ++i) columns.a[i][first + k] = i < k ? u[i][k] : Real(i == k ? 1.0 : 0.0);
    }
}

// U D U' = sum_k w_k a_k a_k'; uses the columns up.
template <class Real, int M>
SMOOTHFIT_INLINE void orthogonalise(Columns<Real, M>& columns, Posterior<Real, M>& x) {
    SMOOTHFIT_UNROLL
    for (int i = M - 1; i >= 0; --i) {
        Real weighted[2 * M], d = Real(0.0);
        SMOOTHFIT_UNROLL
        for (int k = 0; k < 2 * M; ++k) {
            weighted[k] = columns.w[k] * columns.a[i][k];
            d = d + weighted[k] * columns.a[i][k];
        }
        x.d[i] = d;
        const Real inverse = inverse_or_zero(d);
        SMOOTHFIT_UNROLL
        for (int l = 0; l < i; ++l) {
            Real sum = Real(0.0);
            SMOOTHFIT_UNROLL
            for (int k = 0; k < 2 * M; ++k) sum = sum + weighted[k] * columns.a[l][k];
            const Real u = sum * inverse;
            x.u[l][i] = u;
            SMOOTHFIT_UNROLL
            for (int k = 0; k < 2 * M; ++k) columns.a[l][k] = columns.a[l][k] - u * columns.a[i][k];
        }
    }
}

// A state without flat components as a posterior.
template <class Real, int M>
inline Posterior<Real, M> posterior_of(const State<Real, M>& s) {
    Posterior<Real, M> x;
    SMOOTHFIT_UNROLL
    for (int i = 0; i < M; ++i) {
        x.mean[i] = s.mu[i];
        SMOOTHFIT_UNROLL
        for (int j = i + 1; j < M; ++j) {
            x.mean[i] = x.mean[i] + s.u[i][j] * s.mu[j];
            x.u[i][j] = s.u[i][j];
        }
        x.d[i] = s.d[i];
    }
    return x;
}

// How the noises of one step looked on the way forward; entry r belongs to wiener.hpp's v_r.
template <class Real, int M>
struct NoiseRecord {
    State<Real, M> before[M];  // the state to which noise r was added
    Real scaled_t[M][M];       // D^-1 U^-1 v
    Real c[M];                 // c (1 - v'w), the noise's variance given the state after it
    Real share;                // sum of v'w: how much of the predicted variance is noise, 0 .. M
    Real least_remaining;      // least 1 - v'w: near zero, undoing that noise would cancel
};

// Adds noise r and those after it to `s`, and records what undoing them needs.
template <int r, class Real, int M>
SMOOTHFIT_INLINE void add_noises_recording(State<Real, M>& s, const Step<length_t<Real>, M>& step, const Real& q, NoiseRecord<Real, M>& record) {
    if constexpr (r + 1 < M) add_noises_recording<r + 1>(s, step, q, record);
    constexpr int last = M - 1 - r;
    Real c = step.intensity[r] * q;
    Real t[M];  // U^-1 v
    Real tau = Real(0.0);
    SMOOTHFIT_UNROLL
    for (int i = 0; i <= last; ++i) t[i] = Real(step.noise[r][i]);
    SMOOTHFIT_UNROLL
    for (int i = last; i >= 0; --i) {
        SMOOTHFIT_UNROLL
        for (int l = 0; l < i; ++l) t[l] = t[l] - t[i] * s.u[l][i];
        record.scaled_t[r][i] = s.flat[i] ? Real(0.0) : t[i] / s.d[i];
        tau = tau + t[i] * record.scaled_t[r][i];
    }
    const Real remaining = Real(1.0) / (Real(1.0) + c * tau);
    record.before[r] = s;
    record.c[r] = c * remaining;
    record.share = record.share + c * tau * remaining;
    record.least_remaining = smaller(remaining, record.least_remaining);
    Real v[M];
    SMOOTHFIT_UNROLL
    for (int i = 0; i <= last; ++i) v[i] = Real(step.noise[r][i]);
    add_noise<true, last>(s, c, v);
}

// Takes the noises out of the posterior at t + d; T(-d) then leads to t.
template <class Real, int M>
SMOOTHFIT_INLINE void undo_noises(Posterior<Real, M>& x, const Step<length_t<Real>, M>& step, const NoiseRecord<Real, M>& record) {
    Columns<Real, M> columns;
    put_columns(columns, 0, x.u, x.d);
    SMOOTHFIT_UNROLL
    for (int r = 0; r < M; ++r) {  // added last, undone first
        const int last = M - 1 - r;
        const length_t<Real>* v = step.noise[r];
        const State<Real, M>& s = record.before[r];
        Real solved[M];  // U^-1 (smoothed mean)
        SMOOTHFIT_UNROLL
        for (int i = M - 1; i >= 0; --i) {
            solved[i] = x.mean[i];
            SMOOTHFIT_UNROLL
            for (int j = i + 1; j < M; ++j) solved[i] = solved[i] - s.u[i][j] * solved[j];
        }
        Real w[M], we = Real(0.0);
        SMOOTHFIT_UNROLL
        for (int i = 0; i < M; ++i) {  // w = c U^-T D^-1 t
            w[i] = i > last ? Real(0.0) : record.c[r] * record.scaled_t[r][i];
            we = we + w[i] * (solved[i] - s.mu[i]);
            SMOOTHFIT_UNROLL
            for (int l = 0; l < i; ++l) w[i] = w[i] - s.u[l][i] * w[l];
        }
        SMOOTHFIT_UNROLL
        for (int i = 0; i <= last; ++i) x.mean[i] = x.mean[i] - v[i] * we;
        SMOOTHFIT_UNROLL
        for (int k = 0; k < M + r; ++k) {  // I - v w'
            Real projection = Real(0.0);
            SMOOTHFIT_UNROLL
            for (int i = 0; i < M; ++i) projection = projection + w[i] * columns.a[i][k];
            SMOOTHFIT_UNROLL
            for (int i = 0; i <= last; ++i) columns.a[i][k] = columns.a[i][k] - v[i] * projection;
        }
        columns.w[M + r] = record.c[r];
        SMOOTHFIT_UNROLL
        for (int i = 0; i < M; ++i) columns.a[i][M + r] = i <= last ? Real(v[i]) : Real(0.0);
    }
    SMOOTHFIT_UNROLL
    for (int i = 0; i < M; ++i) {  // T(-d)
        SMOOTHFIT_UNROLL
        for (int j = i + 1; j < M; ++j) {
            const length_t<Real> back = (j - i) % 2 ? -step.taylor[j - i] : step.taylor[j - i];
            x.mean[i] = x.mean[i] + back * x.mean[j];
            SMOOTHFIT_UNROLL
            for (int k = 0; k < 2 * M; ++k) columns.a[i][k] = columns.a[i][k] + back * columns.a[j][k];
        }
    }
    orthogonalise(columns, x);
}

// Regresses the state at t on that at t + d, and tells the regression G; `filtered` is the filtered state at t, which is used up.
template <class Real, int M>
SMOOTHFIT_NOINLINE void regress_back(Posterior<Real, M>& x, State<Real, M>& filtered, const Step<length_t<Real>, M>& step,
                                     const Real& q, Real (&gain)[M][M]) {
    for (int i = 0; i < M; ++i)
        for (int j = 0; j < M; ++j) gain[i][j] = Real(0.0);
    for (int r = 0; r < M; ++r) {
        // x(t + d) = T x(t) + V eta, V with columns v_r: row `i` of V^-1 x(t + d) is an observation with variance c_r alone.
        const int i = M - 1 - r;
        Real left[M] = {}, h[M], f[M], reading = Real(0.0);
        for (int j = 0; j < M; ++j) {
            left[j] = Real(i == j ? 1.0 : 0.0);
            for (int l = i; l < j; ++l) left[j] = left[j] - step.noise[M - 1 - j][l] * left[l];
            reading = reading + left[j] * x.mean[j];
        }
        for (int j = 0; j < M; ++j) {  // h = T' left
            h[j] = Real(0.0);
            for (int l = i; l <= j; ++l) h[j] = h[j] + step.taylor[j - l] * left[l];
        }
        for (int j = 0; j < M; ++j) {  // f = U' h
            double size = magnitude(h[j]);
            f[j] = h[j];
            for (int l = 0; l < j; ++l) {
                f[j] = f[j] + filtered.u[l][j] * h[l];
                size += magnitude(filtered.u[l][j]) * magnitude(h[l]);
            }
            if (filtered.flat[j]) f[j] = zero_if_rounding(f[j], size);
        }
        Real innovation[M];  // left - h'G: the observation's innovation as a function of x(t + d)
        for (int j = 0; j < M; ++j) {
            innovation[j] = left[j];
            for (int l = 0; l < M; ++l) innovation[j] = innovation[j] - h[l] * gain[l][j];
        }
        const Absorbed<Real, M> absorbed = absorb<true, -1>(filtered, f, reading, step.intensity[r] * q);
        for (int l = 0; l < M; ++l)
            for (int j = 0; j < M; ++j) gain[l][j] = gain[l][j] + absorbed.gain[l] * innovation[j];
    }
    Columns<Real, M> columns;
    put_columns(columns, M, x.u, x.d);
    for (int k = M; k < 2 * M; ++k) {
        Real column[M];
        for (int i = 0; i < M; ++i) column[i] = columns.a[i][k];
        for (int i = 0; i < M; ++i) {
            columns.a[i][k] = Real(0.0);
            for (int l = 0; l < M; ++l) columns.a[i][k] = columns.a[i][k] + gain[i][l] * column[l];
        }
    }
    x = posterior_of(filtered);
    put_columns(columns, 0, x.u, x.d);
    orthogonalise(columns, x);
}

// Lanes in which a step's noise asks for the second form.
template <class Real, int M>
SMOOTHFIT_INLINE unsigned large_noise(const NoiseRecord<Real, M>& record) {
    return lanes_below(Real(0.0) - record.share, -0.5 * M) | lanes_below(record.least_remaining, 0.1);
}

// One step back: `x` is the posterior at t + d on entry and that at t on return; `filtered` is the filtered state at t.
template <class Real, int M>
SMOOTHFIT_INLINE void retreat(Posterior<Real, M>& x, State<Real, M> filtered, const Step<length_t<Real>, M>& step, const Real& q) {
    NoiseRecord<Real, M> record;
    record.share = Real(0.0);
    record.least_remaining = Real(1.0);
    State<Real, M> predicted = filtered;
    transit<true>(predicted, step);
    add_noises_recording<0>(predicted, step, q, record);
    const unsigned large = large_noise(record);
    if (large == 0) {
        undo_noises(x, step, record);
        return;
    }
    Posterior<Real, M> regressed = x;
    Real gain[M][M];
    regress_back(regressed, filtered, step, q, gain);
    if (large != all_lanes<Real>) undo_noises(x, step, record);
    SMOOTHFIT_UNROLL
    for (int i = 0; i < M; ++i) {
        take_lanes(x.mean[i], regressed.mean[i], large);
        take_lanes(x.d[i], regressed.d[i], large);
        SMOOTHFIT_UNROLL
        for (int j = i + 1; j < M; ++j) take_lanes(x.u[i][j], regressed.u[i][j], large);
    }
}

// Packed storage, `packed_size<M>` numbers a node: mu (filtered) or the mean (posterior), D (infinite where flat), then
// the strictly upper part of U by rows.
template <int M>
constexpr int packed_size = M + M * (M + 1) / 2;

template <class Real, int M>
inline void pack(const Real (&centre)[M], const Real (&d)[M], const Real (&u)[M][M], Real* out) {
    for (int i = 0; i < M; ++i) *out++ = centre[i];
    for (int i = 0; i < M; ++i) *out++ = d[i];
    for (int i = 0; i < M; ++i)
        for (int j = i + 1; j < M; ++j) *out++ = u[i][j];
}

template <class Real, int M>
inline void unpack(const Real* in, Real (&centre)[M], Real (&d)[M], Real (&u)[M][M]) {
    for (int i = 0; i < M; ++i) centre[i] = *in++;
    for (int i = 0; i < M; ++i) d[i] = *in++;
    for (int i = 0; i < M; ++i)
        for (int j = i + 1; j < M; ++j) u[i][j] = *in++;
}

template <class Real, int M>
inline void pack(const State<Real, M>& s, Real* out) {
    pack(s.mu, s.d, s.u, out);
}

// A sink that keeps the packed states of all nodes.
template <class Real>
struct PackedStates {
    Real* states;
    template <int M>
    void operator()(std::int64_t node, const State<Real, M>& s) const noexcept {
        pack(s, states + node * packed_size<M>);
    }
};

template <class Real, int M>
inline void pack(const Posterior<Real, M>& x, Real* out) {
    pack(x.mean, x.d, x.u, out);
}

template <class Real, int M>
inline State<Real, M> unpack_state(const Real* in) {
    State<Real, M> s;
    unpack(in, s.mu, s.d, s.u);
    s.n_flat = 0;
    for (int i = 0; i < M; ++i) {
        s.flat[i] = value(s.d[i]) > std::numeric_limits<double>::max();
        s.n_flat += s.flat[i];
    }
    return s;
}

template <class Real, int M>
inline Posterior<Real, M> unpack_posterior(const Real* in) {
    Posterior<Real, M> x;
    unpack(in, x.mean, x.d, x.u);
    return x;
}

// Var f^(k) of a packed posterior: sum over j >= k of U_kj^2 D_j.
template <class Real, int M>
inline Real packed_variance(const Real* in, int k) {
    const Posterior<Real, M> x = unpack_posterior<Real, M>(in);
    Real sum = x.d[k];
    for (int j = k + 1; j < M; ++j) sum = sum + x.u[k][j] * x.u[k][j] * x.d[j];
    return sum;
}

// Posterior of every node; gap[i] = x[i + 1] - x[i], n - 1 of them. `posterior` may be the same memory as `filtered`.
template <class Real, int M>
SMOOTHFIT_NOINLINE void smooth(std::int64_t n, const double* gap, const Real& q, const Real* filtered, Real* posterior) noexcept {
    constexpr int size = packed_size<M>;
    Posterior<Real, M> x = posterior_of(unpack_state<Real, M>(filtered + (n - 1) * size));
    pack(x, posterior + (n - 1) * size);
    for (std::int64_t i = n - 2; i >= 0; --i) {
        retreat(x, unpack_state<Real, M>(filtered + i * size), Step<length_t<Real>, M>(gap[i]), q);
        pack(x, posterior + i * size);
    }
}

// Derivatives of order M .. 2M-1 of the posterior mean just left of node i + 1. Between nodes the mean solves f^(2M) = 0;
// with the costate p = (P^+)^-1 (smoothed - predicted mean) at the node, f^(M+l) = q (-1)^l p_(M-1-l).
template <class Real, int M>
inline void higher_derivatives(const Real* filtered, const Real* posterior_next, double gap, const Real& q, Real* out) noexcept {
    State<Real, M> s = unpack_state<Real, M>(filtered);
    advance<true>(s, Step<length_t<Real>, M>(gap), q);
    const Posterior<Real, M> x = unpack_posterior<Real, M>(posterior_next);
    Real solved[M], costate[M];
    for (int i = M - 1; i >= 0; --i) {  // U^-1 (smoothed mean)
        solved[i] = x.mean[i];
        for (int j = i + 1; j < M; ++j) solved[i] = solved[i] - s.u[i][j] * solved[j];
    }
    for (int i = 0; i < M; ++i) {
        costate[i] = s.flat[i] ? Real(0.0) : (solved[i] - s.mu[i]) / s.d[i];
        for (int l = 0; l < i; ++l) costate[i] = costate[i] - s.u[l][i] * costate[l];
    }
    for (int l = 0; l < M; ++l) out[l] = (l % 2 ? Real(0.0) - q : q) * costate[M - 1 - l];
}

// Posterior at `ahead` beyond node `left` and `behind` before the next one. left = -1: before the first node, where only
// `behind` counts; left = n - 1: beyond the last, where only `ahead` counts.
template <class Real, int M>
inline void predict(std::int64_t n, const Real* filtered, const Real* posterior, const Real& q, std::int64_t left,
                    length_t<Real> ahead, length_t<Real> behind, Real* out) noexcept {
    constexpr int size = packed_size<M>;
    if (left < 0) {
        Posterior<Real, M> x = unpack_posterior<Real, M>(posterior);
        retreat(x, State<Real, M>::diffuse(), Step<length_t<Real>, M>(behind), q);
        pack(x, out);
        return;
    }
    if (left < n - 1 && ahead == 0.0) {
        for (int i = 0; i < size; ++i) out[i] = posterior[left * size + i];
        return;
    }
    State<Real, M> s = unpack_state<Real, M>(filtered + left * size);
    advance<true>(s, Step<length_t<Real>, M>(ahead), q);
    if (left == n - 1) {
        pack(posterior_of(s), out);
        return;
    }
    Posterior<Real, M> x = unpack_posterior<Real, M>(posterior + (left + 1) * size);
    retreat(x, s, Step<length_t<Real>, M>(behind), q);
    pack(x, out);
}

}  // namespace smoothfit
