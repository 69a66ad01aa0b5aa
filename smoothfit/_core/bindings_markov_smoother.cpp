// The smoother, the sampler and the adjoint of Markov processes as Python functions.
#include "bindings_markov.hpp"

#include <algorithm>
#include <memory>

#include "markov_adjoint.hpp"
#include "markov_smoother.hpp"

using namespace smoothfit;

namespace {

void smooth(const Model& model, const MarkovOutput& output) {
    const std::size_t m = model.read.m();
    run<double>(model, [&](auto size, auto& classes) {
        constexpr int M = decltype(size)::value;
        std::unique_ptr<double[]> filtered(new double[model.read.n() * m * (m + 3)]);
        MarkovSums<double, M> sums;
        Kept<M> kept{model.rows, filtered.get(), nullptr, nullptr};
        Status result = run_markov<double, M>(model.rows, classes, model.values, &sums, kept);
        if (result.outcome == Outcome::ok && sums.unknown != 0) result = {Outcome::unidentified, sums.unknown};
        if (result.outcome != Outcome::ok) return result;
        return smooth_markov<M>(model.rows, classes, filtered.get(), output);
    });
}

// Posterior means and variances (L, rows) of H x of candidates, parameters (L, P, 1) and variance (L, groups, 1).
Tuple<Doubles, Doubles> markov_smooth(const ReadRows& rows, const StateSteps& steps, const Tables& tables, In<double> parameters, In<double> B,
                        In<double> variance, bool is_still) {
    Model model(rows, steps, tables, parameters, B, variance, is_still, true);
    const std::size_t n_rows = rows.n_rows(), n_candidates = parameters.shape(0);
    check(model.width == 1, "smoothing takes no derivatives");
    Doubles mean = new_array({n_candidates, n_rows}), spread = new_array({n_candidates, n_rows});
    for (std::size_t l = 0; l < n_candidates; ++l, model.next())
        smooth(model, {mean.data() + l * n_rows, spread.data() + l * n_rows, nullptr, nullptr, nullptr, 0, nullptr, nullptr, 0});
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
    smooth(model, {nullptr, nullptr, normals.data(), deviations.get(), draws.data(), static_cast<std::int64_t>(n_draws), nullptr, nullptr, 0});
    return draws;
}

// Posterior covariances (K, K) of the K rows that `asked` (rows,) marks.
Doubles markov_joint(const ReadRows& rows, const StateSteps& steps, const Tables& tables, In<double> parameters, In<double> B,
                     In<double> variance, bool is_still, In<std::uint8_t> asked) {
    const Model model(rows, steps, tables, parameters, B, variance, is_still);
    check(model.width == 1, "covariances take no derivatives");
    check(asked.ndim() == 1 && asked.shape(0) == rows.n_rows(), "asked is (rows,)");
    const std::size_t n_asked = std::count(asked.data(), asked.data() + rows.n_rows(), std::uint8_t{1});
    Doubles joint = new_array({n_asked, n_asked});
    std::unique_ptr<double[]> deviations(new double[2 * rows.m() * n_asked + 1]);
    smooth(model, {nullptr, nullptr, nullptr, deviations.get(), nullptr, 0, asked.data(), joint.data(), static_cast<std::int64_t>(n_asked)});
    return joint;
}

// (r (n, M), diagonal of N (n, M) before the observations of each node, errors and precisions of the observations given all others
// (rows, 2), whether a flat direction took each observation up (rows,)).
Tuple<Doubles, Doubles, Doubles, Doubles> markov_adjoint(const ReadRows& rows, const StateSteps& steps, const Tables& tables, In<double> parameters, In<double> B,
                         In<double> variance, bool is_still) {
    const Model model(rows, steps, tables, parameters, B, variance, is_still);
    check(model.width == 1, "the adjoint takes no derivatives");
    const std::size_t m = rows.m(), n_rows = rows.n_rows();
    Doubles score = new_array({rows.n(), m}), information = new_array({rows.n(), m}), flat = new_array({n_rows});
    Doubles errors = new_array({n_rows, 2});
    std::unique_ptr<double[]> gains(new double[n_rows * m + 1]);
    std::unique_ptr<MarkovGain[]> readings(new MarkovGain[n_rows + 1]());
    run<double>(model, [&](auto size, auto& classes) {
        constexpr int M = decltype(size)::value;
        MarkovSums<double, M> sums;
        Kept<M> kept{model.rows, nullptr, gains.get(), readings.get()};
        const Status result = run_markov<double, M>(model.rows, classes, model.values, &sums, kept);
        if (result.outcome == Outcome::ok)
            adjoint_of<M>(model.rows, classes, gains.get(), readings.get(), score.data(), information.data(), errors.data());
        return result;
    });
    for (std::size_t r = 0; r < n_rows; ++r) flat.data()[r] = readings[r].diffuse;
    return nb::make_tuple(score, information, errors, flat);
}

}  // namespace

void bind_markov_smoother(nb::module_& module) {
    module.def("markov_smooth", &markov_smooth, "rows"_a, "steps"_a, "tables"_a, "parameters"_a, "B"_a, "variance"_a, "is_still"_a);
    module.def("markov_draw", &markov_draw, "rows"_a, "steps"_a, "tables"_a, "parameters"_a, "B"_a, "variance"_a, "is_still"_a,
               "normals"_a);
    module.def("markov_joint", &markov_joint, "rows"_a, "steps"_a, "tables"_a, "parameters"_a, "B"_a, "variance"_a, "is_still"_a,
               "asked"_a);
    module.def("markov_adjoint", &markov_adjoint, "rows"_a, "steps"_a, "tables"_a, "parameters"_a, "B"_a, "variance"_a,
               "is_still"_a);
}
