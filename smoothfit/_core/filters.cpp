// The filters of filter.hpp that pass on no states, one for each scalar and order.
#include "filter.hpp"

namespace smoothfit {

SMOOTHFIT_FILTERS(template)

}  // namespace smoothfit
