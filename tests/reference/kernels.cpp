// The filter and smoother of smoothfit/_core in quadruple precision, rounded at the end: reference values for tests.
//
// Compiled by the fixture `quadruple` of tests/conftest.py, and by nothing else.
#include <memory>

#include "smoother.hpp"

using namespace smoothfit;

namespace {

using Wide = __float128;

template <int M>
int smooth_all(const Rows& rows, double q, const double* sigma2, std::int64_t n_groups, double* moments, double* terms) {
    std::unique_ptr<Wide[]> states(new Wide[rows.n * packed_size<M>]), wide(new Wide[n_groups]);
    std::unique_ptr<double[]> gap(new double[rows.n]);
    for (std::int64_t g = 0; g < n_groups; ++g) wide[g] = sigma2[g];
    std::int64_t nodes = 1;
    for (std::int64_t i = 1; i < rows.n; ++i)
        if (rows.delta[i] > 0) gap[nodes++ - 1] = rows.delta[i];
    Likelihood<Wide> l{};
    if (run_filter<Wide, M>(rows, Wide(q), wide.get(), &l, PackedStates<Wide>{states.get()}).outcome != Outcome::ok) return -1;
    smooth<Wide, M>(nodes, gap.get(), Wide(q), states.get(), states.get());
    for (std::int64_t i = 0; i < nodes; ++i) {
        const Wide* state = states.get() + i * packed_size<M>;
        for (int k = 0; k < M; ++k) {
            moments[i * M + k] = static_cast<double>(state[k]);
            moments[(nodes + i) * M + k] = static_cast<double>(packed_variance<Wide, M>(state, k));
        }
    }
    terms[0] = static_cast<double>(l.log_det);
    terms[1] = static_cast<double>(l.sse);
    terms[2] = static_cast<double>(l.end_log_det);
    return static_cast<int>(nodes);
}

}  // namespace

// The number of nodes; moments has room for 2 n M numbers, (2, nodes, M) means and variances. -1 where a filter fails.
extern "C" int smooth_reference(std::int64_t n, const double* delta, const std::uint8_t* deriv, const std::uint8_t* group,
                                const double* y, const double* ratio, int order, double q, const double* sigma2,
                                std::int64_t n_groups, double* moments, double* terms) {
    const Rows rows{n, delta, deriv, group, y, ratio};
    switch (order) {
        case 1: return smooth_all<1>(rows, q, sigma2, n_groups, moments, terms);
        case 2: return smooth_all<2>(rows, q, sigma2, n_groups, moments, terms);
        case 3: return smooth_all<3>(rows, q, sigma2, n_groups, moments, terms);
        case 4: return smooth_all<4>(rows, q, sigma2, n_groups, moments, terms);
        default: return -1;
    }
}
