// What a kernel reports. Kernels never throw: the bindings turn a status into a Python exception.
#pragma once

#include <cstdint>

namespace smoothfit {

enum class Outcome {
    ok,
    unidentified,  // observations leave part of the polynomial null space undetermined; `where` is a bit mask of the state
    overflow,      // a predicted variance is not a positive finite number; `where` is the row
    outside,       // a point is beyond the domain; `where` is its index
};

inline const char* name_of(Outcome outcome) {
    switch (outcome) {
        case Outcome::ok: return "ok";
        case Outcome::unidentified: return "unidentified";
        case Outcome::outside: return "outside";
        default: return "overflow";
    }
}

struct Status {
    Outcome outcome = Outcome::ok;
    std::int64_t where = -1;
};

}  // namespace smoothfit
