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

#include <cmath>
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

// R (m, m) with R'R what it was and a row's square more, by Householder reflections of both, stacked.
template <int M>
void add_square(double (&R)[M][M], const double* row, int m) {
    double last[M];
    for (int j = 0; j < m; ++j) last[j] = row[j];
    for (int j = 0; j < m; ++j) {
        double norm = last[j] * last[j];
        for (int i = j; i < m; ++i) norm += R[i][j] * R[i][j];
        if (norm == 0) continue;
        const double end = R[j][j] > 0 ? -std::sqrt(norm) : std::sqrt(norm);
        const double scale = 1 / (norm - end * R[j][j]);
        R[j][j] -= end;
        for (int k = j + 1; k < m; ++k) {
            double along = last[j] * last[k];
            for (int i = j; i < m; ++i) along += R[i][j] * R[i][k];
            along *= scale;
            for (int i = j; i < m; ++i) R[i][k] -= along * R[i][j];
            last[k] -= along * last[j];
        }
        R[j][j] = end;
        for (int i = j + 1; i < m; ++i) R[i][j] = 0;
    }
}

// r and the diagonal of N (n, m each) before the observations of each node; and of each observation its error u = v/F - K'r given
// all others, and the precision of that, 1/F + K'N K (rows, 2): u over it is the observation less its prediction from all others.
// N is kept as R'R: gains of observations that fix a diffuse state are large, and K'N K would be what is left of their squares.
template <int M>
void adjoint_of(const MarkovRows& rows, MarkovClasses<double, M>& classes, const double* gains, const MarkovGain* readings,
                double* score, double* information, double* errors) noexcept {
    const int m = actual<M>(rows.m);
    double r[M] = {}, R[M][M] = {}, moved[M][M];
    for (std::int64_t i = rows.n - 1; i >= 0; --i) {
        for (std::int64_t row = rows.first[i + 1] - 1; row >= rows.first[i]; --row) {
            const MarkovGain& reading = readings[row];
            errors[2 * row] = errors[2 * row + 1] = 0;
            if (!reading.used) continue;
            const double* H = rows.H + row * m;
            const double* K = gains + row * m;
            double along = reading.scaled, precision = reading.precision, weighted[M];
            for (int a = 0; a < m; ++a) along -= K[a] * r[a];
            for (int a = 0; a < m; ++a) {
                double RK = 0;
                for (int b = 0; b < m; ++b) RK += R[a][b] * K[b];
                precision += RK * RK;
                for (int b = 0; b < m; ++b) R[a][b] -= RK * H[b];
            }
            errors[2 * row] = along;
            errors[2 * row + 1] = precision;
            const double root = std::sqrt(reading.precision);
            for (int a = 0; a < m; ++a) {
                r[a] += H[a] * along;
                weighted[a] = root * H[a];
            }
            add_square<M>(R, weighted, m);
        }
        for (int a = 0; a < m; ++a) {
            score[i * m + a] = r[a];
            double sum = 0;
            for (int c = 0; c < m; ++c) sum += R[c][a] * R[c][a];
            information[i * m + a] = sum;
        }
        if (i == 0) break;
        const auto& T = classes.at(rows.step[i]).T;
        double before[M];
        for (int a = 0; a < m; ++a) {
            before[a] = 0;
            for (int c = 0; c < m; ++c) before[a] += T[c][a] * r[c];
            for (int b = 0; b < m; ++b) {
                moved[a][b] = 0;
                for (int c = 0; c < m; ++c) moved[a][b] += R[a][c] * T[c][b];
            }
        }
        for (int a = 0; a < m; ++a) {
            r[a] = before[a];
            for (int b = 0; b < m; ++b) R[a][b] = moved[a][b];
        }
    }
}

}  // namespace smoothfit
