// The loop over columns is innermost, so b and c are read along their rows, and the compiler uses vectors.
//
// a is m x k, b is k x n and c = a b is m x n. All three are stored row by row.
extern "C" void gemm(int m, int n, int k, const float* a, const float* b, float* c) {
  for (int i = 0; i < m; ++i) {
    for (int j = 0; j < n; ++j) c[i * n + j] = 0;
    for (int p = 0; p < k; ++p)
      for (int j = 0; j < n; ++j) c[i * n + j] += a[i * k + p] * b[p * n + j];
  }
}
