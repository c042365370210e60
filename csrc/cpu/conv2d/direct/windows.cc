#include "cpu/conv2d/direct/windows.h"

#include <algorithm>

namespace byhand::cpu {
namespace {

// Returns whether all of `outputs` outputs read inside [0, size) through every tap.
bool reads_inside(const TapAxis& axis, int64_t outputs, int64_t size) {
  const auto [first, last] = std::minmax_element(axis.tap, axis.tap + axis.count);
  return axis.count == 0 || (*first >= 0 && *last + (outputs - 1) * axis.stride < size);
}

TapAxis without_stride(const TapAxis& axis) { return {axis.count, axis.tap, 1}; }

}  // namespace

Windows::Windows(Pair source, Pair out, int64_t band_rows, const TapAxis& rows, const TapAxis& columns,
                 ScratchFrame& frame)
    : source_(source),
      rows_(rows),
      columns_(columns),
      in_place_(reads_inside(rows, out.h, source.h) && reads_inside(columns, out.w, source.w)),
      staging_(source, {(band_rows - 1) * rows.stride + 1, (out.w - 1) * columns.stride + 1},
               without_stride(rows), without_stride(columns), frame) {}

const float* Windows::begin(const float* source, int64_t channels, int64_t first_row, float* copy) const {
  if (in_place_) return source + first_row * rows_.stride * source_.w;
  staging_.stage(source, channels, first_row * rows_.stride, copy);
  return copy;
}

}  // namespace byhand::cpu
