// The steps of a Markov process and its start: matrices of all its parts together, by class of steps.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "linear.hpp"
#include "processes.hpp"
#include "scalar.hpp"

namespace smoothfit {

// What a slot is over a step: of no interval, of one that begins with the step, of one that goes on (markov/slots.py).
enum class Slot : std::int8_t { closed, fresh, open };

// The state: processes, accumulators of the integral of f, held values, and constants. Classes of steps differ in dt or in slots.
struct MarkovSteps {
    const Block* blocks;
    std::int64_t n_blocks;
    int n_process, n_accumulators, n_held, m;
    std::int64_t n_classes;
    const double* dt;               // (steps)
    const std::int64_t* class_dt;   // (classes)
    const std::int8_t* slots;       // (classes, n_accumulators + n_held)
    const double* sources;          // (n_held, n_process): what held slots hold
};

// What changes from one evaluation to the next, each entry a number and its N derivatives.
struct MarkovValues {
    const double* parameters;  // (hyperparameters, 1 + N)
    const double* B;           // (m, n_diffuse, 1 + N), n_diffuse <= m
    const double* variance;    // (groups, 1 + N)
    const double* spread;      // (n_diffuse): infinite, or variances of the directions B as multiples of the last of `variance`
    int n_diffuse, n_groups;
    bool is_still;  // whether Q and P0 are zero
};

#if defined(SMOOTHFIT_PLAIN)  // sanitizers see each line of the source without all sizes of it
constexpr int unrolled_state = 4;
#else
constexpr int unrolled_state = 8;
#endif

template <int M>
constexpr int actual(int m) {
    return M <= unrolled_state ? M : m;
}

constexpr int dense_state = 3;  // up to which all columns are computed with

template <class Real, int M>
struct MarkovStep {
    Real T[M][M];
    Real Q[M][M];
    Real U[M][M];  // Q = U D U', once it is factored
    Real D[M];
    int begin[M], end[M];  // T_ij is zero but for begin[i] <= j < end[i]
    int reach[M];          // U_ij D_j is zero but for i <= j < reach[i]
    bool is_number;        // whether T is known to have no derivatives
    bool is_factored;
};

// A = U D U' of the block [from, to) of a positive semidefinite matrix; a pivot that is rounding is zero.
template <class Real, int M>
void factorize(const Real (&A)[M][M], int from, int to, Real (&U)[M][M], Real (&D)[M]) {
    for (int j = to - 1; j >= from; --j) {
        Real pivot = A[j][j];
        for (int k = j + 1; k < to; ++k) pivot = pivot - D[k] * U[j][k] * U[j][k];
        const bool is_zero = !(value(pivot) > linear_rounding * value(A[j][j]));
        D[j] = is_zero ? Real(0.0) : pivot;
        for (int i = from; i < to; ++i) U[i][j] = Real(i == j ? 1.0 : 0.0);
        for (int i = from; i < j && !is_zero; ++i) {
            Real sum = A[i][j];
            for (int k = j + 1; k < to; ++k) sum = sum - D[k] * U[i][k] * U[j][k];
            U[i][j] = sum / pivot;
        }
    }
}

SMOOTHFIT_INLINE bool is_zero(double x) { return x == 0; }
template <int N>
SMOOTHFIT_INLINE bool is_zero(const Dual<double, N>& x) {
    bool zero = x.re == 0;
    for (int i = 0; i < N; ++i) zero = zero && x.eps[i] == 0;
    return zero;
}

// Where the matrices of a process stand in those of a step. No type depends on the number of states: processes are compiled once.
template <class Real>
struct Placed {
    Real *T, *Q;
    std::ptrdiff_t stride;
    void operator()(int i, int j, const Real& t, const Real& q) const {
        T[i * stride + j] = t;
        Q[i * stride + j] = q;
    }
};

// The same of a process with its integral in front, of which only what it has of the process is kept, and its own noise summed.
template <class Real>
struct InFront {
    Placed<Real> process;
    Real *T, *Q, *corner;
    void operator()(int i, int j, const Real& t, const Real& q) const {
        if (i > 0 && j > 0) {
            process(i - 1, j - 1, t, q);
        } else if (i == 0 && j > 0) {
            T[j - 1] = t;
            Q[j - 1] = q;
        } else if (i == 0) {
            *corner = *corner + q;
        }
    }
};

constexpr std::int64_t most_tabled = 256;  // classes of steps that are made ahead

// The steps by class: all of them are made ahead where there are few, else the last one is kept.
template <class Real, int M>
class MarkovClasses {
public:
    MarkovClasses(const MarkovSteps& steps, const MarkovValues& values)
        : steps_(steps), is_still_(values.is_still), front_T_{}, front_Q_{}, step_{} {
        const int m = actual<M>(steps_.m);
        step_.is_number = true;
        for (std::int64_t b = 0; b < steps.n_blocks; ++b) {
            processes_.emplace_back(steps.blocks[b], values.parameters);
            step_.is_number = step_.is_number && has_fixed_steps(steps.blocks[b].kind);
        }
        for (int i = 0; i < m; ++i) {
            step_.U[i][i] = Real(1.0);
            if (i >= steps.n_process + steps.n_accumulators + steps.n_held) step_.T[i][i] = Real(1.0);
        }
        if (steps.n_classes > most_tabled) return;
        for (std::int64_t c = 0; c < steps.n_classes; ++c) {
            load(c);
            table_.push_back(step_);
        }
    }

    const MarkovStep<Real, M>& at(std::int64_t c) { return find(c); }

    const MarkovStep<Real, M>& factored(std::int64_t c) {
        MarkovStep<Real, M>& step = find(c);
        if (!step.is_factored) factor(step);
        return step;
    }

    // Whether the state holds processes and constants alone.
    bool is_plain() const { return steps_.n_accumulators + steps_.n_held == 0; }

    // The covariance of the first state, but for what is entirely unknown.
    void first(Real (&P0)[M][M]) const {
        int at = 0;
        for (const Process<Real>& process : processes_) {
            const int d = process.block().dim;
            for (int i = 0; i < d; ++i)
                for (int j = 0; j < d; ++j) P0[at + i][at + j] = is_still_ ? Real(0.0) : process.first(i, j);
            at += d;
        }
    }

private:
    MarkovStep<Real, M>& find(std::int64_t c) {
        if (!table_.empty()) return table_[static_cast<std::size_t>(c)];
        if (c != loaded_) load(c);
        return step_;
    }

    void load(std::int64_t c) {
        const std::int64_t s = steps_.class_dt[c];
        Real corner(0.0);
        int at = 0;
        for (const Process<Real>& process : processes_) {
            const int d = process.block().dim;
            const Placed<Real> placed{&step_.T[at][at], &step_.Q[at][at], M};
            if (process.block().integrated) {
                process.matrices(steps_.dt[s], s, InFront<Real>{placed, front_T_ + at, front_Q_ + at, &corner});
            } else {
                process.matrices(steps_.dt[s], s, placed);
            }
            at += d;
        }
        for (int i = 0; is_still_ && i < at; ++i)
            for (int j = 0; j < at; ++j) step_.Q[i][j] = Real(0.0);
        if constexpr (M > 1) load_slots(steps_.slots + c * (steps_.n_accumulators + steps_.n_held), corner);  // one state leaves no room
        if constexpr (M > dense_state) find_ranges();
        step_.is_factored = false;
        loaded_ = c;
    }

    void factor(MarkovStep<Real, M>& step) const {
        int from = 0;
        if (!is_still_ && steps_.n_accumulators > 0) {
            factorize<Real, M>(step.Q, 0, steps_.n_process + steps_.n_accumulators, step.U, step.D);
        } else if (!is_still_) {
            for (const Process<Real>& process : processes_) {
                const int to = from + process.block().dim;
                factorize<Real, M>(step.Q, from, to, step.U, step.D);
                from = to;
            }
        }
        const int m = actual<M>(steps_.m);
        for (int i = 0; i < m; ++i) {
            step.reach[i] = i;
            for (int j = i; j < m; ++j)
                if (!is_zero(step.U[i][j]) && !is_zero(step.D[j])) step.reach[i] = j + 1;
        }
        step.is_factored = true;
    }

    void load_slots(const std::int8_t* slots, const Real& corner) {
        const int D = steps_.n_process;
        const auto use = [&](int s) { return static_cast<Slot>(slots[s]); };
        for (int s = 0; s < steps_.n_accumulators; ++s) {
            const bool is_active = use(s) != Slot::closed;
            for (int j = 0; j < D; ++j) {
                step_.T[D + s][j] = is_active ? front_T_[j] : Real(0.0);
                step_.Q[D + s][j] = step_.Q[j][D + s] = is_active ? front_Q_[j] : Real(0.0);
            }
            step_.T[D + s][D + s] = Real(use(s) == Slot::open ? 1.0 : 0.0);
            for (int other = 0; other <= s; ++other)
                step_.Q[D + s][D + other] = step_.Q[D + other][D + s] = is_active && use(other) != Slot::closed ? corner : Real(0.0);
        }
        for (int s = 0; s < steps_.n_held; ++s) {
            const int row = D + steps_.n_accumulators + s;
            const Slot mine = use(steps_.n_accumulators + s);
            for (int j = 0; j < D; ++j) step_.T[row][j] = Real(mine == Slot::fresh ? steps_.sources[s * D + j] : 0.0);
            step_.T[row][row] = Real(mine == Slot::open ? 1.0 : 0.0);
        }
    }

    void find_ranges() {
        const int m = actual<M>(steps_.m);
        for (int i = 0; i < m; ++i) {
            step_.begin[i] = m;
            step_.end[i] = 0;
            for (int j = 0; j < m; ++j) {
                if (is_zero(step_.T[i][j])) continue;
                step_.begin[i] = j < step_.begin[i] ? j : step_.begin[i];
                step_.end[i] = j + 1;
            }
        }
    }

    const MarkovSteps& steps_;
    bool is_still_;
    std::vector<Process<Real>> processes_;
    std::vector<MarkovStep<Real, M>> table_;
    Real front_T_[M], front_Q_[M];
    MarkovStep<Real, M> step_;
    std::int64_t loaded_ = -1;
};

}  // namespace smoothfit
