// Exponentials of many small matrices: Taylor's series of a scaled matrix, squared back (C. Moler & C. Van Loan 2003, "Nineteen
// dubious ways to compute the exponential of a matrix, twenty-five years later", method 3).
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "scalar.hpp"

namespace smoothfit {

constexpr int taylor_terms = 14;      // 0.25^15 / 15! is far below the rounding
constexpr double taylor_norm = 0.25;  // of a scaled matrix, at most

// How often a matrix (m, m) is halved for its largest sum of sizes in a row to be at most a bound; never one that has no such sum.
template <class Real>
int halvings(const Real* a, int m, double bound) {
    double norm = 0.0;
    for (int i = 0; i < m; ++i) {
        double sum = 0.0;
        for (int j = 0; j < m; ++j) sum += std::abs(value(a[i * m + j]));
        if (!(sum <= norm)) norm = sum;
    }
    return std::isfinite(norm) && norm > bound ? static_cast<int>(std::ceil(std::log2(norm / bound))) : 0;
}

// c = a b; c is neither of them.
template <class Real, int M>
SMOOTHFIT_INLINE void product(const Real* a, const Real* b, Real* c, int size) {
    const int m = M > 0 ? M : size;
    for (int i = 0; i < m; ++i)
        for (int j = 0; j < m; ++j) {
            Real sum = a[i * m] * b[j];
            for (int k = 1; k < m; ++k) sum = sum + a[i * m + k] * b[k * m + j];
            c[i * m + j] = sum;
        }
}

// exp(a) of `count` matrices (size, size), one after another; M is their size, or zero where it is known at run time only.
template <class Real, int M>
void exponentials(const Real* a, Real* result, std::int64_t count, int size) {
    const int m = M > 0 ? M : size, n = m * m;
    std::vector<Real> scaled(n), sum(n), next(n);
    for (std::int64_t c = 0; c < count; ++c, a += n, result += n) {
        const int squarings = halvings(a, m, taylor_norm);
        const double scale = std::ldexp(1.0, -squarings);
        for (int i = 0; i < n; ++i) scaled[i] = scale * a[i];
        for (int i = 0; i < n; ++i) sum[i] = (1.0 / taylor_terms) * scaled[i];
        for (int k = taylor_terms - 1; k > 0; --k) {  // sum is the tail of the series but for its identity
            for (int i = 0; i < m; ++i) sum[i * m + i] = sum[i * m + i] + Real(1.0);
            product<Real, M>(scaled.data(), sum.data(), next.data(), m);
            for (int i = 0; i < n; ++i) sum[i] = (1.0 / k) * next[i];
        }
        for (int i = 0; i < m; ++i) sum[i * m + i] = sum[i * m + i] + Real(1.0);
        for (int k = 0; k < squarings; ++k) {
            product<Real, M>(sum.data(), sum.data(), next.data(), m);
            sum.swap(next);
        }
        for (int i = 0; i < n; ++i) result[i] = sum[i];
    }
}

}  // namespace smoothfit
