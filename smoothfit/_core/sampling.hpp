// Draws from the posterior, and what single observations and sudden changes would explain.
//
// Draws. Given the state at t + d, the state at t does not depend on what comes after: with e the deviation from the
// posterior mean,
//
//   e(t) = G e(t + d) + remainder,   Var remainder = V(t given the state at t + d),
//
// one step back of smoother.hpp from a state that is known, V(t + d) = 0. Steps between values of x at which no draw is asked
// for are composed, G := G_step G with the remainder's covariance kept as U D U', so that a draw costs no more than its points
// (the backward sampling of Frühwirth-Schnatter 1994, "Data augmentation and dynamic linear models", and of Carter & Kohn 1994,
// in factored form).
//
// Shocks. The backward recursion of the scores (de Jong 1989, "Smoothing and interpolation with the state-space model";
// Harvey & Koopman 1992, "Diagnostic checking of unobserved-components time series models"),
//
//   an observation of row k:   l = e_k - gain,   r_k := v / F + l'r,   N := L'N L + e_k e_k' / F,   L = I - gain e_k',
//   a step:               r := T'r,   N := T'N T,
//
// gives u = K^-1 (observations - their mean) as the change of r_k, its precision D = 1 / F + gain'N gain, and at each node the
// score r of a shock to the state there with information N. Entry k of l is r / F (zero where a flat component took the observation
// up), so that u / D, the residual of an observation from a fit without it, keeps its digits where its leverage is one.
#pragma once

#include <cmath>
#include <limits>
#include <type_traits>

#include "smoother.hpp"

namespace smoothfit {

// G, then the root U sqrt(D) of the remainder's covariance, upper triangle by rows.
template <int M>
constexpr int link_size = M * M + M * (M + 1) / 2;

template <class Real, int M>
inline void pack_link(const Real (&g)[M][M], const Posterior<Real, M>& rest, Real* out) {
    for (int i = 0; i < M; ++i)
        for (int j = 0; j < M; ++j) *out++ = g[i][j];
    Real root[M];
    for (int j = 0; j < M; ++j) root[j] = std::sqrt(rest.d[j]);
    for (int i = 0; i < M; ++i)
        for (int j = i; j < M; ++j) *out++ = i == j ? root[j] : rest.u[i][j] * root[j];
}

// A state that is known.
template <class Real, int M>
inline void set_known(Posterior<Real, M>& x) {
    for (int i = 0; i < M; ++i) {
        x.mean[i] = x.d[i] = Real(0.0);
        for (int j = 0; j < M; ++j) x.u[i][j] = Real(0.0);
    }
}

// One step back of the columns of g and of the remainder.
template <class Real, int M>
inline void retreat_linearly(Real (&g)[M][M], Posterior<Real, M>& rest, State<Real, M> filtered, const Step<Real, M>& step, const Real& q) {
    NoiseRecord<Real, M> record;
    record.share = Real(0.0);
    record.least_remaining = Real(1.0);
    State<Real, M> predicted = filtered;
    transit<true>(predicted, step);
    add_noises_recording<0>(predicted, step, q, record);
    if (large_noise(record)) {
        Real gain[M][M];
        regress_back(rest, filtered, step, q, gain);
        for (int k = 0; k < M; ++k) {
            Real column[M];
            for (int i = 0; i < M; ++i) column[i] = g[i][k];
            for (int i = 0; i < M; ++i) {
                g[i][k] = Real(0.0);
                for (int l = 0; l < M; ++l) g[i][k] = g[i][k] + gain[i][l] * column[l];
            }
        }
        return;
    }
    undo_noises(rest, step, record);
    for (int r = 0; r < M; ++r) {
        const int last = M - 1 - r;
        const State<Real, M>& s = record.before[r];
        Real w[M];
        for (int i = 0; i < M; ++i) {  // w = c U^-T D^-1 t
            w[i] = i > last ? Real(0.0) : record.c[r] * record.scaled_t[r][i];
            for (int l = 0; l < i; ++l) w[i] = w[i] - s.u[l][i] * w[l];
        }
        for (int k = 0; k < M; ++k) {
            Real projection = Real(0.0);
            for (int i = 0; i < M; ++i) projection = projection + w[i] * g[i][k];
            for (int i = 0; i <= last; ++i) g[i][k] = g[i][k] - step.noise[r][i] * projection;
        }
    }
    for (int i = 0; i < M; ++i)  // T(-d)
        for (int j = i + 1; j < M; ++j) {
            const Real back = (j - i) % 2 ? Real(0.0) - step.taylor[j - i] : step.taylor[j - i];
            for (int k = 0; k < M; ++k) g[i][k] = g[i][k] + back * g[j][k];
        }
}

// Links between the nodes that are kept: entry k leads from kept node k + 1 to kept node k; the last has G = 0.
template <class Real, int M>
SMOOTHFIT_NOINLINE void links(std::int64_t n, const double* gap, const Real& q, const Real* filtered, const std::uint8_t* keep,
                              std::int64_t n_kept, Real* out) noexcept {
    constexpr int size = packed_size<M>;
    Real g[M][M];
    for (int i = 0; i < M; ++i)
        for (int j = 0; j < M; ++j) g[i][j] = Real(0.0);
    Posterior<Real, M> rest = posterior_of(unpack_state<Real, M>(filtered + (n - 1) * size));
    for (std::int64_t i = n - 1, k = n_kept; k > 0; --i) {
        if (i < n - 1) retreat_linearly(g, rest, unpack_state<Real, M>(filtered + i * size), Step<Real, M>(gap[i]), q);
        if (!keep[i]) continue;
        pack_link(g, rest, out + --k * link_size<M>);
        set_known(rest);
        for (int a = 0; a < M; ++a)
            for (int b = 0; b < M; ++b) g[a][b] = Real(a == b ? 1.0 : 0.0);
    }
}

// Deviations from the posterior mean at the kept nodes, of the derivatives asked for: out (n_derivs, n_draws, n_kept) from
// standard normal numbers z (n_draws, n_kept, M).
template <int M>
SMOOTHFIT_NOINLINE void draw(std::int64_t n_kept, const double* link, std::int64_t n_draws, const double* z, int n_derivs,
                             const std::int64_t* derivs, double* out) noexcept {
    for (std::int64_t b = 0; b < n_draws; ++b) {
        double e[M] = {};
        for (std::int64_t k = n_kept - 1; k >= 0; --k) {
            const double* g = link + k * link_size<M>;
            const double* root = g + M * M;
            const double* normal = z + (b * n_kept + k) * M;
            double next[M];
            SMOOTHFIT_UNROLL
            for (int i = 0; i < M; ++i) {
                next[i] = 0.0;
                SMOOTHFIT_UNROLL
                for (int j = 0; j < M; ++j) next[i] = next[i] + g[i * M + j] * e[j];
                SMOOTHFIT_UNROLL
                for (int j = i; j < M; ++j) next[i] = next[i] + *root++ * normal[j];
            }
            SMOOTHFIT_UNROLL
            for (int i = 0; i < M; ++i) e[i] = next[i];
            for (int a = 0; a < n_derivs; ++a) out[(a * n_draws + b) * n_kept + k] = e[derivs[a]];
        }
    }
}

// What a row did to the filter: its gain, the row's own entry of L, v / F and 1 / F, both zero where a flat component took it up.
template <int M>
constexpr int record_size = M + 3;

// Of each row u and D: (n, 2), zero where there is no observation. Of each node r and the diagonal of N: (n_nodes, 2 M), for a
// shock to the state there before its observations. `record` is (n, M + 3).
template <int M>
SMOOTHFIT_NOINLINE Status shocks(const Rows& rows, double q, const double* sigma2, double* record, double* errors, double* scores) noexcept {
    constexpr int size = record_size<M>;
    State<double, M> s = State<double, M>::diffuse();
    std::int64_t node = 0;
    for (std::int64_t i = 0; i < rows.n; ++i) {
        if (i > 0 && rows.delta[i] > 0) {
            ++node;
            advance<true>(s, Step<double, M>(rows.delta[i]), q);
        }
        if (rows.deriv[i] == Rows::missing) continue;
        const double r = rows.ratio[i] * sigma2[rows.group[i]];
        const Absorbed<double, M> absorbed = read<true>(s, rows.deriv[i], rows.y[i], r);
        if (!(absorbed.variance > 1e-200 && absorbed.variance < 1e200)) return {Outcome::overflow, i};
        const double weight = absorbed.diffuse ? 0.0 : 1.0 / absorbed.variance;
        double* mine = record + i * size;
        for (int j = 0; j < M; ++j) mine[j] = absorbed.gain[j];
        mine[M] = r * weight;
        mine[M + 1] = absorbed.innovation * weight;
        mine[M + 2] = weight;
    }
    double r[M] = {}, N[M][M] = {};
    for (std::int64_t i = rows.n - 1; i >= 0; --i) {
        errors[2 * i] = errors[2 * i + 1] = 0.0;
        if (rows.deriv[i] != Rows::missing) {
            const int k = rows.deriv[i];
            const double* mine = record + i * size;
            double l[M], u = mine[M + 1], precision = mine[M + 2], moved[M], own = mine[M + 2], total = mine[M + 1];
            for (int a = 0; a < M; ++a) {
                l[a] = a == k ? mine[M] : -mine[a];
                u -= mine[a] * r[a];
                total += l[a] * r[a];
            }
            for (int a = 0; a < M; ++a) {
                moved[a] = 0.0;
                double gained = 0.0;
                for (int b = 0; b < M; ++b) {
                    moved[a] += N[a][b] * l[b];
                    gained += N[a][b] * mine[b];
                }
                own += l[a] * moved[a];
                precision += mine[a] * gained;
            }
            for (int a = 0; a < M; ++a) N[a][k] = N[k][a] = moved[a];
            N[k][k] = own;
            r[k] = total;
            errors[2 * i] = u;
            errors[2 * i + 1] = precision;
        }
        if (i > 0 && !(rows.delta[i] > 0)) continue;
        double* out = scores + node-- * 2 * M;
        for (int a = 0; a < M; ++a) {
            out[a] = r[a];
            out[M + a] = N[a][a];
        }
        if (i == 0) break;
        const Step<double, M> step(rows.delta[i]);
        for (int j = M - 1; j >= 0; --j)  // r := T'r
            for (int a = 0; a < j; ++a) r[j] += step.taylor[j - a] * r[a];
        for (int b = 0; b < M; ++b)  // N := T'N T
            for (int j = M - 1; j >= 0; --j)
                for (int a = 0; a < j; ++a) N[j][b] += step.taylor[j - a] * N[a][b];
        for (int b = 0; b < M; ++b)
            for (int j = M - 1; j >= 0; --j)
                for (int a = 0; a < j; ++a) N[b][j] += step.taylor[j - a] * N[b][a];
    }
    return {};
}

// Innovations over their standard deviations (n); NaN where nothing is read, and where a flat component took the row up.
template <int M>
SMOOTHFIT_NOINLINE Status innovations(const Rows& rows, double q, const double* sigma2, double* out) noexcept {
    State<double, M> s = State<double, M>::diffuse();
    for (std::int64_t i = 0; i < rows.n; ++i) {
        out[i] = std::numeric_limits<double>::quiet_NaN();
        if (i > 0 && rows.delta[i] > 0) advance<true>(s, Step<double, M>(rows.delta[i]), q);
        if (rows.deriv[i] == Rows::missing) continue;
        const double r = rows.ratio[i] * sigma2[rows.group[i]];
        const Absorbed<double, M> absorbed = read<true>(s, rows.deriv[i], rows.y[i], r);
        if (!(absorbed.variance > 1e-200 && absorbed.variance < 1e200)) return {Outcome::overflow, i};
        if (!absorbed.diffuse) out[i] = absorbed.innovation / std::sqrt(absorbed.variance);
    }
    return {};
}

// Goes on with the filter: states[i] is the filtered state before row i (packed), and states[i + 1] that after it. delta[i] is the
// step from the state before; rows `start` .. `stop` - 1 are run.
template <int M>
SMOOTHFIT_NOINLINE Status resume(const Rows& rows, std::int64_t start, std::int64_t stop, double q, const double* sigma2,
                                 double* states) noexcept {
    constexpr int size = packed_size<M>;
    State<double, M> s = unpack_state<double, M>(states + start * size);
    std::int64_t i = start;
    const auto run = [&](auto diffuse) {
        for (; i < stop && (!diffuse || s.n_flat > 0); ++i) {
            if (rows.delta[i] > 0) advance<diffuse>(s, Step<double, M>(rows.delta[i]), q);
            const double r = rows.ratio[i] * sigma2[rows.group[i]];
            const Absorbed<double, M> absorbed = read<diffuse>(s, rows.deriv[i], rows.y[i], r);
            if (!(absorbed.variance > 1e-200 && absorbed.variance < 1e200)) return false;
            pack(s, states + (i + 1) * size);
        }
        return true;
    };
    if (!run(std::true_type()) || !run(std::false_type())) return {Outcome::overflow, i};
    return {};
}

}  // namespace smoothfit
