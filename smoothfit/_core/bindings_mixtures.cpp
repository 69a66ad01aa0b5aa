// Distribution functions and quantiles of mixtures (mixtures.hpp) as Python functions.
#include "bindings_mixtures.hpp"

#include <vector>

using namespace smoothfit;

namespace {

// Calls work(j, components) for the mixture at each point j. Points are taken a few at a time, as arrays are read by rows.
template <class Work>
void each_mixture(const In<double>& mean, const In<double>& scale2, const In<double>& weights, const Work& work) {
    constexpr std::size_t together = 16;
    const std::size_t count = mean.shape(0), n = mean.shape(1);
    const bool by_point = weights.ndim() == 2;
    std::vector<double> parts(4 * count * together);
    double *means = parts.data(), *sds = means + count * together, *inverses = sds + count * together, *shares = inverses + count * together;
    for (std::size_t first = 0; first < n; first += together) {
        const std::size_t size = std::min(together, n - first);
        std::size_t kept[together] = {};
        for (std::size_t l = 0; l < count; ++l) {
            for (std::size_t k = 0; k < size; ++k) {
                const double weight = weights.data()[by_point ? l * n + first + k : l];
                if (weight == 0.0) continue;
                const std::size_t place = k * count + kept[k]++;
                means[place] = mean.data()[l * n + first + k];
                sds[place] = std::sqrt(scale2.data()[l * n + first + k]);
                inverses[place] = 1.0 / sds[place];
                shares[place] = weight;
            }
        }
        for (std::size_t k = 0; k < size; ++k)
            work(first + k, Components{means + k * count, sds + k * count, inverses + k * count, shares + k * count,
                                       static_cast<std::int64_t>(kept[k])});
    }
}

void check_mixtures(const In<double>& mean, const In<double>& scale2, const In<double>& weights) {
    check(mean.ndim() == 2 && scale2.ndim() == 2 && mean.shape(0) == scale2.shape(0) && mean.shape(1) == scale2.shape(1),
          "mean and scale2 are (L, n)");
    check(weights.ndim() >= 1 && weights.ndim() <= 2 && weights.shape(0) == mean.shape(0), "weights is (L,) or (L, n)");
    check(weights.ndim() == 1 || weights.shape(1) == mean.shape(1), "weights is (L,) or (L, n)");
}

// (n, 2): quantiles of the levels p <= 1/2 and 1 - p; `score` is the quantile of level p of the standard law.
Doubles intervals(const StandardTable& law, In<double> mean, In<double> scale2, In<double> weights, double p, double score) {
    check_mixtures(mean, scale2, weights);
    check(p > 0.0 && p <= 0.5, "p is not above 0 and at most 1/2");
    constexpr double close = 1e-12;
    Doubles out = new_array({mean.shape(1), 2});
    std::vector<double> mirrored(mean.shape(0));
    nb::gil_scoped_release release;
    each_mixture(mean, scale2, weights, [&](std::size_t j, const Components& c) {
        interval(law.view(), c, p, score, close, mirrored.data(), out.data() + 2 * j, out.data() + 2 * j + 1);
    });
    return out;
}

// (n,): probabilities of at most `value` (n,).
Doubles probabilities(const StandardTable& law, In<double> value, In<double> mean, In<double> scale2, In<double> weights) {
    check_mixtures(mean, scale2, weights);
    check(value.size() == mean.shape(1), "value is (n,)");
    Doubles out = new_array({mean.shape(1)});
    nb::gil_scoped_release release;
    each_mixture(mean, scale2, weights, [&](std::size_t j, const Components& c) {
        out.data()[j] = distribution(law.view(), c, value.data()[j]).probability;
    });
    return out;
}

}  // namespace

void bind_mixtures(nb::module_& module) {
    nb::class_<StandardTable>(module, "StandardLaw").def(nb::init<In<double>, double>(), "cells"_a, "farthest"_a);
    module.def("mixture_intervals", &intervals, "law"_a, "mean"_a, "scale2"_a, "weights"_a, "p"_a, "score"_a);
    module.def("mixture_probabilities", &probabilities, "law"_a, "value"_a, "mean"_a, "scale2"_a, "weights"_a);
}
