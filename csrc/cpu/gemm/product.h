// A matrix product, and the parts that compute it.
#pragma once

#include "cpu/kernels/activation.h"
#include "cpu/kernels/gemm.h"
#include "cpu/runtime/blocking.h"
#include "ops/gemm.h"

namespace byhand::cpu {

// out = f(alpha * A B + beta * C). Columns of C and of out are adjacent in memory. A row stride of 0 repeats
// one row of C, which is then a bias. C is a valid pointer even if beta == 0.
struct Product {
  float alpha;
  ops::Matrix a, b;
  float beta;
  const float* c;
  int64_t c_row_stride;
  float* out;
  int64_t out_row_stride;
  ActivationKernels::Forward activation = nullptr;  // f, applied to rows as soon as they are complete
  bool b_is_updated = false;  // all threads write to B between calls, as to weights in training

  int64_t rows() const { return a.rows; }
  int64_t columns() const { return b.columns; }
  int64_t depth() const { return a.columns; }
  double ns() const { return fma_ns(multiply_adds(a, b)); }  // on one thread
};

// How a product is cut into blocks, and what is done for the caches.
struct Blocking {
  int64_t rows;     // of the highest tile
  int64_t depth;    // of a step
  int64_t columns;  // of a block
  bool prefetch;
  bool pack;  // A, if packing pays; B is packed if, and only if, its columns are not adjacent in memory
};
Blocking blocking_for(const GemmKernels&);

// Transposing a value of B for the tiles takes as long as this number of multiply-adds, as measured.
inline constexpr double kTileTransposeCost = 8;

// Vectors along the columns of C, for any shape and any strides. Without packing, columns of B are adjacent.
void multiply_by_tiles(const Product&, const Blocking&);
// Vectors along the depth: each value of C is the dot product of a row of A and a column of B.
void multiply_by_dots(const Product&);

// Returns whether dots are faster than tiles on one thread.
bool better_by_dots(const Product&);
// By dots or by tiles, on one thread.
void multiply(const Product&, bool by_dots);
// By the faster of the two, on one thread.
void multiply(const Product&);
// The same on all threads.
void multiply_on_all_threads(const Product&);
// Returns whether multiply_on_all_threads cuts the depth into chunks and adds up their sums, because C is too
// small to share.
bool summed_in_chunks(const Product&);

// C cut into parts for a number of threads. Each part is a product of its own, and has the bits of the whole.
class Parts {
 public:
  struct Cut {
    int64_t rows, columns;  // the number of parts in both directions
  };
  Parts(const Product&, int threads);
  int64_t count() const { return cut_.rows * cut_.columns; }
  double ns() const { return g_.ns() / static_cast<double>(count()); }  // of one
  Range rows(int64_t i) const { return split(g_.rows(), cut_.rows, i / cut_.columns); }
  Range columns(int64_t i) const;
  Product operator[](int64_t i) const;
  // Multiplies a part, whose A may be a copy.
  void multiply(const Product& part) const { cpu::multiply(part, by_dots_); }

 private:
  const Product g_;
  Cut cut_;
  const bool by_dots_;  // chosen for the whole product, because the parts depend on the threads
};

// Applies f to complete rows of out, beginning at `out`.
void activate(const Product&, float* out, int64_t rows, int64_t columns);

ops::Matrix rows_of(const ops::Matrix&, Range rows);
ops::Matrix columns_of(const ops::Matrix&, Range columns);

// Copies row i, column p of `m` to where GemmKernels::pack_rows puts it. `to` needs room for one more vector.
void pack(const GemmKernels&, const ops::Matrix& m, float* to, int64_t width);

}  // namespace byhand::cpu
