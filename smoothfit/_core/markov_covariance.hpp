// The filter of markov.hpp on the covariance itself, where that loses no digits and costs a fraction.
//
// P <- T P T' + Q costs a multiple of m^2 where T is block diagonal; factors U D U' cost m^3, as they are orthogonalised anew. But
// P - P H'H P / F is a difference: it keeps its digits while no observation says much more than was known. With
//
//   sum_j H_j^2 P_jj <= most_told r
//
// the rounding of P is a rounding of F of that many units at most, and what is left of P is as well conditioned as it was. The factors
// are the ones that are kept from the start on, while something is unknown, and wherever an observation tells more.
#pragma once

#include "linear.hpp"
#include "markov_steps.hpp"
#include "scalar.hpp"

namespace smoothfit {

constexpr double most_told = 0x1p13;  // of what is known before an observation, by its own variance
constexpr double farthest = 0x1p20;   // squared innovation, by its variance: a mean that is this wrong is left to the factors
constexpr double correlated = 0x1p-20;  // of a variance, the least part that later components leave

template <class Real, int M>
struct MarkovCovariance {
    Real a[M];
    Real P[M][M];
};

// Whether an observation of `noise` tells little of a state with these variances.
template <class Real, int M>
SMOOTHFIT_INLINE bool tells_little(const Real (&P)[M][M], int m, const double* H, const Real& noise) {
    double size = 0;
    for (int j = 0; j < m; ++j) size += H[j] * H[j] * value(P[j][j]);
    return size <= most_told * value(noise);
}

// From the factors to the covariance; false where that would lose digits.
template <class Real, int M>
bool multiply_out(const Real (&mu)[M], const Real (&U)[M][M], const Real (&D)[M], int given, MarkovCovariance<Real, M>& s) {
    const int m = actual<M>(given);
    for (int i = 0; i < m; ++i) {
        double variance = value(D[i]);
        for (int k = i + 1; k < m; ++k) variance += value(D[k]) * value(U[i][k]) * value(U[i][k]);
        if (!(value(D[i]) >= correlated * variance)) return false;
    }
    for (int i = 0; i < m; ++i) {
        s.a[i] = mu[i];
        for (int k = i + 1; k < m; ++k) s.a[i] = s.a[i] + U[i][k] * mu[k];
        for (int j = 0; j <= i; ++j) {
            Real sum = j < i ? U[j][i] * D[i] : D[i];
            for (int k = i + 1; k < m; ++k) sum = sum + U[i][k] * D[k] * U[j][k];
            s.P[i][j] = s.P[j][i] = sum;
        }
    }
    return true;
}

// T is numbers or carries derivatives, as `t(i, j)` does.
template <class Real, int M, class Entry>
SMOOTHFIT_INLINE void advance(MarkovCovariance<Real, M>& s, const MarkovStep<Real, M>& step, int m, const Entry& t) {
    Real X[M][M], moved[M];  // T P and T a
    const auto begin = [&](int i) { return M > dense_state ? step.begin[i] : 0; };
    const auto end = [&](int i) { return M > dense_state ? step.end[i] : m; };
    for (int i = 0; i < m; ++i) {
        moved[i] = Real(0.0);
        for (int c = 0; c < m; ++c) X[i][c] = Real(0.0);
        for (int l = begin(i); l < end(i); ++l) {
            const auto entry = t(i, l);
            moved[i] = moved[i] + entry * s.a[l];
            for (int c = 0; c < m; ++c) X[i][c] = X[i][c] + entry * s.P[l][c];
        }
    }
    for (int i = 0; i < m; ++i) {
        s.a[i] = moved[i];
        for (int j = 0; j <= i; ++j) {
            Real sum = step.Q[i][j];
            for (int l = begin(j); l < end(j); ++l) sum = sum + t(j, l) * X[i][l];
            s.P[i][j] = s.P[j][i] = sum;
        }
    }
}

template <class Real, int M>
SMOOTHFIT_INLINE void step_covariance(MarkovCovariance<Real, M>& s, const MarkovStep<Real, M>& step, int given) {
    const int m = actual<M>(given);
    if (step.is_number) {
        advance<Real, M>(s, step, m, [&](int i, int j) { return value(step.T[i][j]); });
    } else {
        advance<Real, M>(s, step, m, [&](int i, int j) { return step.T[i][j]; });
    }
}

// The update by one observation; false, and nothing done, where it is one for the factors. P is symmetric to rounding until the
// next step.
template <class Real, int M>
SMOOTHFIT_INLINE bool read_covariance(MarkovCovariance<Real, M>& s, int given, const double* H, double y, const Real& r,
                                      Reading<Real>* out) {
    const int m = actual<M>(given);
    if (!tells_little<Real, M>(s.P, m, H, r)) return false;
    Real told[M], F = r, v(y);
    for (int i = 0; i < m; ++i) told[i] = Real(0.0);
    for (int j = 0; j < m; ++j) {
        if (H[j] == 0) continue;
        v = v - H[j] * s.a[j];
        for (int i = 0; i < m; ++i) told[i] = told[i] + H[j] * s.P[j][i];
    }
    for (int j = 0; j < m; ++j)
        if (H[j] != 0) F = F + H[j] * told[j];
    if (!(value(v) * value(v) <= farthest * value(F))) return false;
    const Real inverse = Real(1.0) / F, scaled = v * inverse;
    for (int i = 0; i < m; ++i) {
        s.a[i] = s.a[i] + told[i] * scaled;
        const Real gain = told[i] * inverse;
        for (int j = 0; j < m; ++j) s.P[i][j] = s.P[i][j] - gain * told[j];
    }
    *out = {v, F, false};
    return true;
}

}  // namespace smoothfit
