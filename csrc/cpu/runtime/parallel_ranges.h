// Work that is the same for every item, cut into pieces for parallel_for.
#pragma once

#include <algorithm>

#include "cpu/runtime/blocking.h"
#include "cpu/runtime/parallel.h"

namespace byhand::cpu {

// The approximate duration of a piece, in nanoseconds. It is so long that the time for handing out the piece,
// about 100 ns, matters little.
inline constexpr double kPieceNs = 2'500;

// Calls body(begin, end) for pieces of [0, count). An item takes about `ns_per_item` > 0. `count` and
// `ns_per_item` alone decide the pieces, not the number of threads.
template <class Body>
void parallel_ranges(int64_t count, double ns_per_item, const Body& body) {
  const int64_t size = std::max<int64_t>(1, static_cast<int64_t>(kPieceNs / ns_per_item));
  parallel_for(ceil_div(count, size), ns_per_item * static_cast<double>(size),
               [&](int64_t i) { body(i * size, std::min(count, (i + 1) * size)); });
}

}  // namespace byhand::cpu
