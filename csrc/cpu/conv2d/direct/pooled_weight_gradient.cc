#include "cpu/conv2d/direct/pooled_weight_gradient.h"

#include <algorithm>
#include <bit>

#include "core/scratch.h"
#include "cpu/kernels/conv2d_weight_gradient.h"
#include "cpu/runtime/blocking.h"
#include "cpu/runtime/registry.h"

namespace byhand::cpu {

namespace {

// The last position in a plane of outputs, rounded up to 2^n - 1, so that kernels can use it as a mask of
// positions (ConvPooledDot::last).
int64_t last_position(const Conv2dShape& s) {
  return static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(s.out_h * s.out_w)) - 1);
}

// The number of floats in all slots of one input channel (see fill_slots). They stay in L2 while all output
// channels read them, because `takes` limits their number. The output at position p reads slot p + ty * out_w
// for row ty of the taps, and p may be any number up to last_position. The slots beyond the padded input stay
// uninitialised. They are read only if another thread changes an index meanwhile.
int64_t slot_floats(const Conv2dShape& s) {
  return (last_position(s) + 1 + (s.kernel.h - 1) * s.out_w) * kPooledSlot;
}

}  // namespace

bool PooledDots::takes(const Conv2dShape& s) {
  return s.stride.h == 1 && s.stride.w == 1 && s.dilation.h == 1 && s.dilation.w == 1 && s.groups == 1 &&
         s.kernel.h <= kMaxPooledTapRows && s.kernel.w <= kPooledSlot && slot_floats(s) <= kL2Floats / 2;
}

void PooledDots::add(const float* dz, const int32_t* index, int64_t count, const float* x, float* dw) const {
  const WeightGradientKernels& k = kernels<WeightGradientKernels>();
  ScratchFrame frame;
  ConvPooledDot d{};
  d.count = count, d.x_row = s_.out_w * kPooledSlot;
  d.last = static_cast<int32_t>(last_position(s_));
  d.columns = static_cast<int>(s_.kernel.w), d.dw_row = s_.in_channels * s_.taps();
  float* const slots = frame.allocate<float>(slot_floats(s_));
  d.x = slots;
  for (int64_t c = 0; c < s_.in_channels; ++c) {
    fill_slots(x + c * s_.in_h * s_.in_w, slots);
    for (int64_t o = 0; o < s_.out_channels; o += kPooledRows) {
      const int64_t rows = std::min<int64_t>(kPooledRows, s_.out_channels - o);
      d.dz = dz + o * count, d.place = index + o * count;
      d.dw = dw + o * d.dw_row + c * s_.taps();
      k.pooled[rows - 1][s_.kernel.h - 1](d);
    }
  }
}

// Writes one slot for each row of the padded input and each output column: the kPooledSlot values of the row
// that begin at this column, side by side. A vector that holds a slot lies within one cache line. If vectors
// were loaded from the plane itself, every second one would lie in two cache lines.
void PooledDots::fill_slots(const float* x, float* slots) const {
  ScratchFrame frame;
  const int64_t row = s_.out_w * kPooledSlot, width = s_.out_w + kPooledSlot;
  float* const line = frame.allocate<float>(width);
  std::fill_n(line, width, 0.0f);
  std::fill_n(slots, s_.padding.top * row, 0.0f);
  slots += s_.padding.top * row;
  const bool padded = s_.padding.left > 0 || s_.padding.right > 0;
  for (int64_t y = 0; y < s_.in_h; ++y, slots += row) {
    const float* from = x + y * s_.in_w;
    // The last slots of a row reach beyond the end of the row. The values there belong to no tap, but they
    // must be readable.
    if (padded || y * s_.in_w + width > s_.in_h * s_.in_w) {
      std::copy_n(from, s_.in_w, line + s_.padding.left);
      from = line;
    }
    kernels<WeightGradientKernels>().fill_slots(from, s_.out_w, slots);
  }
  std::fill_n(slots, s_.padding.bottom * row, 0.0f);
}

}  // namespace byhand::cpu
