#include "cpu/gemm_ladder.h"

#include <algorithm>

#include "core/check.h"
#include "cpu/gemm_product.h"
#include "cpu/runtime/registry.h"

namespace byhand::cpu {

using ops::Matrix;

namespace {

constexpr int64_t kWhole = int64_t{1} << 40;  // no block is that long

Product product(const Matrix& a, const Matrix& b, float* out) {
  return {1, a, b, 0, out, b.columns, out, b.columns};
}

// Each value of C is summed up by itself: B is read down its columns, a line of the cache for each value.
void three_loops(const Matrix& a, const Matrix& b, float* out) {
  for (int64_t i = 0; i < a.rows; ++i)
    for (int64_t j = 0; j < b.columns; ++j) {
      float sum = 0;
      for (int64_t p = 0; p < a.columns; ++p)
        sum += a.data[i * a.row_stride + p * a.column_stride] * b.data[p * b.row_stride + j];
      out[i * b.columns + j] = sum;
    }
}

// The loop over the columns is the inner one: B and C are read row by row, and the compiler can use vectors.
void rows_of_b(const Matrix& a, const Matrix& b, float* out) {
  std::fill_n(out, a.rows * b.columns, 0.0f);
  for (int64_t i = 0; i < a.rows; ++i)
    for (int64_t p = 0; p < a.columns; ++p) {
      const float value = a.data[i * a.row_stride + p * a.column_stride];
      for (int64_t j = 0; j < b.columns; ++j) out[i * b.columns + j] += value * b.data[p * b.row_stride + j];
    }
}

// Sums of one row stay in registers, as vectors of the instruction set.
void one_row(const Matrix& a, const Matrix& b, float* out) {
  multiply_by_tiles(product(a, b, out), {1, kWhole, kWhole, false, false});
}

// Rows are taken together until the registers are full: each loaded value of B serves them all.
void register_tile(const Matrix& a, const Matrix& b, float* out) {
  multiply_by_tiles(product(a, b, out), {kernels().gemm.rows, kWhole, kWhole, false, false});
}

// The depth in steps: a tile's rows of A stay in L1.
void blocks(const Matrix& a, const Matrix& b, float* out) {
  Blocking blocking = blocking_for(kernels().gemm);
  blocking.prefetch = blocking.pack = false;
  multiply_by_tiles(product(a, b, out), blocking);
}

// While a tile is multiplied, the cache fetches what the tiles after it will read.
void prefetched(const Matrix& a, const Matrix& b, float* out) {
  Blocking blocking = blocking_for(kernels().gemm);
  blocking.pack = false;
  multiply_by_tiles(product(a, b, out), blocking);
}

// A is copied into the order in which it is read, where its rows would evict each other.
void packed(const Matrix& a, const Matrix& b, float* out) {
  multiply_by_tiles(product(a, b, out), blocking_for(kernels().gemm));
}

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
