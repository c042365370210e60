// Each output is a sum over all channels and taps, computed by seven loops from the definition.
//
// x is N x C x H x W, w is O x C x 5 x 5 and y is N x O x (H - 4) x (W - 4).
constexpr int kTaps = 5;

extern "C" void conv2d(int N, int C, int H, int W, int O, const float* x, const float* w, const float* bias,
                       float* y) {
  const int OH = H - kTaps + 1, OW = W - kTaps + 1;
  for (int b = 0; b < N; ++b)
    for (int o = 0; o < O; ++o)
      for (int i = 0; i < OH; ++i)
        for (int j = 0; j < OW; ++j) {
          float sum = bias[o];
          for (int c = 0; c < C; ++c)
            for (int u = 0; u < kTaps; ++u)
              for (int v = 0; v < kTaps; ++v)
                sum += w[((o * C + c) * kTaps + u) * kTaps + v] * x[((b * C + c) * H + i + u) * W + j + v];
          y[((b * O + o) * OH + i) * OW + j] = sum;
        }
}
