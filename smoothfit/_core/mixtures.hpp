// Quantiles of mixtures of location-scale Student's t or normal laws.
//
// The standard law has the distribution function F(t) = Phi(z(t)). Its normal score z and the Mills ratio M = Phi(-z) / phi(z) are
// smooth functions of |t|, each interpolated by a quintic in every cell of a table (`StandardLaw`), so that a component costs one
// exponential: for t < 0, F = phi(z) M, and F' = phi(z) z'.
//
// The quantile of a level p <= 1/2 solves log F(v) = log p by Halley's method, which is cubic, between the smallest and the largest
// quantile of the components: they enclose it. It starts at the expansion of Cornish & Fisher (1938) and mostly ends after one or two
// steps.
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
    const double *mean, *sd, *inverse, *weight;
    std::int64_t count;
};

// F, its first and its second derivative.
struct Distribution {
    double probability, density, bend;
};

inline Distribution distribution(const StandardLaw& law, const Components& c, double value) noexcept {
    constexpr int shift = 52 - 5, first = 1023 << 5, together = 16;  // 32 cells for each octave of 1 + |t|
    constexpr double one_by_root_two_pi = 0.3989422804014327;
    Distribution sum{0.0, 0.0, 0.0};
    for (std::int64_t from = 0; from < c.count; from += together) {
        const std::int64_t size = std::min<std::int64_t>(together, c.count - from);
        const double *mean = c.mean + from, *inverse = c.inverse + from, *weight = c.weight + from;
        double t[together], slope[together], bend[together], mills[together], phi[together];
        for (std::int64_t l = 0; l < size; ++l) {
            t[l] = (value - mean[l]) * inverse[l];
            const double far = std::min(std::fabs(t[l]), law.farthest) + 1.0;
            std::int64_t bits;
            std::memcpy(&bits, &far, sizeof bits);
            const double* cell = law.cells + StandardLaw::width * std::min((bits >> shift) - first, law.n - 1);
            const double u = far - cell[0], *a = cell + 1, *b = cell + 7;
            const double z = ((((a[5] * u + a[4]) * u + a[3]) * u + a[2]) * u + a[1]) * u + a[0];
            slope[l] = (((5 * a[5] * u + 4 * a[4]) * u + 3 * a[3]) * u + 2 * a[2]) * u + a[1];
            bend[l] = ((20 * a[5] * u + 12 * a[4]) * u + 6 * a[3]) * u + 2 * a[2] - z * slope[l] * slope[l];
            mills[l] = ((((b[5] * u + b[4]) * u + b[3]) * u + b[2]) * u + b[1]) * u + b[0];
            phi[l] = -0.5 * z * z;
        }
        for (std::int64_t l = 0; l < size; ++l) phi[l] = std::exp(phi[l]) * one_by_root_two_pi;
        for (std::int64_t l = 0; l < size; ++l) {
            if (std::isinf(inverse[l])) {
                sum.probability += value >= mean[l] ? weight[l] : 0.0;
                continue;
            }
            const double tail = phi[l] * mills[l], density = weight[l] * phi[l] * inverse[l];
            sum.probability += weight[l] * (t[l] < 0.0 ? tail : 1.0 - tail);
            sum.density += density * slope[l];
            sum.bend += (t[l] < 0.0 ? -density : density) * bend[l] * inverse[l];
        }
    }
    return sum;
}

// Where a quantile is sought first: mean, standard deviation and excess cumulants of a mixture of normal laws.
struct Centre {
    double mean, sd, skewness, kurtosis;
};

inline Centre centre_of(const Components& c) noexcept {
    Centre centre{0.0, 0.0, 0.0, 0.0};
    double square = 0.0, cube = 0.0, fourth = 0.0;
    for (std::int64_t l = 0; l < c.count; ++l) centre.mean += c.weight[l] * c.mean[l];
    for (std::int64_t l = 0; l < c.count; ++l) {
        const double away = c.mean[l] - centre.mean;
        square += c.weight[l] * (away * away + c.sd[l] * c.sd[l]);
    }
    centre.sd = std::sqrt(square);
    if (!(centre.sd > 0.0)) return centre;
    const double unit = 1.0 / centre.sd;
    for (std::int64_t l = 0; l < c.count; ++l) {
        const double away = (c.mean[l] - centre.mean) * unit, sd = c.sd[l] * unit, away2 = away * away, sd2 = sd * sd;
        cube += c.weight[l] * away * (away2 + 3 * sd2);
        fourth += c.weight[l] * (away2 * (away2 + 6 * sd2) + 3 * sd2 * sd2);
    }
    centre.skewness = cube;
    centre.kurtosis = fourth - 3;
    return centre;
}

// Smallest value whose distribution function is at least p <= 1/2; `score` is the quantile of the standard law. The search starts at
// the expansion of Cornish and Fisher and ends where the error of log F after the next step is predicted to be at most `close`.
inline double lower_quantile(const StandardLaw& law, const Components& c, const Centre& centre, double p, double score,
                             double close) noexcept {
    constexpr int most_free = 12;  // steps after which every fourth is a bisection
    double low = INFINITY, high = -INFINITY, largest = 0.0;
    for (std::int64_t l = 0; l < c.count; ++l) {
        const double end = c.mean[l] + score * c.sd[l];
        if (!(c.weight[l] > 0.0 && std::isfinite(end))) return NAN;
        low = std::min(low, end);
        high = std::max(high, end);
        if (std::isfinite(c.inverse[l])) largest = std::max(largest, c.inverse[l]);
    }
    if (c.count == 0) return NAN;
    if (!(low < high)) return high;
    const double square = score * score;
    const double moved = centre.skewness * (square - 1) / 6 + score * (centre.kurtosis * (square - 3) / 24 -
                                                                       centre.skewness * centre.skewness * (2 * square - 5) / 36);
    double value = std::min(std::max(centre.mean + (score + std::min(std::max(moved, -1.0), 1.0)) * centre.sd, low), high);
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
inline void interval(const StandardLaw& law, const Components& c, double p, double score, double close, double* mirrored,
                     double* lower, double* upper) noexcept {
    const Centre centre = centre_of(c);
    *lower = lower_quantile(law, c, centre, p, score, close);
    for (std::int64_t l = 0; l < c.count; ++l) mirrored[l] = -c.mean[l];
    *upper = -lower_quantile(law, {mirrored, c.sd, c.inverse, c.weight, c.count}, {-centre.mean, centre.sd, -centre.skewness, centre.kurtosis},
                             p, score, close);
}

}  // namespace smoothfit
