// For comparison: every window is copied to a column of a matrix, and w is multiplied by the matrix.
//
// x is N x C x H x W, w is O x C x 5 x 5 and y is N x O x (H - 4) x (W - 4).
#include "ladder/gemm/09_edges.cc"

constexpr int kTaps = 5;

// Copies the windows of one image to a matrix of C 5 5 rows, one for each channel and tap, and OH OW columns.
static void im2col(int C, int H, int W, const float* x, float* matrix) {
  const int OH = H - kTaps + 1, OW = W - kTaps + 1;
  for (int c = 0; c < C; ++c)
    for (int u = 0; u < kTaps; ++u)
      for (int v = 0; v < kTaps; ++v)
        for (int i = 0; i < OH; ++i)
          for (int j = 0; j < OW; ++j) *matrix++ = x[(c * H + i + u) * W + j + v];
}

extern "C" void conv2d(int N, int C, int H, int W, int O, const float* x, const float* w, const float* bias,
                       float* y) {
  const int OH = H - kTaps + 1, OW = W - kTaps + 1, depth = C * kTaps * kTaps;
  std::vector<float> matrix(depth * OH * OW);
  for (int b = 0; b < N; ++b) {
    float* const image = y + b * O * OH * OW;
    im2col(C, H, W, x + b * C * H * W, matrix.data());
    gemm(O, OH * OW, depth, w, matrix.data(), image);
    for (int o = 0; o < O; ++o)
      for (int i = 0; i < OH * OW; ++i) image[o * OH * OW + i] += bias[o];
  }
}
