// The kernels of Markov processes (markov.hpp) as Python functions.
#include "bindings.hpp"

#include <cmath>
#include <type_traits>
#include <vector>

#include "markov_adjoint.hpp"
#include "markov_smoother.hpp"
#include "scalar.hpp"

using namespace smoothfit;

namespace {

constexpr int most_states = 24;

using Tables = Tuple<In<double>, nb::ellipsis>;

// What is read, checked once.
struct ReadRows {
    In<std::int32_t> step;
    In<std::int64_t> first;
    In<double> H, y, ratio;
    In<std::uint8_t> group;
    std::int32_t highest_step = 0;
    std::uint8_t highest_group = 0;

    ReadRows(In<std::int32_t> step_, In<std::int64_t> first_, In<double> H_, In<double> y_, In<double> ratio_, In<std::uint8_t> group_)
        : step(step_), first(first_), H(H_), y(y_), ratio(ratio_), group(group_) {
        check(H.ndim() == 2 && H.shape(1) >= 1, "H is (rows, M)");
        check(H.shape(1) <= most_states, "M is too large");
        const std::size_t n = step.size(), n_rows = H.shape(0);
        check(n > 0 && first.size() == n + 1, "first is (n + 1,)");
        check(first.data()[0] == 0 && first.data()[n] == static_cast<std::int64_t>(n_rows), "first runs from 0 to the rows");
        check(y.size() == n_rows && ratio.size() == n_rows && group.size() == n_rows, "y, ratio and group are (rows,)");
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
        return {static_cast<std::int64_t>(n()), step.data(),  first.data(), H.data(), y.data(), ratio.data(), group.data(),
                static_cast<int>(m())};
    }
};

// What the state consists of and how long its steps are, checked once.
struct StateSteps {
    std::vector<Block> blocks;
    In<double> dt, sources;
    In<std::int64_t> class_dt;
    In<std::int8_t> slots;
    int n_process = 0, n_accumulators, n_held, n_fixed;

    // Of each process kind (0 .. 6), dim, place of the first hyperparameter (-1: none), whether the integral counts it in; frequency.
    StateSteps(In<std::int32_t> processes, In<double> frequency, In<double> dt_, In<std::int64_t> class_dt_, In<std::int8_t> slots_,
               In<double> sources_, int n_accumulators_, int n_fixed_)
        : dt(dt_), sources(sources_), class_dt(class_dt_), slots(slots_), n_accumulators(n_accumulators_), n_fixed(n_fixed_) {
        check(processes.ndim() == 2 && processes.shape(1) == 4, "processes is (K, 4)");
        check(frequency.size() == processes.shape(0), "frequency is (K,)");
        for (std::size_t b = 0; b < processes.shape(0); ++b) add(processes.data() + 4 * b, frequency.data()[b]);
        check(sources.ndim() == 2 && sources.shape(1) == static_cast<std::size_t>(n_process), "sources is (held, states of processes)");
        n_held = static_cast<int>(sources.shape(0));
        check(n_accumulators >= 0 && n_fixed >= 0, "numbers of states are not negative");
        check(slots.ndim() == 2 && slots.shape(0) == class_dt.size(), "slots is (classes, S)");
        check(slots.shape(1) == static_cast<std::size_t>(n_accumulators + n_held), "slots is (classes, accumulators + held)");
        for (std::size_t i = 0; i < class_dt.size(); ++i)
            check(class_dt.data()[i] >= 0 && class_dt.data()[i] < static_cast<std::int64_t>(dt.size()), "class_dt is out of range");
        for (std::size_t i = 0; i < slots.size(); ++i) check(slots.data()[i] >= 0 && slots.data()[i] <= 2, "slots are 0, 1 or 2");
    }

    int m() const { return n_process + n_accumulators + n_held + n_fixed; }

private:
    void add(const std::int32_t* process, double frequency) {
        check(process[0] >= 0 && process[0] < n_kinds, "the kind of a process is out of range");
        const Kind kind = static_cast<Kind>(process[0]);
        const int dim = process[1], most = kind == Kind::table ? most_states : 4;
        const bool is_pair = kind == Kind::oscillator || kind == Kind::harmonic;
        check(dim >= 1 && dim <= most && (!is_pair || dim == 2), "the dim of a process is out of range");
        check(process[2] >= (kind == Kind::wiener ? -1 : 0), "the place of a hyperparameter is out of range");
        check(kind != Kind::harmonic || (frequency > 0 && std::isfinite(frequency)), "a frequency is positive");
        blocks.push_back({kind, dim, process[2], frequency, n_accumulators > 0 && process[3] != 0, nullptr, nullptr, nullptr});
        n_process += dim;
        check(n_process <= most_states, "M is too large");
    }
};

// All that a kernel is told: parameters (P, 1 + N), B (M, K, 1 + N), variance (groups, 1 + N); of each table T and Q
// (steps, size, size, 1 + N) and P0 (dim, dim, 1 + N); whether Q and P0 are zero. Candidates stand in the rows of parameters (L, P) and
// variance (L, groups).
struct Model {
    const ReadRows& read;
    MarkovRows rows;
    std::vector<In<double>> tables;
    std::vector<Block> blocks;
    MarkovSteps steps;
    MarkovValues values;
    std::size_t width;

    Model(const Model&) = delete;
    Model(const ReadRows& read_, const StateSteps& state, const nb::tuple& given, const In<double>& parameters, const In<double>& B,
          const In<double>& variance, bool is_still, bool are_candidates = false)
        : read(read_), rows(read_.view()), blocks(state.blocks) {
        check(parameters.ndim() == 2 && B.ndim() == 3 && variance.ndim() == 2, "parameters and variance are 2-d, B 3-d");
        const std::size_t m = read.m(), n_parameters = parameters.shape(are_candidates), n_groups = variance.shape(are_candidates);
        width = are_candidates ? 1 : parameters.shape(1);
        check(static_cast<std::size_t>(state.m()) == m, "H is (rows, M)");
        check(read.n() == 1 || read.highest_step < static_cast<std::int64_t>(state.class_dt.size()), "step is out of range");
        check(B.shape(0) == m && B.shape(1) <= m && B.shape(2) == width, "B is (M, K, 1 + N)");
        check(variance.shape(!are_candidates) == parameters.shape(!are_candidates), "variance is (groups, 1 + N)");
        check(read.n_rows() == 0 || read.highest_group < n_groups, "group is out of range");
        for (nb::handle table : given) tables.push_back(nb::cast<In<double>>(table));
        std::size_t at = 0;
        for (Block& block : blocks) {
            check(block.parameter + parameters_of(block.kind) <= static_cast<int>(n_parameters), "parameters are too few");
            if (block.kind == Kind::table) take_table(block, at++, state.dt.size());
        }
        check(3 * at == tables.size(), "there are more tables than processes that need one");
        steps = {blocks.data(),        static_cast<std::int64_t>(blocks.size()),
                 state.n_process,      state.n_accumulators,
                 state.n_held,         static_cast<int>(m),
                 static_cast<std::int64_t>(state.class_dt.size()),
                 state.dt.data(),      state.class_dt.data(),
                 state.slots.data(),   state.sources.data()};
        values = {parameters.data(), B.data(), variance.data(), static_cast<int>(B.shape(1)), is_still};
    }

private:
    void take_table(Block& block, std::size_t at, std::size_t n_steps) {
        check(3 * at + 3 <= tables.size(), "a table is T, Q and P0 of a process");
        const In<double>&T = tables[3 * at], &Q = tables[3 * at + 1], &P0 = tables[3 * at + 2];
        const auto size = static_cast<std::size_t>(block.size()), dim = static_cast<std::size_t>(block.dim);
        const auto is_shaped = [&](const In<double>& X) {
            return X.ndim() == 4 && X.shape(0) == n_steps && X.shape(1) == size && X.shape(2) == size && X.shape(3) == width;
        };
        check(is_shaped(T), "T is (steps, M, M, 1 + N)");
        check(is_shaped(Q), "Q is (steps, M, M, 1 + N)");
        check(P0.ndim() == 3 && P0.shape(0) == dim && P0.shape(1) == dim && P0.shape(2) == width, "P0 is (M, M, 1 + N)");
        block.T = T.data();
        block.Q = Q.data();
        block.P0 = P0.data();
    }
};

// Calls f with the number of states where it is common, otherwise with a bound of it.
template <class F>
auto with_states(std::size_t m, const F& f) {
    constexpr int common = 8;
    return m > common ? f(std::integral_constant<int, most_states>()) : with_size<1, common>(static_cast<int>(m), f);
}

// Sees the filtered states and does nothing; one type, so that one filter serves all that keep none.
struct NoSink {
    template <class State>
    void operator()(std::int64_t, const State&) const {}
};

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

template <class Real>
nb::tuple likelihood(const Model& model) {
    const std::size_t m = model.read.m(), width = model.width;
    Doubles sums_out = new_array({2, width}), end = new_array({m, width});
    std::int64_t n_used = 0, n_flat = 0, unknown = 0;
    run<Real>(model, [&](auto size, auto& classes) {
        constexpr int M = decltype(size)::value;
        MarkovSums<Real, M> sums;
        const Status result = run_markov<Real, M>(model.rows, classes, model.values, &sums, NoSink());
        store(sums.log_det, sums_out.data());
        store(sums.sse, sums_out.data() + width);
        for (std::size_t j = 0; j < m && result.outcome == Outcome::ok; ++j) store(sums.end.D[j], end.data() + j * width);
        n_used = sums.n_used;
        n_flat = sums.n_flat;
        unknown = sums.unknown;
        return result;
    });
    return nb::make_tuple(sums_out, end, n_used, n_flat, unknown);
}

// ((2, 1 + N) log determinant and sum of squares with derivatives, D of the last state (M, 1 + N), readings used, readings that
// flat directions took up, bit mask of the components that stay unknown).
Tuple<Doubles, Doubles, int, int, int> markov_likelihood(const ReadRows& rows, const StateSteps& steps, const Tables& tables,
                                                         In<double> parameters, In<double> B, In<double> variance,
                                                         bool is_still) {
    const Model model(rows, steps, tables, parameters, B, variance, is_still);
    if (model.width == 1) return likelihood<double>(model);
    check(model.width == 3, "N is 0 or 2");
    return likelihood<Dual<double, 2>>(model);
}

// Of candidates, parameters (L, P) and variance (L, groups): log determinant, sum of squares, minus the logarithms of the last `n_effects`
// D of the last state (L, 3), NaN where there are none; and readings used (L,).
Tuple<Doubles, Out<std::int64_t>> markov_scan(const ReadRows& rows, const StateSteps& steps, In<double> parameters, In<double> B,
                                              In<double> variance, int n_effects, bool is_complete) {
    Model model(rows, steps, nb::tuple(), parameters, B, variance, false, true);
    const std::size_t n_candidates = parameters.shape(0), m = rows.m();
    check(n_effects >= 0 && n_effects <= static_cast<int>(m), "the number of effects is out of range");
    Doubles out = new_array({n_candidates, 3});
    Out<std::int64_t> used = new_array_of<std::int64_t>({n_candidates});
    {
        nb::gil_scoped_release release;
        with_states(m, [&](auto size) {
            constexpr int M = decltype(size)::value;
            for (std::size_t l = 0; l < n_candidates; ++l) {
                model.values.parameters = parameters.data() + l * parameters.shape(1);
                model.values.variance = variance.data() + l * variance.shape(1);
                MarkovClasses<double, M> classes(model.steps, model.values);
                MarkovSums<double, M> sums;
                const Status status = run_markov<double, M>(model.rows, classes, model.values, &sums, NoSink());
                const bool is_told = status.outcome == Outcome::ok && !(is_complete && sums.unknown != 0);
                double information = 0;
                for (std::size_t j = m - static_cast<std::size_t>(n_effects); is_told && j < m; ++j)
                    information -= std::log(sums.end.D[j]);
                const double none = std::numeric_limits<double>::quiet_NaN();
                out.data()[3 * l] = is_told ? sums.log_det : none;
                out.data()[3 * l + 1] = is_told ? sums.sse : none;
                out.data()[3 * l + 2] = is_told ? information : none;
                used.data()[l] = sums.n_used;
            }
            return 0;
        });
    }
    return nb::make_tuple(out, used);
}

// One-step-ahead prediction errors over their standard deviations (rows,); NaN where nothing is read, and where a flat direction took a
// reading up.
Doubles markov_innovations(const ReadRows& rows, const StateSteps& steps, const Tables& tables, In<double> parameters, In<double> B,
                           In<double> variance, bool is_still) {
    const Model model(rows, steps, tables, parameters, B, variance, is_still);
    check(model.width == 1, "innovations take no derivatives");
    Doubles out = new_array({rows.n_rows()});
    for (std::size_t i = 0; i < rows.n_rows(); ++i) out.data()[i] = std::numeric_limits<double>::quiet_NaN();
    run<double>(model, [&](auto size, auto& classes) {
        constexpr int M = decltype(size)::value;
        MarkovSums<double, M> sums;
        return run_markov<double, M>(model.rows, classes, model.values, &sums, NoSink(), out.data());
    });
    return out;
}

void smooth(const Model& model, const MarkovOutput& output) {
    const std::size_t m = model.read.m();
    run<double>(model, [&](auto size, auto& classes) {
        constexpr int M = decltype(size)::value;
        std::unique_ptr<double[]> filtered(new double[model.read.n() * m * (m + 3)]);
        MarkovSums<double, M> sums;
        Status result = run_markov<double, M>(model.rows, classes, model.values, &sums,
                                              [&](std::int64_t i, const MarkovState<double, M>& state) {
                                                  pack_markov<M>(state, model.rows.m,
                                                                 filtered.get() + i * markov_size<M>(model.rows.m));
                                              });
        if (result.outcome == Outcome::ok && sums.unknown != 0) result = {Outcome::unidentified, sums.unknown};
        if (result.outcome != Outcome::ok) return result;
        return smooth_markov<M>(model.rows, classes, filtered.get(), output);
    });
}

// Posterior means and variances (rows,) of H x.
Tuple<Doubles, Doubles> markov_smooth(const ReadRows& rows, const StateSteps& steps, const Tables& tables, In<double> parameters,
                                      In<double> B, In<double> variance, bool is_still) {
    const Model model(rows, steps, tables, parameters, B, variance, is_still);
    check(model.width == 1, "smoothing takes no derivatives");
    Doubles mean = new_array({rows.n_rows()}), spread = new_array({rows.n_rows()});
    smooth(model, {mean.data(), spread.data(), nullptr, nullptr, nullptr, 0});
    return nb::make_tuple(mean, spread);
}

// Draws (rows, L) of H x less its mean from standard normal numbers (n, 2 M, L).
Doubles markov_draw(const ReadRows& rows, const StateSteps& steps, const Tables& tables, In<double> parameters, In<double> B,
                    In<double> variance, bool is_still, In<double> normals) {
    const Model model(rows, steps, tables, parameters, B, variance, is_still);
    const std::size_t m = rows.m();
    check(model.width == 1, "draws take no derivatives");
    check(normals.ndim() == 3 && normals.shape(0) == rows.n() && normals.shape(1) == 2 * m, "normals is (n, 2 M, L)");
    const std::size_t n_draws = normals.shape(2);
    Doubles draws = new_array({rows.n_rows(), n_draws});
    std::unique_ptr<double[]> deviations(new double[2 * m * n_draws + 1]);
    smooth(model, {nullptr, nullptr, normals.data(), deviations.get(), draws.data(), static_cast<std::int64_t>(n_draws)});
    return draws;
}

template <class Real>
nb::tuple matrices(const Model& model) {
    constexpr int M = most_states;
    const std::size_t m = model.read.m(), width = model.width, count = static_cast<std::size_t>(model.steps.n_classes);
    Doubles T = new_array({count, m, m, width}), U = new_array({count, m, m, width}), D = new_array({count, m, width}),
            P0 = new_array({m, m, width});
    MarkovClasses<Real, M> classes(model.steps, model.values);
    for (std::size_t c = 0; c < count; ++c) {
        const MarkovStep<Real, M>& step = classes.at(static_cast<std::int64_t>(c));
        for (std::size_t i = 0; i < m; ++i) {
            store(step.D[i], D.data() + (c * m + i) * width);
            for (std::size_t j = 0; j < m; ++j) {
                store(step.T[i][j], T.data() + ((c * m + i) * m + j) * width);
                store(step.U[i][j], U.data() + ((c * m + i) * m + j) * width);
            }
        }
    }
    Real first[M][M] = {};
    classes.first(first);
    for (std::size_t i = 0; i < m; ++i)
        for (std::size_t j = 0; j < m; ++j) store(first[i][j], P0.data() + (i * m + j) * width);
    return nb::make_tuple(T, U, D, P0);
}

// What the kernels make of the classes of steps, for tests: T, U and D of Q = U D U' with derivatives, and P0.
Tuple<Doubles, Doubles, Doubles, Doubles> markov_matrices(const ReadRows& rows, const StateSteps& steps, const Tables& tables,
                                                          In<double> parameters, In<double> B, In<double> variance,
                                                          bool is_still) {
    const Model model(rows, steps, tables, parameters, B, variance, is_still);
    if (model.width == 1) return matrices<double>(model);
    check(model.width == 3, "N is 0 or 2");
    return matrices<Dual<double, 2>>(model);
}

// (r (n, M), diagonal of N (n, M) before the readings of each node, errors and precisions of the readings given all others (rows, 2),
// whether a flat direction took each reading up (rows,)).
Tuple<Doubles, Doubles, Doubles, Doubles> markov_adjoint(const ReadRows& rows, const StateSteps& steps, const Tables& tables,
                                                         In<double> parameters, In<double> B, In<double> variance,
                                                         bool is_still) {
    const Model model(rows, steps, tables, parameters, B, variance, is_still);
    check(model.width == 1, "the adjoint takes no derivatives");
    const std::size_t m = rows.m(), n_rows = rows.n_rows();
    Doubles score = new_array({rows.n(), m}), information = new_array({rows.n(), m}), flat = new_array({n_rows});
    Doubles errors = new_array({n_rows, 2});
    std::unique_ptr<double[]> gains(new double[n_rows * m + 1]);
    std::unique_ptr<MarkovGain[]> readings(new MarkovGain[n_rows + 1]);
    run<double>(model, [&](auto size, auto& classes) {
        constexpr int M = decltype(size)::value;
        const Status result = gains_of<M>(model.rows, classes, model.values, gains.get(), readings.get());
        if (result.outcome == Outcome::ok)
            adjoint_of<M>(model.rows, classes, gains.get(), readings.get(), score.data(), information.data(), errors.data());
        return result;
    });
    for (std::size_t r = 0; r < n_rows; ++r) flat.data()[r] = readings[r].diffuse;
    return nb::make_tuple(score, information, errors, flat);
}

// Law of the components `kept` (K,) of the last state: (K, 3 + K), of each a mean, a variance, whether it is unknown, a row of U.
Doubles markov_end(const ReadRows& rows, const StateSteps& steps, const Tables& tables, In<double> parameters, In<double> B,
                   In<double> variance, bool is_still, In<std::int32_t> kept) {
    const Model model(rows, steps, tables, parameters, B, variance, is_still);
    check(model.width == 1, "the last state takes no derivatives");
    check(kept.size() <= rows.m(), "kept is of components");
    for (std::size_t k = 0; k < kept.size(); ++k)
        check(kept.data()[k] >= 0 && kept.data()[k] < static_cast<std::int32_t>(rows.m()), "kept is of components");
    Doubles law = new_array({kept.size(), 3 + kept.size()});
    run<double>(model, [&](auto size, auto& classes) {
        constexpr int M = decltype(size)::value;
        MarkovSums<double, M> sums;
        const Status result = run_markov<double, M>(model.rows, classes, model.values, &sums, NoSink());
        if (result.outcome == Outcome::ok)
            marginal_of<M>(sums.end, model.rows.m, kept.data(), static_cast<int>(kept.size()), law.data());
        return result;
    });
    return law;
}

}  // namespace

void bind_markov(nb::module_& module) {
    nb::class_<ReadRows>(module, "MarkovRows")
        .def(nb::init<In<std::int32_t>, In<std::int64_t>, In<double>, In<double>, In<double>, In<std::uint8_t>>(), "step"_a,
             "first"_a, "H"_a, "y"_a, "ratio"_a, "group"_a);
    nb::class_<StateSteps>(module, "MarkovSteps")
        .def(nb::init<In<std::int32_t>, In<double>, In<double>, In<std::int64_t>, In<std::int8_t>, In<double>, int, int>(),
             "processes"_a, "frequency"_a, "dt"_a, "class_dt"_a, "slots"_a, "sources"_a, "n_accumulators"_a, "n_fixed"_a);
    module.def("markov_likelihood", &markov_likelihood, "rows"_a, "steps"_a, "tables"_a, "parameters"_a, "B"_a, "variance"_a,
         "is_still"_a);
    module.def("markov_scan", &markov_scan, "rows"_a, "steps"_a, "parameters"_a, "B"_a, "variance"_a, "n_effects"_a,
         "is_complete"_a);
    module.def("markov_innovations", &markov_innovations, "rows"_a, "steps"_a, "tables"_a, "parameters"_a, "B"_a, "variance"_a,
         "is_still"_a);
    module.def("markov_smooth", &markov_smooth, "rows"_a, "steps"_a, "tables"_a, "parameters"_a, "B"_a, "variance"_a, "is_still"_a);
    module.def("markov_draw", &markov_draw, "rows"_a, "steps"_a, "tables"_a, "parameters"_a, "B"_a, "variance"_a, "is_still"_a,
         "normals"_a);
    module.def("markov_matrices", &markov_matrices, "rows"_a, "steps"_a, "tables"_a, "parameters"_a, "B"_a, "variance"_a,
         "is_still"_a);
    module.def("markov_adjoint", &markov_adjoint, "rows"_a, "steps"_a, "tables"_a, "parameters"_a, "B"_a, "variance"_a,
         "is_still"_a);
    module.def("markov_end", &markov_end, "rows"_a, "steps"_a, "tables"_a, "parameters"_a, "B"_a, "variance"_a, "is_still"_a,
         "kept"_a);
}
