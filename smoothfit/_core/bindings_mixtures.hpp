// The table of a standard law (mixtures.hpp) as a Python object, checked once.
#pragma once

#include "bindings.hpp"
#include "mixtures.hpp"

struct StandardTable {
    In<double> cells;
    double farthest;

    StandardTable(In<double> cells_, double farthest_) : cells(cells_), farthest(farthest_) {
        check(cells.ndim() == 2 && cells.shape(0) > 0 && cells.shape(1) == smoothfit::StandardLaw::width, "cells is (n, 13)");
    }
    smoothfit::StandardLaw view() const { return {cells.data(), static_cast<std::int64_t>(cells.shape(0)), farthest}; }
};

void bind_mixtures(nb::module_& module);
