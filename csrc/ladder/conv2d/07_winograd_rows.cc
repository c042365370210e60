// Winograd's algorithm along rows: 4 neighbouring outputs take 8 products per row of a filter instead of 20.
//
// x is N x C x H x W, w is O x C x 5 x 5 and y is N x O x (H - 4) x (W - 4).
#include "ladder/conv2d/lanes.h"
#include "ladder/conv2d/winograd.h"

constexpr int kTaps = 5, kFilters = 3, kPixels = LANES == 16 ? 8 : 4;
constexpr int kProducts = kInputs;

// Transforms the filters: u[product][o][c][row of the filter]. The number of filters is filled up with zeros.
static std::vector<float> transform_weights(int C, int O, const float* w) {
  const int size = (O + kFilters - 1) / kFilters * kFilters * C * kTaps;
  std::vector<float> u(kProducts * size);
  for (int i = 0; i < O * C * kTaps; ++i) multiply(kG, w + i * kTaps, 1, &u[i], size);
  return u;
}

// Transforms 8 inputs for every 4 outputs of a row: v[product][c][row][tile of 4 outputs].
static void transform_inputs(int C, int H, int W, int tiles, int size, const Vec* x, Vec* v) {
  for (int i = 0; i < C * H; ++i)
    for (int j = 0; j < tiles; ++j) {
      Vec d[kInputs];
      for (int k = 0; k < kInputs; ++k) d[k] = kOutputs * j + k < W ? x[i * W + kOutputs * j + k] : Vec{};
      multiply(kB, d, 1, v + i * tiles + j, size);
    }
}

// Transforms products to the outputs of a tile, of which `columns` exist.
static void transform_products(int columns, const Vec* m, int stride, float bias, Vec* y) {
  Vec outputs[kOutputs];
  multiply(kTransposedA, m, stride, outputs, 1);
  for (int k = 0; k < std::min(kOutputs, columns); ++k) y[k] = outputs[k] + bias;
}

// Computes one of the products for kFilters x kPixels tiles: the sum over all offsets.
static void tile(const std::vector<int>& offsets, const float* u, const Vec* v, Vec* m) {
  Vec sum[kFilters][kPixels] = {};
  for (size_t t = 0; t < offsets.size(); ++t) {
    UNROLL
    for (int p = 0; p < kPixels; ++p) {
      UNROLL
      for (int f = 0; f < kFilters; ++f) sum[f][p] += u[f * offsets.size() + t] * v[offsets[t] + p];
    }
  }
  UNROLL
  for (int f = 0; f < kFilters; ++f) {
    UNROLL
    for (int p = 0; p < kPixels; ++p) m[f * kPixels + p] = sum[f][p];
  }
}

// Computes all outputs of kLanes images.
static void group(int C, int H, int W, int O, const std::vector<float>& u, const float* bias, const Vec* x,
                  Vec* y) {
  const int OH = H - kTaps + 1, OW = W - kTaps + 1, tiles = (OW + kOutputs - 1) / kOutputs;
  const int size_u = int(u.size()) / kProducts, size_v = C * H * tiles;
  std::vector<Vec> v(kProducts * size_v + kPixels);
  transform_inputs(C, H, W, tiles, size_v, x, v.data());
  std::vector<int> offsets;
  for (int c = 0; c < C; ++c)
    for (int r = 0; r < kTaps; ++r) offsets.push_back((c * H + r) * tiles);
  for (int p = 0; p < OH * tiles; p += kPixels)
    for (int o = 0; o < O; o += kFilters) {
      Vec m[kProducts][kFilters * kPixels];
      for (int t = 0; t < kProducts; ++t)
        tile(offsets, u.data() + t * size_u + o * offsets.size(), v.data() + t * size_v + p, m[t]);
      for (int f = 0; f < std::min(kFilters, O - o); ++f)
        for (int q = p; q < std::min(p + kPixels, OH * tiles); ++q) {
          const int i = q / tiles, j = q % tiles * kOutputs;
          transform_products(OW - j, &m[0][f * kPixels + q - p], kFilters * kPixels, bias[o + f],
                             y + ((o + f) * OH + i) * OW + j);
        }
    }
}

extern "C" void conv2d(int N, int C, int H, int W, int O, const float* x, const float* w, const float* bias,
                       float* y) {
  const int inputs = C * H * W, outputs = O * (H - kTaps + 1) * (W - kTaps + 1);
  const std::vector<float> u = transform_weights(C, O, w);
  std::vector<Vec> lanes_x(inputs), lanes_y(outputs);
  for (int b = 0; b < N; b += kLanes) {
    to_lanes(std::min(N - b, kLanes), inputs, x + b * inputs, lanes_x.data());
    group(C, H, W, O, u, bias, lanes_x.data(), lanes_y.data());
    from_lanes(std::min(N - b, kLanes), outputs, lanes_y.data(), y + b * outputs);
  }
}
