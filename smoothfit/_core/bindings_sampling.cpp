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
Tuple<Doubles, Doubles, Out<bool>> shocks_of(const WienerRows& series, int order, double q, In<double> sigma2) {
    const Rows rows = series.view(order, sigma2.size());
    const std::size_t n = series.size(), width = static_cast<std::size_t>(order) + 3;
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

// Innovations over their standard deviations (n).
Doubles innovations_of(const WienerRows& series, int order, double q, In<double> sigma2) {
    const Rows rows = series.view(order, sigma2.size());
    Doubles out = new_array({series.size()});
    run_unlocked([&] {
        return with_order(order, [&](auto m) { return innovations<decltype(m)::value>(rows, q, sigma2.data(), out.data()); });
    });
    return out;
}

template <class T>
using InOut = nb::ndarray<T, nb::c_contig, nb::device::cpu>;

// The buffers of a stream: row i has entry i of the row arrays; the state before it, and the x of that, entry i of states and x.
class Stream {
public:
    Stream(InOut<double> x, InOut<double> delta, InOut<std::uint8_t> deriv, InOut<std::uint8_t> group, InOut<double> y,
           InOut<double> ratio, InOut<std::int64_t> arrival, InOut<double> states, InOut<double> sigma2, int order, double q,
           double x_unit)
        : x_(x), delta_(delta), deriv_(deriv), group_(group), y_(y), ratio_(ratio), arrival_(arrival), states_(states),
          sigma2_(sigma2), order_(order), q_(q), x_unit_(x_unit) {
        const std::size_t n = delta.size();
        check(order >= 1 && order <= max_order, "order is out of range");
        check(deriv.size() == n && group.size() == n && y.size() == n && ratio.size() == n && arrival.size() == n,
              "row arrays differ in length");
        check(x.size() == n + 1 && states.ndim() == 2 && states.shape(0) == n + 1 && states.shape(1) == packed_width(order),
              "x and states are one longer than the rows");
    }

    // Runs rows start .. stop - 1 and writes the filtered states after them.
    void run(std::int64_t start, std::int64_t stop) {
        check(0 <= start && start <= stop && stop <= static_cast<std::int64_t>(delta_.size()), "start or stop is out of range");
        for (std::int64_t i = start; i < stop; ++i)
            check(deriv_.data()[i] < order_ && group_.data()[i] < sigma2_.size(), "deriv or group is out of range");
        const Rows rows{stop, delta_.data(), deriv_.data(), group_.data(), y_.data(), ratio_.data()};
        raise_unless_ok(with_order(order_, [&](auto m) {
            return resume<decltype(m)::value>(rows, start, stop, q_, sigma2_.data(), states_.data());
        }));
    }

    // Writes row i and runs it, if it is not before the last and there is room; tells whether it did.
    bool push(std::int64_t i, double x, double y, int deriv, int group, double ratio, std::int64_t arrival) {
        check(i >= 0, "i is out of range");
        if (i >= static_cast<std::int64_t>(delta_.size())) return false;
        const double step = x - x_.data()[i];
        if (!(step >= 0 && step < std::numeric_limits<double>::infinity())) return false;
        if (!(y > -std::numeric_limits<double>::infinity() && y < std::numeric_limits<double>::infinity()) || !(ratio > 0)) return false;
        x_.data()[i + 1] = x;
        delta_.data()[i] = step / x_unit_;
        deriv_.data()[i] = static_cast<std::uint8_t>(deriv);
        group_.data()[i] = static_cast<std::uint8_t>(group);
        y_.data()[i] = y;
        ratio_.data()[i] = ratio;
        arrival_.data()[i] = arrival;
        run(i, i + 1);
        return true;
    }

private:
    InOut<double> x_, delta_;
    InOut<std::uint8_t> deriv_, group_;
    InOut<double> y_, ratio_;
    InOut<std::int64_t> arrival_;
    InOut<double> states_, sigma2_;
    int order_;
    double q_, x_unit_;
};

}  // namespace

void bind_sampling(nb::module_& module) {
    module.def("links", &links_of, "gap"_a, "order"_a, "q"_a, "filtered"_a, "keep"_a);
    module.def("draw", &draw_from, "order"_a, "link"_a, "normal"_a, "derivs"_a);
    module.def("shocks", &shocks_of, "series"_a, "order"_a, "q"_a, "sigma2"_a);
    module.def("innovations", &innovations_of, "series"_a, "order"_a, "q"_a, "sigma2"_a);
    nb::class_<Stream>(module, "Stream")
        .def(nb::init<InOut<double>, InOut<double>, InOut<std::uint8_t>, InOut<std::uint8_t>, InOut<double>, InOut<double>,
                      InOut<std::int64_t>, InOut<double>, InOut<double>, int, double, double>(), "x"_a, "delta"_a,
             "deriv"_a, "group"_a, "y"_a, "ratio"_a, "arrival"_a, "states"_a, "sigma2"_a, "order"_a, "q"_a, "x_unit"_a)
        .def("run", &Stream::run, "start"_a, "stop"_a)
        .def("push", &Stream::push, "i"_a, "x"_a, "y"_a, "deriv"_a, "group"_a, "ratio"_a, "arrival"_a);
}
