// What the bindings of the state space kernels share: checks of rows and of packed states, the order as a constant.
#pragma once

#include "bindings.hpp"

#include "filter.hpp"

constexpr int max_order = smoothfit::max_model_order + 1;  // for integrals of the curve

// The rows of a series, checked once.
struct WienerRows {
    In<double> delta;
    In<std::uint8_t> deriv, group;
    In<double> y, ratio;
    int highest_deriv = -1;
    std::size_t highest_group = 0;

    WienerRows(In<double> delta_, In<std::uint8_t> deriv_, In<std::uint8_t> group_, In<double> y_, In<double> ratio_)
        : delta(delta_), deriv(deriv_), group(group_), y(y_), ratio(ratio_) {
        const std::size_t n = size();
        check(n > 0, "there are no rows");
        check(deriv.size() == n && group.size() == n && y.size() == n && ratio.size() == n, "row arrays differ in length");
        std::uint8_t above = 0, highest = 0;  // maxima of bytes cost next to nothing; missing + 1 wraps to 0
        for (std::size_t i = 0; i < n; ++i) {
            const auto next = static_cast<std::uint8_t>(deriv.data()[i] + 1);
            above = next > above ? next : above;
            highest = group.data()[i] > highest ? group.data()[i] : highest;
        }
        highest_deriv = above - 1;
        highest_group = highest;
    }
    std::size_t size() const { return delta.size(); }
    smoothfit::Rows view(int order, std::size_t n_groups) const {
        check(order >= 1 && order <= max_order, "order is out of range");
        check(highest_deriv < order, "deriv is not below the order");
        check(highest_group < n_groups, "group is out of range");
        return {static_cast<std::int64_t>(size()), delta.data(), deriv.data(), group.data(), y.data(), ratio.data()};
    }
};

// Calls f(std::integral_constant<int, order>).
template <class F>
auto with_order(int order, const F& f) {
    return with_size<1, max_order>(order, f);
}

// The same for the order of a curve that is fitted.
template <class F>
auto with_model_order(int order, const F& f) {
    check(order <= smoothfit::max_model_order, "order is out of range");
    return with_size<1, smoothfit::max_model_order>(order, f);
}

constexpr std::size_t max_groups = 64;

inline std::size_t packed_width(int order) { return order + order * (order + 1) / 2; }

// Checks packed states (n, order + order (order + 1) / 2) and returns n.
inline std::size_t count_states(const In<double>& states, int order) {
    check(order >= 1 && order <= max_order, "order is out of range");
    check(states.ndim() == 2 && states.shape(1) == packed_width(order), "packed states are (n, order + order (order + 1) / 2)");
    return states.shape(0);
}
