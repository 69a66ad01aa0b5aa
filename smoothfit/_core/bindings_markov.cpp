// The kernels of Markov processes (markov.hpp) as Python functions.
#include "bindings.hpp"

#include <type_traits>
#include <vector>

#include "markov.hpp"
#include "markov_adjoint.hpp"
#include "scalar.hpp"

using namespace smoothfit;

namespace {

constexpr int most_states = 24;
constexpr std::size_t most_tabled = 256;  // classes of steps that are factorised ahead

struct Sizes {
    std::size_t n, n_rows, m, n_classes, width;
};

struct Model {
    Sizes sizes;
    MarkovRows rows;
    MarkovSteps steps;
};

// Checks what every kernel takes: H (rows, M); T, Q (classes, M, M, 1 + N); P0 (M, M, 1 + N); B (M, K, 1 + N);
// variance (groups, 1 + N).
Model model_of(const In<std::int32_t>& step, const In<std::int64_t>& first, const In<double>& H, const In<double>& y,
               const In<double>& ratio, const In<std::uint8_t>& group, const In<double>& T, const In<double>& Q,
               const In<double>& P0, const In<double>& B, const In<double>& variance) {
    check(H.ndim() == 2 && H.shape(1) >= 1, "H is (rows, M)");
    check(T.ndim() == 4 && Q.ndim() == 4 && P0.ndim() == 3 && B.ndim() == 3 && variance.ndim() == 2,
          "T and Q are 4-d, P0 and B 3-d, variance 2-d");
    const Sizes s{step.size(), H.shape(0), H.shape(1), T.shape(0), T.shape(3)};
    check(s.m <= most_states, "M is too large");
    check(T.shape(1) == s.m && T.shape(2) == s.m, "T is (classes, M, M, 1 + N)");
    check(Q.shape(0) == s.n_classes && Q.shape(1) == s.m && Q.shape(2) == s.m && Q.shape(3) == s.width, "Q is shaped as T");
    check(P0.shape(0) == s.m && P0.shape(1) == s.m && P0.shape(2) == s.width, "P0 is (M, M, 1 + N)");
    check(B.shape(0) == s.m && B.shape(1) <= s.m && B.shape(2) == s.width, "B is (M, K, 1 + N)");
    check(variance.shape(1) == s.width, "variance is (groups, 1 + N)");
    check(s.n > 0 && first.size() == s.n + 1, "first is (n + 1,)");
    check(first.data()[0] == 0 && first.data()[s.n] == static_cast<std::int64_t>(s.n_rows), "first runs from 0 to the rows");
    check(y.size() == s.n_rows && ratio.size() == s.n_rows && group.size() == s.n_rows, "y, ratio and group are (rows,)");
    for (std::size_t i = 0; i < s.n; ++i) {
        check(first.data()[i] <= first.data()[i + 1], "first is not sorted");
        check(i == 0 || (step.data()[i] >= 0 && step.data()[i] < static_cast<std::int64_t>(s.n_classes)), "step is out of range");
    }
    for (std::size_t i = 0; i < s.n_rows; ++i) check(group.data()[i] < variance.shape(0), "group is out of range");
    const MarkovRows rows{static_cast<std::int64_t>(s.n), step.data(),  first.data(), H.data(), y.data(),
                          ratio.data(),                   group.data(), static_cast<int>(s.m)};
    return {s, rows, {T.data(), Q.data(), P0.data(), B.data(), variance.data(), static_cast<int>(B.shape(1))}};
}

// Calls f with the number of states where it is common, otherwise with a bound of it.
template <class F>
auto with_states(std::size_t m, const F& f) {
    constexpr int common = 8;
    return m > common ? f(std::integral_constant<int, most_states>()) : with_size<1, common>(static_cast<int>(m), f);
}

template <class Real, int M>
std::vector<MarkovStep<Real, M>> table_of(const Model& model) {
    std::vector<MarkovStep<Real, M>> table;
    if (model.sizes.n_classes > most_tabled) return table;
    table.resize(model.sizes.n_classes);
    for (std::size_t c = 0; c < table.size(); ++c)
        load_step<Real, M>(model.steps, static_cast<std::int64_t>(c), static_cast<int>(model.sizes.m), table[c]);
    return table;
}

template <class T>
const T* data_or_null(const std::vector<T>& values) {
    return values.empty() ? nullptr : values.data();
}

template <class Real>
nb::tuple likelihood(const Model& model) {
    const std::size_t m = model.sizes.m, width = model.sizes.width;
    Doubles values = new_array({2, width}), end = new_array({m, width});
    std::int64_t n_used = 0, n_flat = 0, unknown = 0;
    Status status;
    {
        nb::gil_scoped_release release;
        status = with_states(m, [&](auto size) {
            constexpr int M = decltype(size)::value;
            const auto table = table_of<Real, M>(model);
            MarkovSums<Real, M> sums;
            const Status result =
                run_markov<Real, M>(model.rows, model.steps, data_or_null(table), &sums, [](std::int64_t, const auto&) {});
            store(sums.log_det, values.data());
            store(sums.sse, values.data() + width);
            for (std::size_t j = 0; j < m && result.outcome == Outcome::ok; ++j) store(sums.end.D[j], end.data() + j * width);
            n_used = sums.n_used;
            n_flat = sums.n_flat;
            unknown = sums.unknown;
            return result;
        });
    }
    raise_unless_ok(status);
    return nb::make_tuple(values, end, n_used, n_flat, unknown);
}

// ((2, 1 + N) log determinant and sum of squares with derivatives, D of the last state (M, 1 + N), readings used, readings that
// flat directions took up, bit mask of the components that stay unknown).
nb::tuple markov_likelihood(In<std::int32_t> step, In<std::int64_t> first, In<double> H, In<double> y, In<double> ratio,
                            In<std::uint8_t> group, In<double> T, In<double> Q, In<double> P0, In<double> B,
                            In<double> variance) {
    const Model model = model_of(step, first, H, y, ratio, group, T, Q, P0, B, variance);
    if (model.sizes.width == 1) return likelihood<double>(model);
    check(model.sizes.width == 5, "N is 0 or 4");
    return likelihood<Dual<double, 4>>(model);
}

// One-step-ahead prediction errors over their standard deviations (rows,); NaN where nothing is read, and where a flat direction took a
// reading up.
Doubles markov_innovations(In<std::int32_t> step, In<std::int64_t> first, In<double> H, In<double> y, In<double> ratio,
                           In<std::uint8_t> group, In<double> T, In<double> Q, In<double> P0, In<double> B, In<double> variance) {
    const Model model = model_of(step, first, H, y, ratio, group, T, Q, P0, B, variance);
    check(model.sizes.width == 1, "innovations take no derivatives");
    Doubles out = new_array({model.sizes.n_rows});
    for (std::size_t i = 0; i < model.sizes.n_rows; ++i) out.data()[i] = std::numeric_limits<double>::quiet_NaN();
    Status status;
    {
        nb::gil_scoped_release release;
        status = with_states(model.sizes.m, [&](auto size) {
            constexpr int M = decltype(size)::value;
            const auto table = table_of<double, M>(model);
            MarkovSums<double, M> sums;
            return run_markov<double, M>(model.rows, model.steps, data_or_null(table), &sums, [](std::int64_t, const auto&) {}, out.data());
        });
    }
    raise_unless_ok(status);
    return out;
}

template <class Sink>
void smooth(const Model& model, Sink sink) {
    const std::size_t m = model.sizes.m;
    Status status;
    {
        nb::gil_scoped_release release;
        status = with_states(m, [&](auto size) {
            constexpr int M = decltype(size)::value;
            const auto table = table_of<double, M>(model);
            std::unique_ptr<double[]> filtered(new double[model.sizes.n * m * (m + 3)]);
            MarkovSums<double, M> sums;
            Status result = run_markov<double, M>(model.rows, model.steps, data_or_null(table), &sums,
                                                  [&](std::int64_t i, const MarkovState<double, M>& state) {
                                                      pack_markov<M>(state, model.rows.m,
                                                                     filtered.get() + i * markov_size<M>(model.rows.m));
                                                  });
            if (result.outcome == Outcome::ok && sums.unknown != 0) result = {Outcome::unidentified, sums.unknown};
            if (result.outcome != Outcome::ok) return result;
            return smooth_markov<M>(model.rows, model.steps, data_or_null(table), filtered.get(), sink());
        });
    }
    raise_unless_ok(status);
}

// Posterior means and variances (rows,) of H x.
nb::tuple markov_smooth(In<std::int32_t> step, In<std::int64_t> first, In<double> H, In<double> y, In<double> ratio,
                        In<std::uint8_t> group, In<double> T, In<double> Q, In<double> P0, In<double> B, In<double> variance) {
    const Model model = model_of(step, first, H, y, ratio, group, T, Q, P0, B, variance);
    check(model.sizes.width == 1, "smoothing takes no derivatives");
    Doubles mean = new_array({model.sizes.n_rows}), spread = new_array({model.sizes.n_rows});
    smooth(model, [&] { return MarkovOutput{mean.data(), spread.data(), nullptr, nullptr, nullptr, 0}; });
    return nb::make_tuple(mean, spread);
}

// Draws (rows, L) of H x less its mean from standard normal numbers (n, 2 M, L).
Doubles markov_draw(In<std::int32_t> step, In<std::int64_t> first, In<double> H, In<double> y, In<double> ratio,
                    In<std::uint8_t> group, In<double> T, In<double> Q, In<double> P0, In<double> B, In<double> variance,
                    In<double> normals) {
    const Model model = model_of(step, first, H, y, ratio, group, T, Q, P0, B, variance);
    const std::size_t m = model.sizes.m;
    check(model.sizes.width == 1, "draws take no derivatives");
    check(normals.ndim() == 3 && normals.shape(0) == model.sizes.n && normals.shape(1) == 2 * m, "normals is (n, 2 M, L)");
    const std::size_t n_draws = normals.shape(2);
    Doubles draws = new_array({model.sizes.n_rows, n_draws});
    std::unique_ptr<double[]> deviations(new double[2 * m * n_draws + 1]);
    smooth(model, [&] {
        return MarkovOutput{nullptr,      nullptr, normals.data(), deviations.get(), draws.data(), static_cast<std::int64_t>(n_draws)};
    });
    return draws;
}

// (r (n, M), diagonal of N (n, M) before the readings of each node, errors and precisions of the readings given all others (rows, 2),
// whether a flat direction took each reading up (rows,)).
nb::tuple markov_adjoint(In<std::int32_t> step, In<std::int64_t> first, In<double> H, In<double> y, In<double> ratio,
                         In<std::uint8_t> group, In<double> T, In<double> Q, In<double> P0, In<double> B, In<double> variance) {
    const Model model = model_of(step, first, H, y, ratio, group, T, Q, P0, B, variance);
    check(model.sizes.width == 1, "the adjoint takes no derivatives");
    const std::size_t m = model.sizes.m;
    Doubles score = new_array({model.sizes.n, m}), information = new_array({model.sizes.n, m}), flat = new_array({model.sizes.n_rows});
    Doubles errors = new_array({model.sizes.n_rows, 2});
    Status status;
    {
        nb::gil_scoped_release release;
        std::unique_ptr<double[]> gains(new double[model.sizes.n_rows * m + 1]);
        std::unique_ptr<MarkovGain[]> readings(new MarkovGain[model.sizes.n_rows + 1]);
        status = with_states(m, [&](auto size) {
            constexpr int M = decltype(size)::value;
            const auto table = table_of<double, M>(model);
            const Status result = gains_of<M>(model.rows, model.steps, data_or_null(table), gains.get(), readings.get());
            if (result.outcome == Outcome::ok)
                adjoint_of<M>(model.rows, model.steps, gains.get(), readings.get(), score.data(), information.data(),
                              errors.data());
            return result;
        });
        for (std::size_t r = 0; r < model.sizes.n_rows && status.outcome == Outcome::ok; ++r) flat.data()[r] = readings[r].diffuse;
    }
    raise_unless_ok(status);
    return nb::make_tuple(score, information, errors, flat);
}

// Law of the components `kept` (K,) of the last state: (K, 3 + K), of each a mean, a variance, whether it is unknown, a row of U.
Doubles markov_end(In<std::int32_t> step, In<std::int64_t> first, In<double> H, In<double> y, In<double> ratio, In<std::uint8_t> group,
                   In<double> T, In<double> Q, In<double> P0, In<double> B, In<double> variance, In<std::int32_t> kept) {
    const Model model = model_of(step, first, H, y, ratio, group, T, Q, P0, B, variance);
    check(model.sizes.width == 1, "the last state takes no derivatives");
    check(kept.size() <= model.sizes.m, "kept is of components");
    for (std::size_t k = 0; k < kept.size(); ++k)
        check(kept.data()[k] >= 0 && kept.data()[k] < static_cast<std::int32_t>(model.sizes.m), "kept is of components");
    Doubles law = new_array({kept.size(), 3 + kept.size()});
    Status status;
    {
        nb::gil_scoped_release release;
        status = with_states(model.sizes.m, [&](auto size) {
            constexpr int M = decltype(size)::value;
            const auto table = table_of<double, M>(model);
            MarkovSums<double, M> sums;
            const Status result = run_markov<double, M>(model.rows, model.steps, data_or_null(table), &sums, [](std::int64_t, const auto&) {});
            if (result.outcome == Outcome::ok)
                marginal_of<M>(sums.end, model.rows.m, kept.data(), static_cast<int>(kept.size()), law.data());
            return result;
        });
    }
    raise_unless_ok(status);
    return law;
}

}  // namespace

void bind_markov(nb::module_& module) {
    module.def("markov_likelihood", &markov_likelihood);
    module.def("markov_innovations", &markov_innovations);
    module.def("markov_smooth", &markov_smooth);
    module.def("markov_draw", &markov_draw);
    module.def("markov_adjoint", &markov_adjoint);
    module.def("markov_end", &markov_end);
}
