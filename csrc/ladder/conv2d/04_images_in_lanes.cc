// Each lane of a vector belongs to another image, so short rows waste no lanes. The sum stays in a register.
//
// x is N x C x H x W, w is O x C x 5 x 5 and y is N x O x (H - 4) x (W - 4).
#include "ladder/conv2d/lanes.h"

constexpr int kTaps = 5;

// Returns one output of kLanes images. x points to the first value of the window, w to the filter.
static Vec output(const std::vector<int>& offsets, const Vec* x, const float* w, float bias) {
  Vec sum = bias - Vec{};
  for (size_t t = 0; t < offsets.size(); ++t) sum += w[t] * x[offsets[t]];
  return sum;
}

// Computes all outputs of kLanes images. The value of each tap lies at x + offset in every window.
static void group(int H, int W, int O, const std::vector<int>& offsets, const Vec* x, const float* w,
                  const float* bias, Vec* y) {
  const int OH = H - kTaps + 1, OW = W - kTaps + 1, taps = int(offsets.size());
  for (int o = 0; o < O; ++o)
    for (int i = 0; i < OH; ++i)
      for (int j = 0; j < OW; ++j)
        y[(o * OH + i) * OW + j] = output(offsets, x + i * W + j, w + o * taps, bias[o]);
}

extern "C" void conv2d(int N, int C, int H, int W, int O, const float* x, const float* w, const float* bias,
                       float* y) {
  const int inputs = C * H * W, outputs = O * (H - kTaps + 1) * (W - kTaps + 1);
  std::vector<Vec> lanes_x(inputs), lanes_y(outputs);
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
