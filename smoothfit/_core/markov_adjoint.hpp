// What the filter of markov.hpp tells besides a likelihood: how well each sudden change
// of the state would explain the observations after it.
//
// With innovations v of variance F and gains K = P H'/F the adjoint of the filter runs backwards,
//
//   r <- H'v/F + L'r,   N <- H'H/F + L'N L,   L = I - K H,         over an observation,
//   r <- T'r,           N <- T'N T,                                over a step,
//
// and a change of the state by c d before the observations of a node has the estimate c = d'r / d'N d of variance 1 / d'N d: given
// the model, all observations and flat directions (J. Durbin and S. J. Koopman 2012, section 4.5; P. de Jong and J. Penzer 1998,
// "Diagnosing shocks in time series"). An observation that shocks of infinite variance take up has 1/F = 0 and the gain of these
// alone.
#pragma once

#include <cstdint>

#include "markov.hpp"
#include "markov_smoother.hpp"

namespace smoothfit {

// An observation as the adjoint needs it: its gain, v/F and 1/F; `used` is false where nothing was observed.
struct MarkovGain {
    double scaled;
    double precision;
    bool used;
    bool diffuse;
};

// The gain (m) of an observation of variance `variance`, in which shocks of infinite variance count alone if it is diffuse.
template <int M>
void gain_of(const MarkovState<double, M>& s, int given, const double* H, const Reading<double>& reading, double* gain) {
    const int m = actual<M>(given);
    double weighted[M];
    for (int j = 0; j < m; ++j) {
        double f = H[j], size = size_of(f);
        for (int i = 0; i < j; ++i) {
            const double term = H[i] * s.U[i][j];
            f += term;
            size += size_of(term);
        }
        if (s.flat[j] > 0) f = unless_vanishing(f, size);
        weighted[j] = f * (reading.diffuse ? s.flat[j] : s.D[j]) / reading.variance;
    }
    for (int i = 0; i < m; ++i) {
        gain[i] = weighted[i];
        for (int j = i + 1; j < m; ++j) gain[i] += s.U[i][j] * weighted[j];
    }
}

// Keeps what the smoother and the adjoint need of a filter: the filtered states, or the gains (rows, m) of all observations.
template <int M>
struct Kept {
    const MarkovRows& rows;
    double* filtered;
    double* gains;
    MarkovGain* readings;
    MarkovState<double, M> prior = {};

    void before(const MarkovState<double, M>& s) {
        if (gains != nullptr) prior = s;
    }
    void after(std::int64_t r, const Reading<double>& reading) {
        if (gains == nullptr) return;
        gain_of<M>(prior, rows.m, rows.H + r * rows.m, reading, gains + r * rows.m);
        const double precision = reading.diffuse ? 0.0 : 1 / reading.variance;
        readings[r] = {reading.innovation * precision, precision, true, reading.diffuse};
    }
    void operator()(std::int64_t i, const MarkovState<double, M>& s) {
        if (filtered != nullptr) pack_markov<M>(s, rows.m, filtered + i * markov_size<M>(rows.m));
    }
};

// r and the diagonal of N (n, m each) before the observations of each node; and of each observation its error u = v/F - K'r given
// all others, and the precision of that, 1/F + K'N K (rows, 2): u over it is the observation less its prediction from all others.
template <int M>
void adjoint_of(const MarkovRows& rows, MarkovClasses<double, M>& classes, const double* gains, const MarkovGain* readings,
                double* score, double* information, double* errors) noexcept {
    const int m = actual<M>(rows.m);
    double r[M] = {}, N[M][M] = {}, moved[M][M];
    for (std::int64_t i = rows.n - 1; i >= 0; --i) {
        for (std::int64_t row = rows.first[i + 1] - 1; row >= rows.first[i]; --row) {
            const MarkovGain& reading = readings[row];
            errors[2 * row] = errors[2 * row + 1] = 0;
            if (!reading.used) continue;
            const double* H = rows.H + row * m;
            const double* K = gains + row * m;
            double along = reading.scaled, precision = reading.precision, NK[M], KN[M];
            for (int a = 0; a < m; ++a) {
                along -= K[a] * r[a];
                NK[a] = 0;
                for (int b = 0; b < m; ++b) NK[a] += N[a][b] * K[b];
            }
            for (int a = 0; a < m; ++a) precision += K[a] * NK[a];
            errors[2 * row] = along;
            errors[2 * row + 1] = precision;
            for (int a = 0; a < m; ++a) r[a] += H[a] * along;
            for (int a = 0; a < m; ++a)
                for (int b = 0; b < m; ++b) N[a][b] -= NK[a] * H[b];
            for (int b = 0; b < m; ++b) {
                KN[b] = 0;
                for (int a = 0; a < m; ++a) KN[b] += K[a] * N[a][b];
            }
            for (int a = 0; a < m; ++a)
                for (int b = 0; b < m; ++b) N[a][b] += H[a] * (reading.precision * H[b] - KN[b]);
        }
        for (int a = 0; a < m; ++a) {
            score[i * m + a] = r[a];
            information[i * m + a] = N[a][a];
        }
        if (i == 0) break;
        const auto& T = classes.at(rows.step[i]).T;
        double before[M];
        for (int a = 0; a < m; ++a) {
            before[a] = 0;
            for (int c = 0; c < m; ++c) before[a] += T[c][a] * r[c];
            for (int b = 0; b < m; ++b) {
                moved[a][b] = 0;
                for (int c = 0; c < m; ++c) moved[a][b] += N[a][c] * T[c][b];
            }
        }
        for (int a = 0; a < m; ++a) {
            r[a] = before[a];
            for (int b = 0; b < m; ++b) {
                double sum = 0;
                for (int c = 0; c < m; ++c) sum += T[c][a] * moved[c][b];
                N[a][b] = sum;
            }
        }
    }
}

}  // namespace smoothfit
