// Whole fits of many short series: the search of inference/newton.py along one variable, log q, for each of them.
//
// The criterion is -2 log restricted likelihood, with N = n - M contrasts,
//
//   N log 2 pi + log_det + sse,   or, a common factor of all variances maximised out,   N (log (2 pi sse / N) + 1) + log_det.
//
// A grid of q, eight side by side; from each of its three lowest local minima a finer grid and the vertex of the polynomial through it;
// then Newton's method with the exact second derivative, until the decrement g^2 / h certifies a minimum or the score points
// outward at a bound. What does not end so is left to the caller.
#pragma once

#include <algorithm>

#include "smoother.hpp"

namespace smoothfit {

struct SearchSettings {
    double limit, coarse, exact_sd;            // LIMIT, COARSE, EXACT_SD of Python
    double decrement, near, level, hopeless, flat, longest_step;  // those of inference/newton.py
    int grid, max_iterations;
    const double* interpolation;  // (n_fine, 8): values at every 1 / 32 of the polynomials through eight points
    int n_fine;
};

enum class Ending : std::uint8_t { inside, at_lower, at_upper, left };

struct CurveFit {
    double log_q, value, decrement, sse, edf, design;
    Ending ending;
    double from, to;  // log q at either end of the part of the grid where the criterion is within `far` of its minimum there
};

inline Curvature twice_in_log(double x) {
    Curvature d(x);
    d.re.eps[0] = d.eps[0].re = d.eps[0].eps[0] = x;
    return d;
}

constexpr double two_pi = 6.283185307179586476925286766559;

// `Ended` tells, before each pass over the rows, whether the search is to end; it then ends as a search that failed.
template <int M, class Ended>
class OneCurve {
public:
    OneCurve(const Rows& rows, bool scale_free, const SearchSettings& settings, const Ended& ended)
        : rows_(rows), scale_free_(scale_free), settings_(settings), n_contrasts_(static_cast<double>(rows.n - M)), ended_(ended) {}

    // `design_ratio` are variances with which log|X'X| is taken.
    CurveFit fit(const double* design_ratio) const noexcept {
        CurveFit best{};
        best.ending = Ending::left;
        const double one = 1.0;
        Likelihood<double> l;
        if (rows_.n < M + 1 + scale_free_ || check_identified<M>(rows_, &one).outcome != Outcome::ok) return best;
        if (run_filter<double, M>(rows_, 0.0, &one, &l, NoStates{}).outcome != Outcome::ok) return best;
        double size = 0.0;
        for (std::int64_t i = 0; i < rows_.n; ++i) size += rows_.y[i] * rows_.y[i] / rows_.ratio[i];
        if (scale_free_ && !(l.sse > settings_.exact_sd * settings_.exact_sd * size)) return best;
        double grid[max_grid], at[max_grid];
        const int count = make_grid(grid);
        if (count == 0) return best;
        for (int i = 0; i < count; i += 8) values(grid + i, std::min(8, count - i), at + i);
        if (!search(grid, at, count, best)) {
            best.ending = Ending::left;
            return best;
        }
        finish(design_ratio, best);
        const double high = *std::min_element(at, at + count) + far;
        int first = 0, last = count - 1;
        while (at[first] > high) ++first;
        while (at[last] > high) --last;
        best.from = grid[std::max(first - 1, 0)];
        best.to = grid[std::min(last + 1, count - 1)];
        return best;
    }

private:
    static constexpr int max_grid = 256;
    static constexpr double far = 24.0;

    double assemble(double log_det, double sse) const noexcept {
        const double n = n_contrasts_;
        return scale_free_ ? n * (std::log(two_pi * sse / n) + 1.0) + log_det : n * std::log(two_pi) + log_det + sse;
    }

    void values(const double* log_q, int count, double* out) const noexcept {
        Pack q, one(1.0);
        for (int k = 0; k < 8; ++k) q.set(k, std::exp(log_q[std::min(k, count - 1)]));
        Likelihood<Pack> l;
        Status status{Outcome::overflow};
        if (!ended_()) status = run_filter<Pack, M>(rows_, q, &one, &l, NoStates{});
        for (int k = 0; k < count; ++k) {
            const double value = status.outcome == Outcome::ok ? assemble(l.log_det.get(k), l.sse.get(k)) : infinite;
            out[k] = std::isfinite(value) ? value : infinite;
        }
    }

    bool second(double log_q, double& value, double& gradient, double& hessian) const noexcept {
        using D = Curvature;
        const D one(1.0);
        Likelihood<D> l;
        if (ended_()) return false;
        if (run_filter<D, M>(rows_, twice_in_log(std::exp(log_q)), &one, &l, NoStates{}).outcome != Outcome::ok)
            return false;
        const double sse = l.sse.re.re, slope = scale_free_ ? n_contrasts_ / sse : 1.0, first = l.sse.re.eps[0];
        value = assemble(l.log_det.re.re, sse);
        gradient = l.log_det.re.eps[0] + slope * first;
        hessian = l.log_det.eps[0].eps[0] + slope * l.sse.eps[0].eps[0];
        if (scale_free_) hessian -= slope / sse * first * first;
        return std::isfinite(value) && std::isfinite(gradient) && std::isfinite(hessian);
    }

    // Log intensities to start from, increasing, the first and the last the bounds; 0 where there are too many.
    int make_grid(double* grid) const noexcept {
        double information[M] = {}, range = 0.0, least_gap = infinite;
        for (std::int64_t i = 1; i < rows_.n; ++i) {
            range += rows_.delta[i];
            if (rows_.delta[i] > 0) least_gap = std::min(least_gap, rows_.delta[i]);
        }
        const double n = static_cast<double>(rows_.n), density = n / range, power = std::pow(settings_.limit, 1.0 / (2 * M));
        double best = -infinite, poorest = infinite;
        for (std::int64_t i = 0; i < rows_.n; ++i) {
            const int k = rows_.deriv[i];
            information[k] += 1.0 / rows_.ratio[i] * (n - 1) / (n * range);
            const double log_precision = std::log(density / rows_.ratio[i]);
            best = std::max(best, log_precision + 2.0 * (M - k) * std::log(range * power));
            poorest = std::min(poorest, log_precision + 2.0 * (M - k) * std::log(least_gap / power));
        }
        const double lowest = -best - std::log(static_cast<double>(M));
        double highest = -poorest;
        if (!scale_free_) highest = std::max(highest, std::log(settings_.limit) - (2 * M - 1) * std::log(least_gap));
        double inner[64];
        const double widest = std::log(3 * range), narrowest = std::log(range / (n - 1) / 3);
        for (int j = 0; j < settings_.grid; ++j) {
            const double log_h = widest + (narrowest - widest) * j / (settings_.grid - 1);
            double sum = 0.0;
            for (int k = 0; k < M; ++k) sum += information[k] * std::exp(2.0 * (M - k) * log_h);
            inner[j] = -std::log(sum);
        }
        const double first = inner[0], last = inner[settings_.grid - 1];
        const double spans[2] = {(first - lowest) / settings_.coarse, (highest - last) / settings_.coarse};
        if (!(spans[0] + spans[1] + settings_.grid + 4 < max_grid)) return 0;
        int count = 0;
        const int below = std::max(2, static_cast<int>(spans[0])), above = std::max(2, static_cast<int>(spans[1]));
        for (int j = 0; j < below; ++j) grid[count++] = lowest + (first - lowest) * j / below;
        for (int j = 0; j < settings_.grid; ++j) grid[count++] = inner[j];
        for (int j = above - 1; j >= 0; --j) grid[count++] = highest + (last - highest) * j / above;
        std::sort(grid, grid + count);
        return count;
    }

    bool search(const double* grid, const double* at, int count, CurveFit& best) const noexcept {
        int lows[3], n_lows = 0;
        for (int i = 0; i < count; ++i) {
            const double left = i > 0 ? at[i - 1] : infinite, right = i + 1 < count ? at[i + 1] : infinite;
            if (!(at[i] <= left && at[i] <= right && at[i] < infinite)) continue;
            int place = n_lows;  // sorted by value, three at most
            while (place > 0 && at[lows[place - 1]] > at[i]) --place;
            if (place >= 3) continue;
            n_lows = std::min(3, n_lows + 1);
            for (int j = n_lows - 1; j > place; --j) lows[j] = lows[j - 1];
            lows[place] = i;
        }
        bool found = false;
        double failure = infinite;
        for (int j = 0; j < n_lows; ++j) {
            const int i = lows[j];
            double start, value;
            zoom(grid[std::max(i - 1, 0)], grid[std::min(i + 1, count - 1)], start, value);
            if (found && value - settings_.hopeless * (at[i] - value) > best.value) continue;
            CurveFit trial{};
            if (!newton(start, grid[0], grid[count - 1], trial)) {
                failure = std::min(failure, trial.value);
                continue;
            }
            if (!found || trial.value < best.value) best = trial;
            found = true;
        }
        return found && !(failure < best.value - settings_.level);
    }

    void zoom(double from, double to, double& start, double& least) const noexcept {
        double fine[8], at[8];
        for (int k = 0; k < 8; ++k) fine[k] = from + (to - from) * k / 7;
        values(fine, 8, at);
        const int lowest = static_cast<int>(std::min_element(at, at + 8) - at);
        start = fine[lowest];
        least = at[lowest];
        if (lowest == 0 || lowest == 7 || *std::max_element(at, at + 8) == infinite) return;
        double near[65];
        int best = 0;
        for (int j = 0; j < 65; ++j) {
            near[j] = 0.0;
            for (int k = 0; k < 8; ++k) near[j] += settings_.interpolation[(32 * (lowest - 1) + j) * 8 + k] * (at[k] - least);
            if (near[j] < near[best]) best = j;
        }
        if (best == 0 || best == 64) return;
        const double left = near[best - 1] - near[best], right = near[best + 1] - near[best];
        const double offset = left + right > 0 ? (left - right) / (2 * (left + right)) : 0.0;
        start += ((best + offset) / 32 - 1) * (fine[1] - fine[0]);
    }

    bool newton(double theta, double lower, double upper, CurveFit& found) const noexcept {
        found.value = infinite;
        for (int iteration = 0; iteration < settings_.max_iterations; ++iteration) {
            double value, gradient, hessian;
            if (!second(theta, value, gradient, hessian)) return false;
            found.log_q = theta;
            found.value = value;
            found.decrement = 0.0;
            const bool at_lower = theta <= lower && gradient >= -settings_.level;
            const bool at_upper = theta >= upper && gradient <= settings_.level;
            found.ending = at_lower ? Ending::at_lower : at_upper ? Ending::at_upper : Ending::inside;
            if (at_lower || at_upper) return true;
            if (std::fabs(hessian) < settings_.flat) {
                const double trial = gradient > 0 ? lower : upper;
                double there;
                values(&trial, 1, &there);
                if (trial != theta && there <= value + settings_.decrement) {
                    theta = trial;
                    continue;
                }
            }
            if (gradient == 0.0) return true;
            found.decrement = hessian > 0 ? gradient * gradient / hessian : infinite;
            if (found.decrement <= settings_.decrement) return true;
            const double size = std::fabs(hessian);
            bool moved = false;
            for (int block = 0; block < 2 && !moved; ++block) {
                double trials[8], at[8];
                for (int k = 0; k < 8; ++k) {  // dampings 0, 1e-6 .. 1, then 10 .. 1e8
                    const double damping = block == 0 && k == 0 ? 0.0 : std::pow(10.0, block == 0 ? k - 7 : k + 1);
                    const double step = -gradient / std::max(size + size * damping, 1e-12 * size);
                    trials[k] = std::clamp(theta + std::clamp(step, -settings_.longest_step, settings_.longest_step), lower, upper);
                }
                if (block == 0 && found.decrement < settings_.near) {
                    theta = trials[0];
                    moved = true;
                    break;
                }
                values(trials, 8, at);
                const int best = static_cast<int>(std::min_element(at, at + 8) - at);
                if (at[best] < value) {
                    theta = trials[best];
                    moved = true;
                }
            }
            if (!moved) return false;
        }
        return false;
    }

    // sse, edf and log|X'X| at the optimum.
    void finish(const double* design_ratio, CurveFit& best) const noexcept {
        using D = Slopes<1>;
        D one(1.0);
        one.eps[0] = 1.0;
        const D q(best.ending == Ending::at_lower ? 0.0 : std::exp(best.log_q));
        Likelihood<D> l;
        Likelihood<double> plain;
        Rows design = rows_;
        design.ratio = design_ratio;
        const double unit = 1.0;
        if (run_filter<D, M>(rows_, q, &one, &l, NoStates{}).outcome != Outcome::ok ||
            run_filter<double, M>(design, 0.0, &unit, &plain, NoStates{}).outcome != Outcome::ok) {
            best.ending = Ending::left;
            return;
        }
        best.sse = l.sse.re;
        best.edf = static_cast<double>(rows_.n) - l.log_det.eps[0];
        best.design = plain.log_det;
    }

    static constexpr double infinite = std::numeric_limits<double>::infinity();
    const Rows& rows_;
    const bool scale_free_;
    const SearchSettings& settings_;
    const double n_contrasts_;
    const Ended& ended_;
};

// Posterior means and variances of f^(deriv) at `count` sorted or unsorted x, `at`, from rows at x (in the same unit), and the sum of
// squares of the likelihood. `states` has room for 2 n packed states, `nodes` for 2 n numbers.
template <class Real, int M>
SMOOTHFIT_NOINLINE Status predict_curve(const Rows& rows, const double* x, double x_unit, const Real& q, const Real& sigma2, int deriv,
                                        std::int64_t count, const double* at, Real* states, double* nodes, Real* mean, Real* variance,
                                        Real* sse) noexcept {
    constexpr int size = packed_size<M>;
    Real* filtered = states;
    Real* posterior = states + rows.n * size;
    double* gaps = nodes + rows.n;
    Likelihood<Real> l;
    const Status status = run_filter<Real, M>(rows, q, &sigma2, &l, PackedStates<Real>{filtered});
    if (status.outcome != Outcome::ok) return status;
    *sse = l.sse;
    std::int64_t n = 0;
    for (std::int64_t i = 0; i < rows.n; ++i) {
        if (i > 0 && !(rows.delta[i] > 0)) continue;
        if (n > 0) gaps[n - 1] = rows.delta[i];
        nodes[n++] = x[i];
    }
    smooth<Real, M>(n, gaps, q, filtered, posterior);
    for (std::int64_t j = 0; j < count; ++j) {
        const std::int64_t left = std::upper_bound(nodes, nodes + n, at[j]) - nodes - 1;
        const double ahead = (at[j] - nodes[std::max<std::int64_t>(left, 0)]) / x_unit;
        const double behind = (nodes[std::min(left + 1, n - 1)] - at[j]) / x_unit;
        Real state[size];
        predict<Real, M>(n, filtered, posterior, q, left, ahead, behind, state);
        mean[j] = state[deriv];
        variance[j] = packed_variance<Real, M>(state, deriv);
    }
    return {};
}

}  // namespace smoothfit
