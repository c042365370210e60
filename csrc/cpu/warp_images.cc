#include "ops/warp_images.h"

#include <algorithm>

#include "core/scratch.h"
#include "cpu/kernels/warp_images.h"
#include "cpu/runtime/parallel_ranges.h"
#include "cpu/runtime/registry.h"

namespace byhand::ops {

using namespace cpu;

namespace {

int64_t round_up(int64_t count, int64_t size) { return ceil_div(count, size) * size; }

// Distorts images of one size, one after the other. It holds the scratch memory for one image.
class Warper {
 public:
  Warper(const WarpShape& shape, const WarpStrengths& strengths, float fill, const WarpKey& key)
      : shape_(shape),
        strengths_(strengths),
        key_(key),
        pitch_(shape.width + kWarpBorder),
        padded_plane_((shape.height + kWarpBorder) * pitch_) {
    padded_ = frame_.allocate<float>(shape.planes * padded_plane_);
    std::fill_n(padded_, shape.planes * padded_plane_, fill);
    if (strengths.elastic > 0) make_field();
  }

  void warp(const float* image, int64_t number, float* to) {
    const ImageWarp w = draw_warp(strengths_, key_, number, shape_.height, shape_.width);
    pad(image);
    if (strengths_.elastic > 0) {
      control_.image = static_cast<uint64_t>(number);
      field_.phase_y = w.phase_y;
      field_.phase_x = w.phase_x;
      kernels_.control(control_, points_);
      kernels_.interpolate(field_);
    }
    kernels_.sample({padded_, shape_.planes, shape_.height, shape_.width, w.yy, w.yx, w.y0, w.xy, w.xx, w.x0},
                    strengths_.elastic > 0 ? &field_ : nullptr, to);
  }

 private:
  void make_field() {
    const WarpGrid grid = warp_grid(strengths_, shape_.height, shape_.width);
    control_ = {.seed = key_.seed,
                .step = key_.step,
                .image = 0,
                .stream = kWarpStream + kFirstControlBlock,
                .groups = ceil_div(2 * grid.points(), kWarpGroup),
                .amplitude = grid.amplitude};
    points_ = frame_.allocate<float>(control_.groups * kWarpGroup);
    field_.grid_rows = grid.rows;
    field_.grid_columns = grid.columns;
    field_.per_pixel = grid.per_pixel;
    field_.height = shape_.height;
    field_.width = shape_.width;
    field_.control = points_;
    field_.pitch = round_up(shape_.width, kWarpPitch);
    field_.columns = frame_.allocate<float>(2 * grid.rows * field_.pitch);
    field_.row_pitch = round_up(shape_.height, kWarpPitch);
    field_.weights = frame_.allocate<float>(4 * field_.row_pitch);
    field_.first = frame_.allocate<int32_t>(field_.row_pitch);
  }

  // Copies an image into the middle of the padded image.
  void pad(const float* image) {
    float* to = padded_ + kWarpBefore * pitch_ + kWarpBefore;
    for (int64_t p = 0; p < shape_.planes; ++p, to += padded_plane_)
      for (int64_t y = 0; y < shape_.height; ++y, image += shape_.width)
        std::copy_n(image, shape_.width, to + y * pitch_);
  }

  const WarpShape& shape_;
  const WarpStrengths& strengths_;
  const WarpKey& key_;
  const WarpKernels kernels_ = kernels<WarpKernels>();
  const int64_t pitch_, padded_plane_;
  ScratchFrame frame_;
  float *padded_ = nullptr, *points_ = nullptr;
  WarpControl control_{};
  WarpField field_{};
};

}  // namespace

void warp_images(const float* images, const int64_t* index, const WarpShape& shape,
                 const WarpStrengths& strengths, float fill, const WarpKey& key, float* to) {
  const int64_t size = shape.size();
  if (size == 0) return;
  const auto bytes = static_cast<double>(size) * sizeof(float);
  if (strengths.is_zero()) {
    parallel_ranges(shape.count, memory_ns(2 * bytes), [=](int64_t begin, int64_t end) {
      std::copy(images + begin * size, images + end * size, to + begin * size);
    });
    return;
  }
  // Estimated nanoseconds per value, on the slowest instruction set.
  constexpr double kNs = 10;
  parallel_ranges(shape.count, kNs * static_cast<double>(size), [&](int64_t begin, int64_t end) {
    Warper warper(shape, strengths, fill, key);
    for (int64_t i = begin; i < end; ++i) warper.warp(images + i * size, index[i], to + i * size);
  });
}

}  // namespace byhand::ops
