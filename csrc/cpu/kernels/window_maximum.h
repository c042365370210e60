// The maximum of pooling windows, one window per lane.
#pragma once

#include BYHAND_VEC_HEADER

namespace byhand::cpu::BYHAND_ISA {
namespace {

// The largest of the visited values and its position. A NaN wins over any number, and the first of equal
// values wins.
struct WindowMaximum {
  Vec value;
  IVec place;

  void visit(Vec other, IVec other_place) {
    const Mask better = (other > value) | is_nan(other);  // false if only `value` is NaN
    value = select(better, other, value);
    place = select(better, other_place, place);
  }
};

}  // namespace
}  // namespace byhand::cpu::BYHAND_ISA
