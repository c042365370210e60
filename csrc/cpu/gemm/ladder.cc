#include "cpu/gemm/ladder.h"

#include <algorithm>

#include "core/check.h"
#include "cpu/gemm/product.h"
#include "cpu/kernels/gemm.h"
#include "cpu/runtime/registry.h"

namespace byhand::cpu {

using ops::Matrix;

namespace {

constexpr int64_t kWhole = int64_t{1} << 40;  // longer than any depth or row, so nothing is cut

Product product(const Matrix& a, const Matrix& b, float* out) {
  return {1, a, b, 0, out, b.columns, out, b.columns};
}

// Computes the values of C one after another. B is read down its columns, so each value comes from another
// cache line.
void three_loops(const Matrix& a, const Matrix& b, float* out) {
  for (int64_t i = 0; i < a.rows; ++i)
    for (int64_t j = 0; j < b.columns; ++j) {
      float sum = 0;
      for (int64_t p = 0; p < a.columns; ++p)
        sum += a.data[i * a.row_stride + p * a.column_stride] * b.data[p * b.row_stride + j];
      out[i * b.columns + j] = sum;
    }
}

// The loop over the columns is innermost. B and C are read row by row, and the compiler can use vectors.
void rows_of_b(const Matrix& a, const Matrix& b, float* out) {
  std::fill_n(out, a.rows * b.columns, 0.0f);
  for (int64_t i = 0; i < a.rows; ++i)
    for (int64_t p = 0; p < a.columns; ++p) {
      const float value = a.data[i * a.row_stride + p * a.column_stride];
      for (int64_t j = 0; j < b.columns; ++j) out[i * b.columns + j] += value * b.data[p * b.row_stride + j];
    }
}

// A tile has one row. Its sums stay in vector registers.
void one_row(const Matrix& a, const Matrix& b, float* out) {
  multiply_by_tiles(product(a, b, out), {1, kWhole, kWhole, false, false});
}

// A tile has as many rows as the registers hold, so each loaded value of B serves all of them.
void register_tile(const Matrix& a, const Matrix& b, float* out) {
  multiply_by_tiles(product(a, b, out), {kernels<GemmKernels>().rows, kWhole, kWhole, false, false});
}

// The depth is cut into steps, so that a tile's rows of A stay in L1. The columns are cut into blocks, so
// that a block's part of B stays in L2 and L3.
void blocks(const Matrix& a, const Matrix& b, float* out) {
  Blocking blocking = blocking_for(kernels<GemmKernels>());
  blocking.prefetch = blocking.pack = false;
  multiply_by_tiles(product(a, b, out), blocking);
}

// While one tile is multiplied, the values that the next tiles will read are fetched into the cache.
void prefetched(const Matrix& a, const Matrix& b, float* out) {
  Blocking blocking = blocking_for(kernels<GemmKernels>());
  blocking.pack = false;
  multiply_by_tiles(product(a, b, out), blocking);
}

// If the rows of A would evict each other from L1, A is copied into the order in which the tiles read it.
void packed(const Matrix& a, const Matrix& b, float* out) {
  multiply_by_tiles(product(a, b, out), blocking_for(kernels<GemmKernels>()));
}

// The whole of gemm().
void all_threads(const Matrix& a, const Matrix& b, float* out) {
  multiply_on_all_threads(product(a, b, out));
}

struct Step {
  const char* name;
  void (*multiply)(const Matrix&, const Matrix&, float*);
};
constexpr Step kSteps[] = {
    {"three loops", three_loops},
    {"rows of B inside", rows_of_b},
    {"vectors in registers", one_row},
    {"register tile", register_tile},
    {"steps of the depth", blocks},
    {"prefetching", prefetched},
    {"packing", packed},
    {"threads", all_threads},
};

}  // namespace

std::vector<std::string> ladder_steps() {
  std::vector<std::string> names;
  for (const Step& step : kSteps) names.emplace_back(step.name);
  return names;
}

void ladder_multiply(const std::string& step, const Matrix& a, const Matrix& b, float* out) {
  for (const Step& s : kSteps)
    if (s.name == step) return s.multiply(a, b, out);
  fail("step must be one of ladder_steps(), got \"", step, "\"");
}

}  // namespace byhand::cpu
