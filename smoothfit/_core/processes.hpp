// Transition, noise and first covariance of the standard Markov processes (markov/priors.py), with derivatives.
//
// But for the damped oscillator, the only hyperparameter in T and in what Q is up to factors is a rate, with z = rate dt: matrices of z are
// numbers, and their derivatives along z are known: T' = A T, Q' = v v', v the last column of T. Duals are made of both
// (`lifted`); factors are powers of the rate times an intensity.
#pragma once

#include <cmath>
#include <cstdint>

#include "linear.hpp"
#include "process_matrices.hpp"
#include "scalar.hpp"

namespace smoothfit {

enum class Kind : int {
    table, wiener, matern, ornstein_uhlenbeck, tension, oscillator, harmonic, rotation, cycle, trend, damped_trend, scaled
};
constexpr int n_kinds = 12;

// One process. `parameter` is the place of the first of its hyperparameters, -1 for none; `constant` is the frequency of a harmonic or a
// rotation, and of a trend the share of the slope's intensity that the level has, too. A table has its own matrices for each step: T, Q
// (steps, size, size, 1 + N) and P0 (dim, dim, 1 + N). A scaled process has T and Q of intensity one, of numbers; its P0 is zero.
struct Block {
    Kind kind;
    int dim;
    int parameter;
    double constant;
    bool integrated;  // whether the integral of its first component is asked for: T and Q have it in front
    const double* T;
    const double* Q;
    const double* P0;
    int size() const { return dim + integrated; }
};

inline int parameters_of(Kind kind) {
    switch (kind) {
        case Kind::table: return 0;
        case Kind::wiener:
        case Kind::harmonic:
        case Kind::rotation:
        case Kind::scaled: return 1;
        case Kind::oscillator:
        case Kind::cycle:
        case Kind::damped_trend: return 3;
        default: return 2;
    }
}

// Whether T of a step depends on no hyperparameter.
constexpr bool has_fixed_steps(Kind kind) {
    return kind == Kind::wiener || kind == Kind::harmonic || kind == Kind::rotation || kind == Kind::trend || kind == Kind::scaled;
}

// Whether T and Q are given, not made.
constexpr bool has_table(Kind kind) { return kind == Kind::table || kind == Kind::scaled; }

// A process at hyperparameters: what its matrices have in common over all steps.
template <class Real>
class Process {
public:
    // `parameters` (n, 1 + N).
    Process(const Block& block, const double* parameters) : block_(block) {
        const auto parameter = [&](int i) { return Width<Real>::load(parameters + (block.parameter + i) * Width<Real>::value); };
        const int d = block.dim;
        Real rate(1.0), intensity(0.0);
        if (block.kind == Kind::table) return;
        switch (block.kind) {
            case Kind::wiener:
            case Kind::harmonic:
            case Kind::rotation:
            case Kind::scaled: intensity = block.parameter < 0 ? Real(0.0) : parameter(0); break;
            case Kind::trend:
                intensity = parameter(1);
                level_ = parameter(0) + block.constant * intensity;
                break;
            case Kind::damped_trend:
                level_ = parameter(0);
                intensity = parameter(1);
                rate = parameter(2);
                first_[d - 1][d - 1] = 0.5 * (intensity / rate);
                companion_[block.size() - 1] = Real(-1.0);
                break;
            case Kind::cycle:
                variance_ = parameter(2) * parameter(2);
                rate = Real(1.0) / parameter(1);
                frequency_ = Real(8 * std::atan(1.0)) / parameter(0);
                first_[0][0] = first_[1][1] = variance_;
                break;
            case Kind::matern: {
                const MaternForm& form = MaternForm::of(d);
                const Real variance = parameter(1) * parameter(1);
                rate = Real(std::sqrt(2.0 * d - 1)) / parameter(0);
                intensity = variance * power(rate, 2 * d - 1) * Real(form.intensity);
                for (int i = 0; i < d; ++i)
                    for (int j = 0; j < d; ++j) first_[i][j] = form.stationary[i][j] * (variance * power(rate, i + j));
                double binomial = 1;
                for (int i = 0; i < d; ++i) {
                    companion_[i + block.integrated] = Real(-binomial);
                    binomial = binomial * (d - i) / (i + 1);
                }
                variance_ = variance;
                break;
            }
            case Kind::ornstein_uhlenbeck: {
                const Real variance = parameter(1) * parameter(1);
                rate = Real(1.0) / parameter(0);
                intensity = 2.0 * (variance * rate);
                first_[d - 1][d - 1] = variance;
                companion_[block.size() - 1] = Real(-1.0);
                break;
            }
            case Kind::tension:
                rate = parameter(0);
                intensity = parameter(1);
                first_[d - 1][d - 1] = 0.5 * (intensity / rate);
                companion_[block.size() - 1] = Real(-1.0);
                break;
            default: {
                const Real variance = parameter(2) * parameter(2), damping = parameter(1);
                rate = Real(8 * std::atan(1.0)) / parameter(0);
                intensity = 4.0 * (damping * power(rate, 3) * variance);
                first_[0][0] = variance;
                first_[1][1] = variance * rate * rate;
                companion_[block.size() - 2] = Real(-1.0);
                companion_[block.size() - 1] = -2.0 * damping;
            }
        }
        rate_ = rate;
        intensity_ = intensity;
        for (int k = 0; k < most_block; ++k) {
            up_[k] = power(rate, k);
            down_[k] = Real(1.0) / up_[k];
        }
        const bool is_closed = block.kind == Kind::matern && !block.integrated;
        const Real unit = is_closed ? variance_ : intensity / power(rate, 2 * block.size() - 1);
        for (int k = 0; k < 2 * most_block - 1; ++k) spread_[k] = unit * power(rate, k);
    }

    const Block& block() const { return block_; }

    Real first(int i, int j) const {
        if (block_.kind == Kind::table) return Width<Real>::load(block_.P0 + (i * block_.dim + j) * Width<Real>::value);
        return block_.kind == Kind::scaled ? Real(0.0) : first_[i][j];
    }

    // Hands `put(i, j, T_ij, Q_ij)` the matrices of step dt, the s-th of all.
    template <class Put>
    void matrices(double dt, std::int64_t s, const Put& put) const {
        const int d = block_.size();
        switch (block_.kind) {
            case Kind::table: {
                constexpr int width = Width<Real>::value;
                for (int i = 0; i < d; ++i)
                    for (int j = 0; j < d; ++j) {
                        const std::int64_t at = ((s * d + i) * d + j) * width;
                        put(i, j, Width<Real>::load(block_.T + at), Width<Real>::load(block_.Q + at));
                    }
                return;
            }
            case Kind::scaled: {
                const double *T = block_.T + s * d * d, *Q = block_.Q + s * d * d;
                for (int i = 0; i < d; ++i)
                    for (int j = 0; j < d; ++j) put(i, j, Real(T[i * d + j]), Q[i * d + j] * intensity_);
                return;
            }
            case Kind::wiener: return wiener(d, dt, put);
            case Kind::harmonic: {
                double T[3][3], Q[3][3];
                harmonic_matrices(block_.constant, dt, T, Q);
                return put_pair(d, T, Q, put);
            }
            case Kind::rotation: {
                double T[3][3], Q[3][3];
                rotation_matrices(block_.constant, dt, T, Q);
                return put_pair(d, T, Q, put);
            }
            case Kind::cycle: return d == 2 ? cycle(dt, put) : cycle_with_integral(dt, put);
            case Kind::trend: return wiener(d, dt, with_level_noise(d, dt, put));
            case Kind::damped_trend: return decaying(d, dt, with_level_noise(d, dt, put));
            case Kind::oscillator: {
                Real T[most_block][most_block], Q[most_block][most_block];
                chain_matrices<Real>(companion_, d, dt * rate_, T, Q);
                for (int i = 0; i < d; ++i)
                    for (int j = 0; j < d; ++j) put(i, j, T[i][j] * across(i, j), Q[i][j] * spread_[i + j]);
                return;
            }
            case Kind::matern:
                if (block_.integrated) return decaying(d, dt, put);
                return with_size_of_matern(d, [&](auto size) { matern<decltype(size)::value>(dt, put); });
            default: return decaying(d, dt, put);
        }
    }

private:
    const Real& across(int i, int j) const { return i >= j ? up_[i - j] : down_[j - i]; }

    template <class Put>
    void wiener(int d, double dt, const Put& put) const {
        double terms[2 * most_block];  // dt^k / k!, and dt^k
        double powers[2 * most_block];
        terms[0] = powers[0] = 1;
        for (int k = 1; k < 2 * d; ++k) {
            powers[k] = powers[k - 1] * dt;
            terms[k] = terms[k - 1] * dt / k;
        }
        double factorial[most_block] = {1};
        for (int k = 1; k < d; ++k) factorial[k] = factorial[k - 1] * k;
        for (int i = 0; i < d; ++i)
            for (int j = 0; j < d; ++j) {
                const int p = 2 * d - 1 - i - j;
                put(i, j, Real(j >= i ? terms[j - i] : 0.0), powers[p] / (p * factorial[d - 1 - i] * factorial[d - 1 - j]) * intensity_);
            }
    }

    // A harmonic or a rotation, of numbers but for the intensity.
    template <class Put>
    void put_pair(int d, const double (&T)[3][3], const double (&Q)[3][3], const Put& put) const {
        const int skip = 3 - d;
        for (int i = 0; i < d; ++i)
            for (int j = 0; j < d; ++j) put(i, j, Real(T[skip + i][skip + j]), Q[skip + i][skip + j] * intensity_);
    }

    // A `put` that adds the noise of a level to that of its slope.
    template <class Put>
    auto with_level_noise(int d, double dt, const Put& put) const {
        return [this, d, dt, &put](int i, int j, const Real& t, const Real& q) {
            put(i, j, t, i + 1 < d && j + 1 < d ? q + walk_noise(dt, d - 1, i, j) * level_ : q);
        };
    }

    // A rotation that decays and keeps its variance.
    template <class Put>
    void cycle(double dt, const Put& put) const {
        const Real decay = dt * rate_, angle = dt * frequency_;
        const double kept = std::exp(-value(decay)), sine = std::sin(value(angle)), cosine = std::cos(value(angle));
        const Real size = lifted(kept, -kept, decay);
        const Real along = size * lifted(cosine, -sine, angle), across = size * lifted(sine, cosine, angle);
        const Real spread = lifted(-std::expm1(-2 * value(decay)), 2 * kept * kept, decay) * variance_;
        put(0, 0, along, spread);
        put(1, 1, along, spread);
        put(0, 1, across, Real(0.0));
        put(1, 0, Real(0.0) - across, Real(0.0));
    }

    template <class Put>
    void cycle_with_integral(double dt, const Put& put) const {
        Real T[most_block][most_block], Q[most_block][most_block];
        const Real unit = rate_ + frequency_, decay = rate_ / unit, turns = frequency_ / unit;
        const auto times_A = [&](const Real(&X)[most_block][most_block], Real(&moved)[most_block][most_block]) {
            for (int j = 0; j < 3; ++j) {
                moved[0][j] = X[1][j];
                moved[1][j] = turns * X[2][j] - decay * X[1][j];
                moved[2][j] = Real(0.0) - turns * X[1][j] - decay * X[2][j];
            }
        };
        series_matrices<Real>(times_A, 2.0, 1, 3, dt * unit, T, Q);
        const Real noise = 2.0 * (decay * variance_);
        for (int i = 0; i < 3; ++i)
            for (int j = 0; j < 3; ++j) {
                const int integrals = (i == 0) + (j == 0);
                const Real t = i == 0 && j > 0 ? T[i][j] / unit : T[i][j];
                put(i, j, t, Q[i][j] * noise / power(unit, integrals));
            }
    }

    template <class F>
    static SMOOTHFIT_INLINE void with_size_of_matern(int d, const F& f) {
        if (d == 1) return f(std::integral_constant<int, 1>());
        if (d == 2) return f(std::integral_constant<int, 2>());
        if (d == 3) return f(std::integral_constant<int, 3>());
        f(std::integral_constant<int, 4>());
    }

    template <int D, class Put>
    SMOOTHFIT_INLINE void matern(double dt, const Put& put) const {
        double T[most_block][most_block], Q[most_block][most_block];
        const MaternForm& form = MaternForm::of(D);
        const Real z = dt * rate_;
        matern_matrices<D>(form, value(z), T, Q);
        put_lifted<D>(D, T, Q, form.intensity, z, put);
    }

    // Chains whose companion matrix is a number: integrated Ornstein-Uhlenbeck processes, integrals of Matérn's.
    template <class Put>
    void decaying(int d, double dt, const Put& put) const {
        double T[most_block][most_block], Q[most_block][most_block], c[most_block] = {};
        const Real z = dt * rate_;
        for (int i = 0; i < d; ++i) c[i] = value(companion_[i]);
        chain_matrices<double>(c, d, value(z), T, Q);
        put_lifted<most_block>(d, T, Q, 1.0, z, put);
    }

    // Duals from numbers: T' = A T, and Q' = v v' times the intensity, v the last column of T.
    template <int D, class Put>
    SMOOTHFIT_INLINE void put_lifted(int given, const double (&T)[most_block][most_block], const double (&Q)[most_block][most_block],
                                     double intensity, const Real& z, const Put& put) const {
        const int d = D == most_block ? given : D;
        for (int i = 0; i < d; ++i)
            for (int j = 0; j < d; ++j) {
                double slope = 0;
                if (i + 1 < d) {
                    slope = T[i + 1][j];
                } else {
                    for (int l = 0; l < d; ++l) slope += value(companion_[l]) * T[l][j];
                }
                put(i, j, lifted(T[i][j], slope, z) * across(i, j),
                    lifted(Q[i][j], intensity * T[i][d - 1] * T[j][d - 1], z) * spread_[i + j]);
            }
    }

    Block block_;
    Real rate_ = Real(1.0), intensity_ = Real(0.0), variance_ = Real(0.0), level_ = Real(0.0), frequency_ = Real(0.0);
    Real companion_[most_block] = {}, first_[4][4] = {};
    Real up_[most_block], down_[most_block], spread_[2 * most_block - 1];
};

}  // namespace smoothfit
