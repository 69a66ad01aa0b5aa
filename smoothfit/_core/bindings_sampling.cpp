// Draws and scores of shocks (sampling.hpp) as Python functions.
#include "bindings_rows.hpp"

#include <vector>

#include "sampling.hpp"

using namespace smoothfit;

namespace {

std::size_t link_width(int order) { return static_cast<std::size_t>(order * order + order * (order + 1) / 2); }

// Links between the nodes where keep is not zero: (n_kept, order^2 + order (order + 1) / 2).
Doubles links_of(In<double> gap, int order, double q, In<double> filtered, In<std::uint8_t> keep) {
    const std::size_t n = count_states(filtered, order);
    check(n == gap.size() + 1 && keep.size() == n, "filtered and keep are one node longer than gap");
    std::size_t n_kept = 0;
    for (std::size_t i = 0; i < n; ++i) n_kept += keep.data()[i] != 0;
    Doubles out = new_array({n_kept, link_width(order)});
    nb::gil_scoped_release release;
    with_order(order, [&](auto m) {
        links<double, decltype(m)::value>(static_cast<std::int64_t>(n), gap.data(), q, filtered.data(), keep.data(),
                                          static_cast<std::int64_t>(n_kept), out.data());
    });
    return out;
}

// Deviations from the posterior mean: (n_derivs, n_draws, n_kept) from standard normal numbers (n_draws, n_kept, order).
Doubles draw_from(int order, In<double> link, In<double> normal, In<std::int64_t> derivs) {
    check(order >= 1 && order <= max_order, "order is out of range");
    check(link.ndim() == 2 && link.shape(1) == link_width(order), "links are (n_kept, order^2 + order (order + 1) / 2)");
    const std::size_t n_kept = link.shape(0);
    check(normal.ndim() == 3 && normal.shape(1) == n_kept && normal.shape(2) == static_cast<std::size_t>(order),
          "normal is (n_draws, n_kept, order)");
    for (std::size_t i = 0; i < derivs.size(); ++i)
        check(derivs.data()[i] >= 0 && derivs.data()[i] < order, "a derivative is not below the order");
    Doubles out = new_array({derivs.size(), normal.shape(0), n_kept});
    nb::gil_scoped_release release;
    with_order(order, [&](auto m) {
        draw<decltype(m)::value>(static_cast<std::int64_t>(n_kept), link.data(), static_cast<std::int64_t>(normal.shape(0)),
                                 normal.data(), static_cast<int>(derivs.size()), derivs.data(), out.data());
    });
    return out;
}

// u and its precision of each row (n, 2); scores and information of shocks at each node (n_nodes, 2 order); which rows a flat
// component took up (n).
nb::tuple shocks_of(In<double> delta, In<std::uint8_t> deriv, In<std::uint8_t> group, In<double> y, In<double> ratio, int order,
                    double q, In<double> sigma2) {
    const Rows rows = make_rows(delta, deriv, group, y, ratio, order, sigma2.size());
    const std::size_t n = delta.size(), width = static_cast<std::size_t>(order) + 3;
    std::size_t nodes = 1;
    for (std::int64_t i = 1; i < rows.n; ++i) nodes += rows.delta[i] > 0;
    std::vector<double> record(n * width);
    Doubles errors = new_array({n, 2}), scores = new_array({nodes, 2 * static_cast<std::size_t>(order)});
    Out<bool> diffuse = new_array_of<bool>({n});
    Status status;
    {
        nb::gil_scoped_release release;
        status = with_order(order, [&](auto m) {
            return shocks<decltype(m)::value>(rows, q, sigma2.data(), record.data(), errors.data(), scores.data());
        });
        for (std::size_t i = 0; i < n; ++i)
            diffuse.data()[i] = rows.deriv[i] != Rows::missing && record[i * width + width - 1] == 0.0;
    }
    raise_unless_ok(status);
    return nb::make_tuple(errors, scores, diffuse);
}

}  // namespace

void bind_sampling(nb::module_& module) {
    module.def("links", &links_of);
    module.def("draw", &draw_from);
    module.def("shocks", &shocks_of);
}
