// Each value of c is a sum of k products, computed by three loops from the definition.
//
// a is m x k, b is k x n and c = a b is m x n. All three are stored row by row.
extern "C" void gemm(int m, int n, int k, const float* a, const float* b, float* c) {
  for (int i = 0; i < m; ++i)
    for (int j = 0; j < n; ++j) {
      float sum = 0;
      for (int p = 0; p < k; ++p) sum += a[i * k + p] * b[p * n + j];
      c[i * n + j] = sum;
    }
}
