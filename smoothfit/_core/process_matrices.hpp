// Matrices of steps of the standard processes, in the units of each: transitions T and covariances Q of noises of intensity one.
//
// No digits are lost at small z: every entry begins with its own power of z. Matérn's Q has closed forms in moments of decay, of positive
// terms; other chains are Taylor series over so short a step that a few terms do, doubled by Q(2z) = Q + T Q T', T(2z) = T T.
// Closed forms of harmonics and rotations are those of markov/seasonal.py.
#pragma once

#include <cmath>
#include <limits>

#include "linear.hpp"
#include "scalar.hpp"

namespace smoothfit {

constexpr int most_block = 5;  // states of a process that is no table, its integral included

SMOOTHFIT_INLINE double lifted(double number, double, double) { return number; }
template <int N>
SMOOTHFIT_INLINE Dual<double, N> lifted(double number, double slope, const Dual<double, N>& z) {
    Dual<double, N> c;
    c.re = number;
    for (int i = 0; i < N; ++i) c.eps[i] = slope * z.eps[i];
    return c;
}

template <class Real>
Real power(const Real& base, int exponent) {
    Real result(1.0);
    for (int i = 0; i < exponent; ++i) result = result * base;
    return result;
}

// Integrals J_k of u^k exp(-z u) over u = 0 .. 1 for k = 0 .. LAST, `decay` = exp(-z): the highest by Kummer's series
// exp(-z) sum_m LAST! z^m / (LAST+1+m)!, or by its closed form where that does not cancel, the others by k J_{k-1} = z J_k + exp(-z). All
// terms are positive.
template <int LAST>
struct KummerSeries {
    static constexpr int most = 48;
    double coefficient[most];
    double reach[most];  // z up to which the terms from this one on are no part of the sum

    KummerSeries() {
        coefficient[0] = 1.0 / (LAST + 1);
        reach[0] = 0;
        double log_of_term = std::log(coefficient[0]);
        for (int m = 1; m < most; ++m) {
            coefficient[m] = coefficient[m - 1] / (LAST + 1 + m);
            log_of_term -= std::log(LAST + 1.0 + m);
            reach[m] = std::exp((std::log(1e-18 / (LAST + 1)) - log_of_term) / m);
        }
    }
};

template <int LAST>
SMOOTHFIT_INLINE void moments_of_decay(double z, double decay, double (&J)[LAST + 1]) {
    static const KummerSeries<LAST> series;
    if (z < LAST + 2) {
        int terms = 4;
        while (series.reach[terms] < z) terms += 2;
        double even = series.coefficient[terms], odd = series.coefficient[terms - 1];  // by Horner's rule in z^2, side by side
        for (int m = terms - 2; m > 0; m -= 2) {
            even = even * (z * z) + series.coefficient[m];
            odd = odd * (z * z) + series.coefficient[m - 1];
        }
        J[LAST] = decay * (even * (z * z) + series.coefficient[0] + odd * z);
    } else {
        double tail = 1.0, term = 1.0, factorial = 1.0, scale = z;
        for (int m = 1; m <= LAST; ++m) {
            term *= z / m;
            tail += term;
            factorial *= m;
            scale *= z;
        }
        J[LAST] = factorial / scale * (1 - decay * tail);
    }
    for (int k = LAST; k > 0; --k) J[k - 1] = (z * J[k] + decay) * (1.0 / k);
}

// Polynomials of the dimensionless state of a Matérn process of dim = p + 1 (markov/matern.py).
struct MaternForm {
    int dim;
    double nilpotent[4][4][4];  // N^k / k!
    double products[4][4][7];   // intensity times coefficients of g_i g_j
    double stationary[4][4];
    double intensity;

    explicit MaternForm(int given) : dim(given), nilpotent{}, products{}, stationary{} {
        double N[4][4] = {}, binomial = 1;
        for (int i = 0; i < dim; ++i) {
            nilpotent[0][i][i] = 1;
            N[i][i] += 1;
            if (i + 1 < dim) N[i][i + 1] += 1;
            N[dim - 1][i] -= binomial;
            binomial = binomial * (dim - i) / (i + 1);
        }
        for (int k = 1; k < dim; ++k)
            for (int i = 0; i < dim; ++i)
                for (int j = 0; j < dim; ++j)
                    for (int l = 0; l < dim; ++l) nilpotent[k][i][j] += nilpotent[k - 1][i][l] * N[l][j] / k;
        for (int i = 0; i < dim; ++i)
            for (int j = 0; j < dim; ++j) {
                for (int k = 0; k < dim; ++k)
                    for (int l = 0; l < dim; ++l) products[i][j][k + l] += nilpotent[k][i][dim - 1] * nilpotent[l][j][dim - 1];
                double weight = 0.5;  // the integral of z^k exp(-2 z)
                for (int k = 0; k < 2 * dim - 1; ++k) {
                    stationary[i][j] += products[i][j][k] * weight;
                    weight *= (k + 1) / 2.0;
                }
            }
        intensity = 1 / stationary[0][0];
        for (int i = 0; i < dim; ++i)
            for (int j = 0; j < dim; ++j) {
                stationary[i][j] *= intensity;
                for (int k = 0; k < 2 * dim - 1; ++k) products[i][j][k] *= intensity;
            }
    }
    static const MaternForm& of(int dim) {
        static const MaternForm forms[4] = {MaternForm(1), MaternForm(2), MaternForm(3), MaternForm(4)};
        return forms[dim - 1];
    }
};

constexpr int most_doublings = 1100;  // of the longest step that is finite
constexpr double forgotten = 1e3;  // z, beyond which exp(-z) underflows to zero

template <int D>
SMOOTHFIT_INLINE void matern_matrices(const MaternForm& form, double z, double (&T)[most_block][most_block],
                                      double (&Q)[most_block][most_block]) {
    constexpr int last = 2 * D - 2;
    z = z < forgotten ? z : forgotten;
    const double decay = std::exp(-z);
    double J[last + 1];
    moments_of_decay<last>(2 * z, decay * decay, J);
    double power = z;
    for (int k = 0; k <= last; ++k, power *= z) J[k] *= power;
    for (int i = 0; i < D; ++i)
        for (int j = 0; j < D; ++j) {
            double sum = form.nilpotent[D - 1][i][j];
            for (int k = D - 2; k >= 0; --k) sum = sum * z + form.nilpotent[k][i][j];
            T[i][j] = decay * sum;
            if (j < i) continue;
            double spread = 0;
            for (int k = last; k >= last - i - j; --k) spread += form.products[i][j][k] * J[k];
            Q[i][j] = Q[j][i] = spread;
        }
}

// T and Q over z of x' = A x + white noises of intensity one in the components from `driven` on. `times_A(X, moved)` is A X, and
// `norm` bounds that of A.
template <class Real, class Times>
void series_matrices(const Times& times_A, double norm, int driven, int d, Real z, Real (&T)[most_block][most_block],
                     Real (&Q)[most_block][most_block]) {
    norm *= value(z);
    int doublings = 0;
    for (; norm > 0.25 && doublings < most_doublings; norm *= 0.5, ++doublings) z = 0.5 * z;
    Real step[most_block][most_block] = {}, spread[most_block][most_block] = {}, moved[most_block][most_block];
    for (int i = 0; i < d; ++i)
        for (int j = 0; j < d; ++j) {
            T[i][j] = step[i][j] = Real(i == j ? 1.0 : 0.0);
            Q[i][j] = spread[i][j] = Real(0.0);
        }
    for (int i = driven; i < d; ++i) spread[i][i] = Q[i][i] = z;
    for (int k = 1; k < 2 * d + 14; ++k) {
        const Real next = (1.0 / k) * z, after = (1.0 / (k + 1)) * z;
        times_A(step, moved);
        for (int i = 0; i < d; ++i)
            for (int j = 0; j < d; ++j) {
                step[i][j] = moved[i][j] * next;
                T[i][j] = T[i][j] + step[i][j];
            }
        times_A(spread, moved);
        for (int i = 0; i < d; ++i)
            for (int j = 0; j <= i; ++j) {
                spread[i][j] = spread[j][i] = (moved[i][j] + moved[j][i]) * after;
                Q[i][j] = Q[j][i] = Q[i][j] + spread[i][j];
            }
    }
    for (; doublings > 0; --doublings) {
        for (int i = 0; i < d; ++i)
            for (int j = 0; j < d; ++j) {
                moved[i][j] = step[i][j] = Real(0.0);
                for (int l = 0; l < d; ++l) {
                    moved[i][j] = moved[i][j] + T[i][l] * Q[l][j];
                    step[i][j] = step[i][j] + T[i][l] * T[l][j];
                }
            }
        for (int i = 0; i < d; ++i)
            for (int j = 0; j <= i; ++j) {
                for (int l = 0; l < d; ++l) Q[i][j] = Q[i][j] + moved[i][l] * T[j][l];
                Q[j][i] = Q[i][j];
            }
        for (int i = 0; i < d; ++i)
            for (int j = 0; j < d; ++j) T[i][j] = step[i][j];
    }
}

// T and Q over z of x' = A x + white noise of intensity one in the last component, A the companion matrix of `c`.
template <class Real>
void chain_matrices(const Real* c, int d, Real z, Real (&T)[most_block][most_block], Real (&Q)[most_block][most_block]) {
    double norm = 0;
    for (int i = 0; i < d; ++i) norm += size_of(c[i]);
    const auto times_A = [&](const Real(&X)[most_block][most_block], Real(&moved)[most_block][most_block]) {
        for (int j = 0; j < d; ++j) {
            for (int i = 0; i + 1 < d; ++i) moved[i][j] = X[i + 1][j];
            moved[d - 1][j] = c[0] * X[0][j];
            for (int l = 1; l < d; ++l) moved[d - 1][j] = moved[d - 1][j] + c[l] * X[l][j];
        }
    };
    series_matrices<Real>(times_A, norm > 1 ? norm : 1.0, d - 1, d, z, T, Q);
}

// z^n/n! - z^(n+2)/(n+2)! + ..., n = `first` = 2 or 3: 1 - cos z, and z - sin z.
inline double remainder_of(double z, int first) {
    if (std::fabs(z) >= 1) {
        const double half = std::sin(z / 2);
        return first == 2 ? 2 * half * half : z - std::sin(z);
    }
    double total = 0;
    for (int n = first + 18; n > first; n -= 2) total = (1 - total) * z * z / (n * (n - 1));
    return (1 - total) * (first == 2 ? z * z / 2 : z * z * z / 6);
}

// The integral of (1 - cos s)^2 over s = 0 .. z, z^5/20 near zero: terms (-1)^n s^(2n) (2^(2n-1) - 2) / (2n)!, n >= 2.
inline double fifth_of(double z) {
    if (std::fabs(z) >= 1) return 1.5 * z - 2 * std::sin(z) + std::sin(2 * z) / 4;
    double total = 0, term = z * z * z / 2, doubled = 2;  // |z|^(2n+1) / (2n)! and 2^(2n-1)
    for (int n = 2; n <= 16; ++n) {
        term *= z * z / ((2 * n) * (2 * n - 1));
        doubled *= 4;
        total += (n % 2 ? -term : term) * (doubled - 2) / (2 * n + 1);
    }
    return total;
}

// The sine and the cosine of z. At quarters of a turn, exact zeros: the rounding of z would be taken for a trace of an unknown start.
inline void turn(double z, double* sine, double* cosine) {
    const double rounding = std::numeric_limits<double>::epsilon() * (z > 4 ? z : 4.0);
    *sine = std::sin(z);
    *cosine = std::cos(z);
    if (std::fabs(*sine) <= rounding) *sine = 0;
    if (std::fabs(*cosine) <= rounding) *cosine = 0;
}

// T and Q of (the integral of g, g, g'), g'' = -w^2 g + white noise of intensity 2 w^2.
inline void harmonic_matrices(double w, double dt, double (&T)[3][3], double (&Q)[3][3]) {
    const double z = w * dt;
    double sine, cosine;
    turn(z, &sine, &cosine);
    const double one_less_cosine = remainder_of(z, 2), half = remainder_of(2 * z, 3);
    T[0][0] = 1;
    T[1][0] = T[2][0] = 0;
    T[0][1] = T[1][2] = sine / w;
    T[0][2] = one_less_cosine / (w * w);
    T[1][1] = T[2][2] = cosine;
    T[2][1] = -w * sine;
    Q[0][0] = 2 / (w * w * w) * fifth_of(z);
    Q[0][1] = Q[1][0] = one_less_cosine * one_less_cosine / (w * w);
    Q[0][2] = Q[2][0] = 2 / w * (half / 4 - remainder_of(z, 3));
    Q[1][1] = half / (2 * w);
    Q[1][2] = Q[2][1] = sine * sine;
    Q[2][2] = w * (z + sine * cosine);
}

// T and Q of (the integral of g, g, h), g' = w h + white noise, h' = -w g + white noise, of intensities one.
inline void rotation_matrices(double w, double dt, double (&T)[3][3], double (&Q)[3][3]) {
    const double z = w * dt, one_less_cosine = remainder_of(z, 2), less_sine = remainder_of(z, 3);
    double sine, cosine;
    turn(z, &sine, &cosine);
    T[0][0] = 1;
    T[1][0] = T[2][0] = 0;
    T[0][1] = sine / w;
    T[0][2] = one_less_cosine / w;
    T[1][1] = T[2][2] = cosine;
    T[1][2] = sine;
    T[2][1] = -sine;
    Q[0][0] = 2 * less_sine / (w * w * w);
    Q[0][1] = Q[1][0] = one_less_cosine / (w * w);
    Q[0][2] = Q[2][0] = -less_sine / (w * w);
    Q[1][1] = Q[2][2] = dt;
    Q[1][2] = Q[2][1] = 0;
}

// Covariance over dt of a Wiener process (d = 1), or of its integral and it (d = 2), of intensity one.
inline double walk_noise(double dt, int d, int i, int j) {
    const int below = 2 * (d - 1) - i - j;
    return below == 0 ? dt : below == 1 ? dt * dt / 2 : dt * dt * dt / 3;
}

}  // namespace smoothfit
