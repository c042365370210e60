// The maximum of a pooling window and its position. Each lane has a window of its own.
#pragma once

#include BYHAND_VEC_HEADER

namespace byhand::cpu::BYHAND_ISA {
namespace {

// The largest of the values visited so far and its position. Of equal values, the first one counts. A NaN
// counts as larger than any number. Of several NaNs, the last one counts.
struct WindowMaximum {
  Vec value;
  IVec place;

  void visit(Vec other, IVec other_place) {
    const Mask better = (other > value) | is_nan(other);  // false if only `value` is NaN
    value = select(better, other, value);
    place = select(better, other_place, place);
  }

  // Takes in the maximum of other values of the window, of which some come before and some after those
  // visited so far. The result is the one of a visit of all values in the order of their positions.
  void merge(const WindowMaximum& other) {
    const Mask earlier = other.place < place;
    const WindowMaximum later{select(earlier, value, other.value), select(earlier, place, other.place)};
    value = select(earlier, other.value, value);
    place = select(earlier, other.place, place);
    visit(later.value, later.place);
  }
};

}  // namespace
}  // namespace byhand::cpu::BYHAND_ISA
