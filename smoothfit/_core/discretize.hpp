// Exact discretisation of x' = A x + E d(t) + noise over many steps: T = exp(A h), hold, ramp and Q of markov/discretize.py as power
// series in h, whose coefficients depend on A and E alone. Long steps are halved until the series is short, and doubled back
// (C. Moler & C. Van Loan 2003, "Nineteen dubious ways to compute the exponential of a matrix, twenty-five years later", method 3).
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "scalar.hpp"

namespace smoothfit {

constexpr int root_squarings = 10;         // of |A|: leaves the 1024-th root of its units
constexpr double series_rounding = 1e-24;  // of a leading term that may be as small as 1e-7, Q of an equation of order 6

// c = a b for a (m, m) and b (m, k); c is neither of them.
template <class Real>
void product(const Real* a, const Real* b, Real* c, int m, int k) {
    for (int i = 0; i < m; ++i)
        for (int j = 0; j < k; ++j) {
            Real sum = a[i * m] * b[j];
            for (int l = 1; l < m; ++l) sum = sum + a[i * m + l] * b[l * k + j];
            c[i * k + j] = sum;
        }
}

// The Perron root of |A|, its smallest norm in any units of the states, by repeated squaring; zero where A is not finite.
template <class Real>
double perron_root(const Real* a, int m) {
    std::vector<double> size(m * m), square(m * m);
    for (int i = 0; i < m * m; ++i) size[i] = std::abs(value(a[i]));
    double log_root = 0.0, weight = 1.0;
    for (int k = 0; k <= root_squarings; ++k, weight /= 2) {
        double largest = 0.0;
        for (double s : size)
            if (!(s <= largest)) largest = s;
        if (!(largest > 0 && std::isfinite(largest))) return 0.0;
        log_root += weight * std::log(largest);
        for (double& s : size) s /= largest;
        product(size.data(), size.data(), square.data(), m, m);
        size.swap(square);
    }
    return std::exp(log_root);
}

// Places of T (m, m), hold (m, p), ramp (m, p) and Q (p, m, m), one after another; of ramp and Q only where they are asked for.
struct StepLayout {
    int m, p;
    bool ramp, noise;

    int hold_at() const { return m * m; }
    int ramp_at() const { return m * m + m * p; }
    int noise_at() const { return m * m + (ramp ? 2 : 1) * m * p; }
    int width() const { return noise_at() + (noise ? p * m * m : 0); }
};

// Coefficients (terms, width) of the powers of h / unit.
template <class Real>
void series_coefficients(const Real* a, const double* entry, const StepLayout& at, double unit, int terms, Real* series) {
    const int m = at.m, p = at.p, width = at.width();
    std::vector<Real> scaled(m * m), power(m * m, Real(0.0)), next(m * m), driven(terms * m * p);
    for (int i = 0; i < m * m; ++i) scaled[i] = unit * a[i];
    for (int i = 0; i < m; ++i) power[i * m + i] = Real(1.0);
    std::fill(series, series + static_cast<std::int64_t>(terms) * width, Real(0.0));
    for (int k = 0; k < terms; ++k) {
        Real* const here = series + static_cast<std::int64_t>(k) * width;
        std::copy(power.begin(), power.end(), here);
        Real* const w = driven.data() + k * m * p;  // of exp(A s) E
        for (int i = 0; i < m; ++i)
            for (int j = 0; j < p; ++j) {
                Real sum = Real(0.0);
                for (int l = 0; l < m; ++l) sum = sum + entry[l * p + j] * power[i * m + l];
                w[i * p + j] = sum;
            }
        if (k + 1 == terms) break;
        Real* const above = here + width;
        for (int i = 0; i < m * p; ++i) {
            above[at.hold_at() + i] = (unit / (k + 1)) * w[i];
            if (at.ramp) above[at.ramp_at() + i] = (unit / ((k + 1.0) * (k + 2.0))) * w[i];
        }
        for (int j = 0; at.noise && j < p; ++j)  // the series of w w' is that of w, convolved with itself
            for (int row = 0; row < m; ++row)
                for (int column = 0; column <= row; ++column) {
                    Real sum = Real(0.0);
                    for (int i = 0; i <= k; ++i)
                        sum = sum + driven[(i * m + row) * p + j] * driven[((k - i) * m + column) * p + j];
                    Real* const Q = above + at.noise_at() + j * m * m;
                    Q[row * m + column] = Q[column * m + row] = (unit / (k + 1)) * sum;
                }
        product(power.data(), scaled.data(), next.data(), m, m);
        for (int i = 0; i < m * m; ++i) power[i] = (1.0 / (k + 1)) * next[i];
    }
}

// The matrices of twice a step, in place.
template <class Real>
void double_step(Real* step, const StepLayout& at, std::vector<Real>& left, std::vector<Real>& right) {
    const int m = at.m, p = at.p;
    Real *const T = step, *const hold = step + at.hold_at(), *const ramp = step + at.ramp_at();
    if (at.ramp) {
        product(T, ramp, left.data(), m, p);
        for (int i = 0; i < m * p; ++i) ramp[i] = 0.5 * (left[i] + hold[i] + ramp[i]);
    }
    product(T, hold, left.data(), m, p);
    for (int i = 0; i < m * p; ++i) hold[i] = hold[i] + left[i];
    for (int j = 0; at.noise && j < p; ++j) {
        Real* const Q = step + at.noise_at() + j * m * m;
        product(T, Q, left.data(), m, m);
        for (int row = 0; row < m; ++row)
            for (int column = 0; column <= row; ++column) {
                Real sum = Q[row * m + column];
                for (int l = 0; l < m; ++l) sum = sum + left[row * m + l] * T[column * m + l];
                right[row * m + column] = right[column * m + row] = sum;
            }
        std::copy(right.begin(), right.begin() + m * m, Q);
    }
    product(T, T, left.data(), m, m);
    std::copy(left.begin(), left.begin() + m * m, T);
}

// The matrices of steps (n) of one system, (n, width).
template <class Real>
void step_matrices(const Real* a, const double* entry, const StepLayout& at, const double* steps, std::int64_t n, Real* found) {
    const double root = perron_root(a, at.m);
    const auto doublings = [root](double step) {
        const double length = root * std::abs(step);
        return std::isfinite(length) && length > 1 ? static_cast<int>(std::ceil(std::log2(length))) : 0;
    };
    double longest = 0.0;
    for (std::int64_t c = 0; c < n; ++c)
        if (std::isfinite(steps[c])) longest = std::max(longest, std::ldexp(std::abs(steps[c]), -doublings(steps[c])));
    int exponent = 0, terms = 1;
    std::frexp(longest, &exponent);
    const double unit = longest > 0 ? std::ldexp(1.0, exponent) : 1.0;
    for (double term = 1.0; terms <= 2 * at.m || term > series_rounding; ++terms) term *= 2 * root * longest / terms;
    const int width = at.width(), numbers = width * static_cast<int>(sizeof(Real) / sizeof(double));
    std::vector<Real> series(static_cast<std::size_t>(terms) * width);
    std::vector<Real> left(at.m * std::max(at.m, at.p)), right(at.m * at.m);
    series_coefficients(a, entry, at, unit, terms, series.data());
    const double* const coefficients = reinterpret_cast<const double*>(series.data());
    for (std::int64_t c = 0; c < n; ++c, found += width) {
        const int times = doublings(steps[c]);
        const double x = std::ldexp(steps[c], -times) / unit;
        double* const sum = reinterpret_cast<double*>(found);
        std::copy(coefficients + (terms - 1) * numbers, coefficients + terms * numbers, sum);
        for (int k = terms - 2; k >= 0; --k) {
            const double* const term = coefficients + k * numbers;
            for (int i = 0; i < numbers; ++i) sum[i] = sum[i] * x + term[i];
        }
        for (int k = 0; k < times; ++k) double_step(found, at, left, right);
    }
}

}  // namespace smoothfit
