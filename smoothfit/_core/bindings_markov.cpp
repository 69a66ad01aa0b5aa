// The filter of Markov processes (markov.hpp) as Python functions: likelihoods, innovations, the last state.
#include "bindings_markov.hpp"

#include <cmath>
#include <limits>

using namespace smoothfit;

namespace {

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

// ((2, 1 + N) log determinant and sum of squares with derivatives, D of the last state (M, 1 + N), observations used, observations
// that flat directions took up, bit mask of the components that stay unknown).
Tuple<Doubles, Doubles, int, int, int> markov_likelihood(const ReadRows& rows, const StateSteps& steps, const Tables& tables, In<double> parameters, In<double> B,
                            In<double> variance, bool is_still) {
    const Model model(rows, steps, tables, parameters, B, variance, is_still);
    if (model.width == 1) return likelihood<double>(model);
    check(model.width == 3, "N is 0 or 2");
    return likelihood<Dual<double, 2>>(model);
}

// Writes a number and its derivatives, or NaN where there is none.
template <class Real>
void store_if(bool is_told, const Real& x, double* out) {
    store(is_told ? x : Real(std::numeric_limits<double>::quiet_NaN()), out);
}

template <class Real>
void scan(Model& model, std::size_t n_candidates, std::size_t n_effects, bool is_complete, double* out, std::int64_t* used) {
    const std::size_t m = model.read.m(), width = model.width;
    nb::gil_scoped_release release;
    with_states(m, [&](auto size) {
        constexpr int M = decltype(size)::value;
        for (std::size_t l = 0; l < n_candidates; ++l, model.next()) {
            MarkovClasses<Real, M> classes(model.steps, model.values);
            MarkovSums<Real, M> sums;
            const Status status = run_markov<Real, M>(model.rows, classes, model.values, &sums, NoSink());
            const bool is_told = status.outcome == Outcome::ok && !(is_complete && sums.unknown != 0);
            Real information(0.0);
            for (std::size_t j = m - n_effects; is_told && j < m; ++j) information = information - log_of(sums.end.D[j]);
            store_if(is_told, sums.log_det, out + 3 * l * width);
            store_if(is_told, sums.sse, out + (3 * l + 1) * width);
            store_if(is_told, information, out + (3 * l + 2) * width);
            used[l] = sums.n_used;
        }
        return 0;
    });
}

// Of candidates, parameters (L, P, 1 + N) and variance (L, groups, 1 + N): log determinant, sum of squares, minus the logarithms of
// the last `n_effects` D of the last state (L, 3, 1 + N) with derivatives, NaN where there are none; and observations used (L,).
Tuple<Doubles, Out<std::int64_t>> markov_scan(const ReadRows& rows, const StateSteps& steps, const Tables& tables, In<double> parameters, In<double> B,
                      In<double> variance, int n_effects, bool is_complete) {
    Model model(rows, steps, tables, parameters, B, variance, false, true);
    const std::size_t n_candidates = parameters.shape(0);
    check(n_effects >= 0 && n_effects <= static_cast<int>(rows.m()), "the number of effects is out of range");
    check(model.width == 1 || model.width == 3, "N is 0 or 2");
    Doubles out = new_array({n_candidates, 3, model.width});
    Out<std::int64_t> used = new_array_of<std::int64_t>({n_candidates});
    const auto run = model.width == 1 ? scan<double> : scan<Dual<double, 2>>;
    run(model, n_candidates, static_cast<std::size_t>(n_effects), is_complete, out.data(), used.data());
    return nb::make_tuple(out, used);
}

// One-step-ahead prediction errors over their standard deviations (rows,); NaN where nothing is read, and where a flat direction
// took a observation up.
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

template <class Real>
nb::tuple matrices(const Model& model) {
    constexpr int M = most_states;
    const std::size_t m = model.read.m(), width = model.width, count = static_cast<std::size_t>(model.steps.n_classes);
    Doubles T = new_array({count, m, m, width}), U = new_array({count, m, m, width}), D = new_array({count, m, width}),
            P0 = new_array({m, m, width});
    MarkovClasses<Real, M> classes(model.steps, model.values);
    for (std::size_t c = 0; c < count; ++c) {
        const MarkovStep<Real, M>& step = classes.factored(static_cast<std::int64_t>(c));
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
Tuple<Doubles, Doubles, Doubles, Doubles> markov_matrices(const ReadRows& rows, const StateSteps& steps, const Tables& tables, In<double> parameters, In<double> B,
                          In<double> variance, bool is_still) {
    const Model model(rows, steps, tables, parameters, B, variance, is_still);
    if (model.width == 1) return matrices<double>(model);
    check(model.width == 3, "N is 0 or 2");
    return matrices<Dual<double, 2>>(model);
}

// Independent shocks of means mu and variances D, or unknown where flat > 0, and components of a state in them, whatever its size.
struct Components {
    int m, n_flat;
    double mu[most_states], D[most_states], flat[most_states], X[most_states][most_states];

    template <int M>
    Components(const MarkovState<double, M>& s, int m_, const In<std::int32_t>& kept) : m(m_), n_flat(s.n_flat), X{} {
        for (int c = 0; c < m; ++c) {
            mu[c] = s.mu[c];
            D[c] = s.D[c];
            flat[c] = s.flat[c];
        }
        for (std::size_t i = 0; i < kept.size(); ++i) {
            const int k = kept.data()[i];
            for (int c = k; c < m; ++c) X[i][c] = c == k ? 1.0 : s.U[k][c];
        }
    }
};

// The law of components.
void marginal_of(Components& s, int n_kept, double* out) {
    constexpr int M = most_states;
    double mean[M] = {}, U[M][M] = {}, D[M] = {}, flat[M] = {};
    for (int i = 0; i < n_kept; ++i)
        for (int c = 0; c < s.m; ++c) mean[i] += s.X[i][c] * s.mu[c];
    AllColumns columns{s.m};
    orthogonalize<double, M, M, M>(s.X, n_kept, n_kept, columns, s.D, s.n_flat > 0 ? s.flat : nullptr, U, D, flat);
    for (int j = n_kept - 1; j >= 0; --j)
        for (int k = j + 1; k < n_kept; ++k) mean[j] -= U[j][k] * mean[k];
    for (int j = 0; j < n_kept; ++j) {
        *out++ = mean[j];
        *out++ = D[j];
        *out++ = flat[j];
        for (int k = 0; k < n_kept; ++k) *out++ = k < j ? 0.0 : k == j ? 1.0 : U[j][k];
    }
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
        if (result.outcome == Outcome::ok) {
            Components components(sums.end, model.rows.m, kept);
            marginal_of(components, static_cast<int>(kept.size()), law.data());
        }
        return result;
    });
    return law;
}

}  // namespace

void bind_markov(nb::module_& module) {
    nb::class_<ReadRows>(module, "MarkovRows")
        .def(nb::init<In<std::int32_t>, In<std::int64_t>, In<double>, In<double>, In<double>, In<double>, In<std::uint8_t>>(),
             "step"_a, "first"_a, "H"_a, "y"_a, "ratio"_a, "offset"_a, "group"_a);
    nb::class_<StateSteps>(module, "MarkovSteps")
        .def(nb::init<In<std::int32_t>, In<double>, In<double>, In<std::int64_t>, In<std::int8_t>, In<double>, int, int, In<double>>(),
             "processes"_a, "constant"_a, "dt"_a, "class_dt"_a, "slots"_a, "sources"_a, "n_accumulators"_a, "n_fixed"_a,
             "spread"_a);
    module.def("markov_likelihood", &markov_likelihood, "rows"_a, "steps"_a, "tables"_a, "parameters"_a, "B"_a, "variance"_a,
               "is_still"_a);
    module.def("markov_scan", &markov_scan, "rows"_a, "steps"_a, "tables"_a, "parameters"_a, "B"_a, "variance"_a,
               "n_effects"_a, "is_complete"_a);
    module.def("markov_innovations", &markov_innovations, "rows"_a, "steps"_a, "tables"_a, "parameters"_a, "B"_a, "variance"_a,
               "is_still"_a);
    module.def("markov_matrices", &markov_matrices, "rows"_a, "steps"_a, "tables"_a, "parameters"_a, "B"_a, "variance"_a,
               "is_still"_a);
    module.def("markov_end", &markov_end, "rows"_a, "steps"_a, "tables"_a, "parameters"_a, "B"_a, "variance"_a, "is_still"_a,
               "kept"_a);
    bind_markov_smoother(module);
}
