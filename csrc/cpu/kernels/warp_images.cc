// Distorts images: draws the control points of a displacement, interpolates them, and samples the image.
#include "cpu/kernels/warp_images.h"

#include "cpu/vec/loop.h"
#include "cpu/vec/math.h"
#include "cpu/vec/random.h"
#include "cpu/vec/unroll.h"

namespace byhand::cpu::BYHAND_ISA {
namespace {

constexpr int kBlocks = kWarpGroup / kWords, kTaps = 4;

// The largest number of control points in a row that a vector of neighbouring pixels needs. Pixels are less
// than 0.578 grid spacings apart, because the smoothness is at least 1.
constexpr int kVectorTaps = (Vec::kLanes - 1) * 578 / 1000 + 2 + kTaps;

inline Vec min(Vec a, Vec b) { return select(a < b, a, b); }
inline Vec clamp(Vec a, Vec low, Vec high) { return min(max(a, low), high); }

// Returns first, first + 1, ...
inline Vec count_from(int64_t first) {
  return to_float(IVec::set(static_cast<int32_t>(first)) + IVec::iota(1));
}

// The cubic B-spline, for any t.
inline Vec spline(Vec t) {
  const Vec distance = abs(t), outer = max(Vec::zero(), Vec::set(2) - distance),
            inner = max(Vec::zero(), Vec::set(1) - distance);
  return fma(outer * outer, outer, Vec::set(-4) * (inner * inner * inner)) * Vec::set(1.0f / 6);
}

void control(const WarpControl& c, float* to) {
  static_assert(kBlocks % Vec::kLanes == 0);
  for (int64_t g = 0; g < c.groups; ++g)
    for (int i = 0; i < kBlocks; i += Vec::kLanes) {
      const uint64_t block = c.stream + static_cast<uint64_t>(g * kBlocks + i);
      IVec word[kWords] = {broadcast(c.image), broadcast(c.image >> 32), broadcast(c.step),
                           broadcast(block) + IVec::iota(1)};
      philox(c.seed, word);
      for (int w = 0; w < kWords; ++w) {
        const Vec centred = one_to_two(word[w]) - Vec::set(1.5f);
        (centred * Vec::set(c.amplitude)).store(to + g * kWarpGroup + w * kBlocks + i);
      }
    }
}

// Interpolates the control points of all grid rows for kLanes columns of the image, from column x on.
void interpolate_columns(const WarpField& f, int64_t x) {
  const Vec at = fma(count_from(x), Vec::set(f.per_pixel), Vec::set(f.phase_x));
  int32_t grid[Vec::kLanes];
  truncate(at).store(grid);
  // The first control points of the first and the last lane. Lanes beyond the image may need others, but
  // their results are not used.
  const int64_t limit = f.grid_columns - kTaps, last_column = grid[Vec::kLanes - 1];
  const int64_t first = grid[0] < limit ? grid[0] : limit, last = last_column < limit ? last_column : limit;
  const int taps = static_cast<int>(last - first) + kTaps;
  Vec weight[kVectorTaps];
  for (int k = 0; k < taps; ++k) weight[k] = spline(at - Vec::set(static_cast<float>(first + k - 1)));
  for (int64_t r = 0; r < 2 * f.grid_rows; ++r) {
    const float* c = f.control + r * f.grid_columns + first;
    Vec sum = Vec::zero();
    for (int k = 0; k < taps; ++k) sum = fma(Vec::set(c[k]), weight[k], sum);
    sum.store(f.columns + r * f.pitch + x);
  }
}

void interpolate(const WarpField& f) {
  for (int64_t x = 0; x < f.width; x += Vec::kLanes) interpolate_columns(f, x);
  const IVec limit = IVec::set(static_cast<int32_t>(f.grid_rows - kTaps));
  for (int64_t y = 0; y < f.height; y += Vec::kLanes) {
    const Vec at = fma(count_from(y), Vec::set(f.per_pixel), Vec::set(f.phase_y));
    const IVec grid = truncate(at), first = select(grid < limit, grid, limit);
    first.store(f.first + y);
    const Vec t = at - to_float(first);
    for (int k = 0; k < kTaps; ++k)
      spline(t - Vec::set(static_cast<float>(k - 1))).store(f.weights + k * f.row_pitch + y);
  }
}

// Interpolates between the four pixels p[index], p[index + 1], p[index + pitch] and p[index + pitch + 1].
inline Vec bilinear(const float* p, int64_t pitch, IVec index, Vec down, Vec right) {
  const Vec a = gather(p, index), b = gather(p + 1, index);
  const Vec c = gather(p + pitch, index), d = gather(p + pitch + 1, index);
  const Vec above = fma(right, b - a, a), below = fma(right, d - c, c);
  return fma(down, below - above, above);
}

template <bool kElastic>
void sample_image(const WarpImage& s, const WarpField* f, float* to) {
  const int64_t pitch = s.width + kWarpBorder, padded_plane = (s.height + kWarpBorder) * pitch,
                plane = s.height * s.width;
  const Vec bottom = Vec::set(static_cast<float>(s.height + 1)),
            end = Vec::set(static_cast<float>(s.width + 1));
  const Vec yx = Vec::set(s.yx), xx = Vec::set(s.xx);
  const IVec row_length = IVec::set(static_cast<int32_t>(pitch));
  for (int64_t y = 0; y < s.height; ++y) {
    const auto row = static_cast<float>(y);
    // Positions in the padded image.
    const Vec row_y = Vec::set(s.yy * row + (s.y0 + kWarpBefore)),
              row_x = Vec::set(s.xy * row + (s.x0 + kWarpBefore));
    const float *dy = nullptr, *dx = nullptr;
    Vec weight[kTaps];
    if constexpr (kElastic) {
      dy = f->columns + f->first[y] * f->pitch;
      dx = dy + f->grid_rows * f->pitch;
      for (int k = 0; k < kTaps; ++k) weight[k] = Vec::set(f->weights[k * f->row_pitch + y]);
    }
    for_overlapping_vectors(s.width, [&](int64_t x, auto n) {
      const Vec column = count_from(x);
      Vec from_y = fma(yx, column, row_y), from_x = fma(xx, column, row_x);
      if constexpr (kElastic) {
        BYHAND_UNROLL
        for (int k = 0; k < kTaps; ++k) {
          from_y = fma(weight[k], Vec::load(dy + k * f->pitch + x), from_y);
          from_x = fma(weight[k], Vec::load(dx + k * f->pitch + x), from_x);
        }
      }
      // Beyond the border, all pixels are `fill`.
      from_y = clamp(from_y, Vec::zero(), bottom);
      from_x = clamp(from_x, Vec::zero(), end);
      const IVec top = truncate(from_y), left = truncate(from_x);
      const Vec down = from_y - to_float(top), right = from_x - to_float(left);
      const IVec index = top * row_length + left;
      for (int64_t p = 0; p < s.planes; ++p)
        store(bilinear(s.padded + p * padded_plane, pitch, index, down, right),
              to + p * plane + y * s.width + x, n);
    });
  }
}

void sample(const WarpImage& image, const WarpField* field, float* to) {
  if (field == nullptr)
    sample_image<false>(image, field, to);
  else
    sample_image<true>(image, field, to);
}

}  // namespace

void fill_warp_images(WarpKernels& k) {
  k.control = control;
  k.interpolate = interpolate;
  k.sample = sample;
}

}  // namespace byhand::cpu::BYHAND_ISA
