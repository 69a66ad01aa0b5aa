// Quantiles of mixtures of location-scale Student's t or normal laws.
//
// The standard law has the distribution function F(t) = Phi(z(t)). Its normal score z and the Mills ratio M = Phi(-z) / phi(z) are
// smooth functions of |t|, each interpolated by a quintic in every cell of a table (`StandardLaw`), so that a component costs one
// exponential: for t < 0, F = phi(z) M, and F' = phi(z) z'.
//
// The quantile of a level p <= 1/2 solves log F(v) = log p by Halley's method, which is cubic, between the smallest and the largest
// quantile of the components: they enclose it.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

namespace smoothfit {

struct StandardLaw {
    static constexpr int width = 13;  // left end of a cell of 1 + |t|, coefficients of z by increasing power, and those of M
    const double* cells;
    std::int64_t n;
    double farthest;  // |t| beyond which the law is taken for that at `farthest`
};

// Components of one mixture, without those of weight zero; `inverse` is 1 / sd, infinite for a value without uncertainty.
struct Components {
    const double *mean, *inverse, *weight;
    std::int64_t count;
};

// F, its first and its second derivative.
struct Distribution {
    double probability, density, bend;
};

inline Distribution distribution(const StandardLaw& law, const Components& c, double value) noexcept {
    constexpr int shift = 52 - 5, first = 1023 << 5;  // 32 cells for each octave of 1 + |t|
    constexpr double root_two_pi = 2.5066282746310002;
    Distribution sum{0.0, 0.0, 0.0};
    for (std::int64_t l = 0; l < c.count; ++l) {
        if (std::isinf(c.inverse[l])) {
            sum.probability += value >= c.mean[l] ? c.weight[l] : 0.0;
            continue;
        }
        const double t = (value - c.mean[l]) * c.inverse[l], size = std::min(std::fabs(t), law.farthest) + 1.0;
        std::int64_t bits;
        std::memcpy(&bits, &size, sizeof bits);
        const double* cell = law.cells + StandardLaw::width * std::min((bits >> shift) - first, law.n - 1);
        const double u = size - cell[0], *a = cell + 1, *b = cell + 7;
        const double z = ((((a[5] * u + a[4]) * u + a[3]) * u + a[2]) * u + a[1]) * u + a[0];
        const double slope = (((5 * a[5] * u + 4 * a[4]) * u + 3 * a[3]) * u + 2 * a[2]) * u + a[1];
        const double bend = ((20 * a[5] * u + 12 * a[4]) * u + 6 * a[3]) * u + 2 * a[2];
        const double mills = ((((b[5] * u + b[4]) * u + b[3]) * u + b[2]) * u + b[1]) * u + b[0];
        const double phi = std::exp(-0.5 * z * z) / root_two_pi, tail = phi * mills, density = c.weight[l] * phi * c.inverse[l];
        sum.probability += c.weight[l] * (t < 0.0 ? tail : 1.0 - tail);
        sum.density += density * slope;
        sum.bend += (t < 0.0 ? -density : density) * (bend - z * slope * slope) * c.inverse[l];
    }
    return sum;
}

// Smallest value whose distribution function is at least p <= 1/2; `score` is the quantile of the standard law.
inline double lower_quantile(const StandardLaw& law, const Components& c, double p, double score) noexcept {
    constexpr double close = 1e-12;  // error of log F, as predicted for after the next step
    constexpr int most_free = 12;    // steps after which every fourth is a bisection
    double low = INFINITY, high = -INFINITY, largest = 0.0, mean = 0.0, square = 0.0;
    for (std::int64_t l = 0; l < c.count; ++l) {
        const double end = c.mean[l] + score / c.inverse[l];
        if (!(c.weight[l] > 0.0 && std::isfinite(end))) return NAN;
        low = std::min(low, end);
        high = std::max(high, end);
        mean += c.weight[l] * c.mean[l];
        if (std::isfinite(c.inverse[l])) largest = std::max(largest, c.inverse[l]);
    }
    if (c.count == 0) return NAN;
    if (!(low < high)) return high;
    for (std::int64_t l = 0; l < c.count; ++l) {
        const double deviation = c.mean[l] - mean, sd = 1.0 / c.inverse[l];
        square += c.weight[l] * (deviation * deviation + sd * sd);
    }
    double value = std::min(std::max(mean + score * std::sqrt(square), low), high);
    low = std::nextafter(low, -INFINITY);  // the smallest component may be without uncertainty, and its value the solution
    double before = 0.0;                   // distance before the last step, if it was one of Halley's
    for (int step = 0;; ++step) {
        const Distribution at = distribution(law, c, value);
        (at.probability < p ? low : high) = value;
        const double error = std::log(at.probability / p), distance = std::fabs(error), slope = at.density / at.probability;
        const double bend = at.bend / at.probability - slope * slope;
        const double next = value - 2 * error * slope / (2 * slope * slope - error * bend), move = (next - value) * largest;
        // d' = c d^3, with c of the last step or one. Between components that are far apart c is large, and so is the step.
        const double slowness = before > 0.0 ? std::max(1.0, distance / (before * before * before)) : 1.0;
        const bool is_close = distance == 0.0 || distance * std::max(slowness * distance * distance, move * move) <= close;
        if (is_close && next >= low && next <= high) return next;
        const double middle = low + (high - low) / 2;
        if (!(middle > low && middle < high)) return high;
        const bool is_halley = next > low && next < high && (step <= most_free || step % 4 != 3);
        value = is_halley ? next : middle;
        before = is_halley ? distance : 0.0;
    }
}

// The quantile of level p, and that of level 1 - p by reflection; `mirrored` has room for the means.
inline void interval(const StandardLaw& law, const Components& c, double p, double score, double* mirrored, double* lower,
                     double* upper) noexcept {
    *lower = lower_quantile(law, c, p, score);
    for (std::int64_t l = 0; l < c.count; ++l) mirrored[l] = -c.mean[l];
    *upper = -lower_quantile(law, {mirrored, c.inverse, c.weight, c.count}, p, score);
}

}  // namespace smoothfit
