// What the files share that make Python functions of the kernels of Markov processes: what these are told, checked.
#pragma once

#include <cmath>
#include <type_traits>
#include <vector>

#include "bindings.hpp"
#include "markov.hpp"
#include "scalar.hpp"

namespace smoothfit {

constexpr int many_states = 24, most_states = 60;

using Tables = Tuple<In<double>, nb::ellipsis>;

// What is read, checked once.
struct ReadRows {
    In<std::int32_t> step;
    In<std::int64_t> first;
    In<double> H, y, ratio, offset;
    In<std::uint8_t> group;
    std::int32_t highest_step = 0;
    std::uint8_t highest_group = 0;

    ReadRows(In<std::int32_t> step_, In<std::int64_t> first_, In<double> H_, In<double> y_, In<double> ratio_,
             In<double> offset_, In<std::uint8_t> group_)
        : step(step_), first(first_), H(H_), y(y_), ratio(ratio_), offset(offset_), group(group_) {
        check(H.ndim() == 2 && H.shape(1) >= 1, "H is (rows, M)");
        check(H.shape(1) <= most_states, "M is too large");
        const std::size_t n = step.size(), n_rows = H.shape(0);
        check(n > 0 && first.size() == n + 1, "first is (n + 1,)");
        check(first.data()[0] == 0 && first.data()[n] == static_cast<std::int64_t>(n_rows), "first runs from 0 to the rows");
        check(y.size() == n_rows && ratio.size() == n_rows && offset.size() == n_rows && group.size() == n_rows,
              "y, ratio, offset and group are (rows,)");
        for (std::size_t i = 0; i < n; ++i) {
            check(first.data()[i] <= first.data()[i + 1], "first is not sorted");
            if (i == 0) continue;
            check(step.data()[i] >= 0, "step is out of range");
            highest_step = step.data()[i] > highest_step ? step.data()[i] : highest_step;
        }
        for (std::size_t i = 0; i < n_rows; ++i) highest_group = group.data()[i] > highest_group ? group.data()[i] : highest_group;
    }
    std::size_t n() const { return step.size(); }
    std::size_t n_rows() const { return H.shape(0); }
    std::size_t m() const { return H.shape(1); }
    MarkovRows view() const {
        return {static_cast<std::int64_t>(n()), step.data(),   first.data(), H.data(), y.data(),
                ratio.data(),                   offset.data(), group.data(), static_cast<int>(m())};
    }
};

// What the state consists of, how long its steps are, and whether its start is exactly diffuse, checked once.
struct StateSteps {
    std::vector<Block> blocks;
    In<double> dt, sources, spread;
    In<std::int64_t> class_dt;
    In<std::int8_t> slots;
    int n_process = 0, n_accumulators, n_held, n_fixed;

    // Of each process kind, dim, place of the first hyperparameter (-1: none), whether the integral counts it in; and its constant.
    StateSteps(In<std::int32_t> processes, In<double> constant, In<double> dt_, In<std::int64_t> class_dt_, In<std::int8_t> slots_,
               In<double> sources_, int n_accumulators_, int n_fixed_, In<double> spread_)
        : dt(dt_), sources(sources_), spread(spread_), class_dt(class_dt_), slots(slots_), n_accumulators(n_accumulators_), n_fixed(n_fixed_) {
        check(processes.ndim() == 2 && processes.shape(1) == 4, "processes is (K, 4)");
        check(constant.size() == processes.shape(0), "constant is (K,)");
        for (std::size_t b = 0; b < processes.shape(0); ++b) add(processes.data() + 4 * b, constant.data()[b]);
        check(sources.ndim() == 2 && sources.shape(1) == static_cast<std::size_t>(n_process), "sources is (held, states of processes)");
        n_held = static_cast<int>(sources.shape(0));
        check(n_accumulators >= 0 && n_fixed >= 0, "numbers of states are not negative");
        check(slots.ndim() == 2 && slots.shape(0) == class_dt.size(), "slots is (classes, S)");
        check(slots.shape(1) == static_cast<std::size_t>(n_accumulators + n_held), "slots is (classes, accumulators + held)");
        for (std::size_t i = 0; i < class_dt.size(); ++i)
            check(class_dt.data()[i] >= 0 && class_dt.data()[i] < static_cast<std::int64_t>(dt.size()), "class_dt is out of range");
        for (std::size_t i = 0; i < slots.size(); ++i) check(slots.data()[i] >= 0 && slots.data()[i] <= 2, "slots are 0, 1 or 2");
        for (std::size_t k = 0; k < spread.size(); ++k) check(spread.data()[k] > 0, "spread is positive");
    }

    int m() const { return n_process + n_accumulators + n_held + n_fixed; }

private:
    void add(const std::int32_t* process, double constant) {
        check(process[0] >= 0 && process[0] < n_kinds, "the kind of a process is out of range");
        const Kind kind = static_cast<Kind>(process[0]);
        const int dim = process[1], most = has_table(kind) ? most_states : 4;
        const bool is_turning = kind == Kind::harmonic || kind == Kind::rotation;
        const bool is_pair = is_turning || kind == Kind::oscillator || (kind >= Kind::cycle && kind <= Kind::damped_trend);
        check(dim >= 1 && dim <= most && (!is_pair || dim == 2), "the dim of a process is out of range");
        check(process[2] >= (kind == Kind::wiener ? -1 : 0), "the place of a hyperparameter is out of range");
        check(constant >= 0 && std::isfinite(constant) && (!is_turning || constant > 0), "a frequency is positive");
        blocks.push_back({kind, dim, process[2], constant, n_accumulators > 0 && process[3] != 0, nullptr, nullptr, nullptr});
        n_process += dim;
        check(n_process <= most_states, "M is too large");
    }
};

// All that a kernel is told: parameters (P, 1 + N), B (M, K, 1 + N), variance (groups, 1 + N); of each table T and Q
// (steps, size, size, 1 + N) and P0 (dim, dim, 1 + N), of each scaled process T and Q (steps, size, size, 1); whether Q and P0 are zero.
// Of candidates parameters (L, P, 1 + N) and variance (L, groups, 1 + N) have one axis more; the values are those of the first one until
// `next` is called. Tables are of one candidate.
struct Model {
    const ReadRows& read;
    MarkovRows rows;
    std::vector<In<double>> tables;
    std::vector<Block> blocks;
    MarkovSteps steps;
    MarkovValues values;
    std::size_t width, n_parameters, n_groups;

    Model(const Model&) = delete;
    Model(const ReadRows& read_, const StateSteps& state, const nb::tuple& given, const In<double>& parameters, const In<double>& B,
          const In<double>& variance, bool is_still, bool are_candidates = false)
        : read(read_), rows(read_.view()), blocks(state.blocks) {
        const std::size_t axis = are_candidates, m = read.m();
        check(parameters.ndim() == 2 + axis && variance.ndim() == 2 + axis, "parameters and variance are (P or groups, 1 + N)");
        check(B.ndim() == 3, "B is (M, K, 1 + N)");
        n_parameters = parameters.shape(axis), n_groups = variance.shape(axis), width = parameters.shape(axis + 1);
        check(!are_candidates || variance.shape(0) == parameters.shape(0), "candidates have parameters and variances");
        check(static_cast<std::size_t>(state.m()) == m, "H is (rows, M)");
        check(read.n() == 1 || read.highest_step < static_cast<std::int64_t>(state.class_dt.size()), "step is out of range");
        check(B.shape(0) == m && B.shape(1) <= m && B.shape(2) == width, "B is (M, K, 1 + N)");
        check(state.spread.size() == B.shape(1), "spread is (K,)");
        check(variance.shape(axis + 1) == width, "variance is (groups, 1 + N)");
        check(read.n_rows() == 0 || read.highest_group < n_groups, "group is out of range");
        for (nb::handle table : given) tables.push_back(nb::cast<In<double>>(table));
        std::size_t at = 0;
        for (Block& block : blocks) {
            check(block.parameter + parameters_of(block.kind) <= static_cast<int>(n_parameters), "parameters are too few");
            check(block.kind != Kind::table || !are_candidates || parameters.shape(0) == 1, "tables are of one candidate");
            if (has_table(block.kind)) at = take_table(block, at, state.dt.size());
        }
        check(at == tables.size(), "there are more tables than processes that need one");
        steps = {blocks.data(),        static_cast<std::int64_t>(blocks.size()),
                 state.n_process,      state.n_accumulators,
                 state.n_held,         static_cast<int>(m),
                 static_cast<std::int64_t>(state.class_dt.size()),
                 state.dt.data(),      state.class_dt.data(),
                 state.slots.data(),   state.sources.data()};
        values = {parameters.data(),    B.data(), variance.data(), state.spread.data(), static_cast<int>(B.shape(1)),
                  static_cast<int>(n_groups), is_still};
    }

    // Goes over to the next candidate.
    void next() {
        values.parameters += n_parameters * width;
        values.variance += n_groups * width;
    }

private:
    // Points a process to its tables, which begin at number `at`; returns where those of the next one begin.
    std::size_t take_table(Block& block, std::size_t at, std::size_t n_steps) {
        const bool is_scaled = block.kind == Kind::scaled;
        const std::size_t next = at + (is_scaled ? 2 : 3);
        check(next <= tables.size(), "a table is T, Q and P0 of a process");
        const In<double>&T = tables[at], &Q = tables[at + 1];
        const auto size = static_cast<std::size_t>(block.size()), dim = static_cast<std::size_t>(block.dim);
        const std::size_t entries = is_scaled ? 1 : width;
        const auto is_shaped = [&](const In<double>& X) {
            return X.ndim() == 4 && X.shape(0) == n_steps && X.shape(1) == size && X.shape(2) == size && X.shape(3) == entries;
        };
        check(is_shaped(T), "T is (steps, M, M, 1 + N)");
        check(is_shaped(Q), "Q is (steps, M, M, 1 + N)");
        block.T = T.data();
        block.Q = Q.data();
        if (is_scaled) return next;
        const In<double>& P0 = tables[at + 2];
        check(P0.ndim() == 3 && P0.shape(0) == dim && P0.shape(1) == dim && P0.shape(2) == width, "P0 is (M, M, 1 + N)");
        block.P0 = P0.data();
        return next;
    }
};

// Calls f with the number of states where it is common, otherwise with a bound of it.
template <class F>
auto with_states(std::size_t m, const F& f) {
    if (m > many_states) return f(std::integral_constant<int, most_states>());
    return m > unrolled_state ? f(std::integral_constant<int, many_states>()) : with_size<1, unrolled_state>(static_cast<int>(m), f);
}

// Calls f(number of states, classes of steps) without the GIL, the number as by `with_states`, and raises unless the status is ok.
template <class Real, class F>
void run(const Model& model, const F& f) {
    Status status;
    {
        nb::gil_scoped_release release;
        status = with_states(model.read.m(), [&](auto size) {
            MarkovClasses<Real, decltype(size)::value> classes(model.steps, model.values);
            return f(size, classes);
        });
    }
    raise_unless_ok(status);
}

}  // namespace smoothfit
