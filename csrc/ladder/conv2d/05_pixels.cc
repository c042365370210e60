// Several neighbouring outputs are computed together, so that their sums do not wait for each other.
//
// x is N x C x H x W, w is O x C x 5 x 5 and y is N x O x (H - 4) x (W - 4).
#include "ladder/conv2d/lanes.h"

constexpr int kTaps = 5, kPixels = 8;

// Computes a tile: kPixels neighbouring outputs of a row, of which `pixels` exist. x points to the first
// value of the first window, w to the filter, y to the first output.
static void tile(int pixels, const std::vector<int>& offsets, const Vec* x, const float* w, float bias,
                 Vec* y) {
  Vec sum[kPixels];
  UNROLL
  for (Vec& s : sum) s = bias - Vec{};
  for (size_t t = 0; t < offsets.size(); ++t) {
    UNROLL
    for (int p = 0; p < kPixels; ++p) sum[p] += w[t] * x[offsets[t] + p];
  }
  UNROLL
  for (int p = 0; p < kPixels; ++p)
    if (p < pixels) y[p] = sum[p];
}

// Computes all outputs of kLanes images. The value of each tap lies at x + offset in every window.
static void group(int H, int W, int O, const std::vector<int>& offsets, const Vec* x, const float* w,
                  const float* bias, Vec* y) {
  const int OH = H - kTaps + 1, OW = W - kTaps + 1, taps = int(offsets.size());
  for (int o = 0; o < O; ++o)
    for (int i = 0; i < OH; ++i)
      for (int j = 0; j < OW; j += kPixels)
        tile(OW - j, offsets, x + i * W + j, w + o * taps, bias[o], y + (o * OH + i) * OW + j);
}

extern "C" void conv2d(int N, int C, int H, int W, int O, const float* x, const float* w, const float* bias,
                       float* y) {
  const int inputs = C * H * W, outputs = O * (H - kTaps + 1) * (W - kTaps + 1);
  std::vector<Vec> lanes_x(inputs + kPixels), lanes_y(outputs);
  std::vector<int> offsets;
  for (int c = 0; c < C; ++c)
    for (int u = 0; u < kTaps; ++u)
      for (int v = 0; v < kTaps; ++v) offsets.push_back((c * H + u) * W + v);
  for (int b = 0; b < N; b += kLanes) {
    to_lanes(std::min(N - b, kLanes), inputs, x + b * inputs, lanes_x.data());
    group(H, W, O, offsets, lanes_x.data(), w, bias, lanes_y.data());
    from_lanes(std::min(N - b, kLanes), outputs, lanes_y.data(), y + b * outputs);
  }
}
