// A matrix product, and the functions that compute it. The depth is the number of terms of each sum, the
// number of columns of A.
#pragma once

#include "cpu/kernels/activation.h"
#include "cpu/kernels/gemm.h"
#include "cpu/runtime/blocking.h"
#include "cpu/runtime/registry.h"
#include "ops/gemm.h"

namespace byhand::cpu {

// out = f(alpha * A B + beta * C). The rows of C and of out are contiguous. With c_row_stride == 0, C is one
// row that is added to every row of out, a bias. C is a valid pointer even if beta == 0.
struct Product {
  float alpha;
  ops::Matrix a, b;
  float beta;
  const float* c;
  int64_t c_row_stride;
  float* out;
  int64_t out_row_stride;
  ActivationKernels::Forward activation = nullptr;  // f, applied to values as soon as they are complete
  bool b_is_updated = false;  // true if B holds weights, to which all threads write in each training step

  int64_t rows() const { return a.rows; }
  int64_t columns() const { return b.columns; }
  int64_t depth() const { return a.columns; }
  double ns() const { return fma_ns(multiply_adds(a, b)); }  // on one thread
};

// The measured cost of transposing a value of B for the tiles, in multiply-adds.
inline constexpr double kTileTransposeCost = 8;

// Returns whether the tiles pack B: whether they read a copy of B in the order in which they need it. They
// must if its rows are not contiguous. Otherwise a copy pays if B is large and enough tiles of rows share it,
// because the pieces of B that a tile reads in place lie on many pages. If the rows lie a multiple of 2 KB
// apart, the pieces also evict each other from the caches, and two tiles of rows are enough. On an Intel
// Xeon, a copy doubles the speed of 1024 x 1024 x 1024 (section 7 of docs/gemm.md).
bool worth_packing_b(const ops::Matrix& b, int64_t row_tiles);

// Computes the product by tiles, with vectors along the columns of C, on one thread.
void multiply_by_tiles(const Product&);
// Computes the product by dot products of rows of A and columns of B, with vectors along the depth, on one
// thread.
void multiply_by_dots(const Product&);

// Returns whether dot products are faster than tiles on one thread.
bool better_by_dots(const Product&);
// Computes the product by dot products or by tiles, on one thread.
void multiply(const Product&, bool by_dots);
// Computes the product by the faster of the two methods, on one thread.
void multiply(const Product&);
// Computes the product on all threads.
void multiply_on_all_threads(const Product&);
// Returns whether multiply_on_all_threads cuts the depth into chunks and adds up their sums, because C is too
// small to share.
bool summed_in_chunks(const Product&);

// A product, with C cut into parts for a number of threads. Each part is a product of its own. The results
// have the same bits as those of the uncut product.
class Parts {
 public:
  struct Cut {
    int64_t rows, columns;  // the number of parts in each direction
  };
  Parts(const Product&, int threads);
  int64_t count() const { return cut_.rows * cut_.columns; }
  double ns() const { return g_.ns() / static_cast<double>(count()); }  // of one part, on one thread
  Range rows(int64_t i) const { return split(g_.rows(), cut_.rows, i / cut_.columns); }
  Range columns(int64_t i) const;
  Product operator[](int64_t i) const;
  // Multiplies a part. Its A may have been replaced by a copy.
  void multiply(const Product& part) const { cpu::multiply(part, by_dots_); }

 private:
  const Product g_;
  Cut cut_;
  // Chosen for the whole product, so that the method does not depend on the parts. Their number depends on
  // the number of threads.
  const bool by_dots_;
};

// Applies the product's activation to a block of `rows` x `columns` values whose sums are complete. `out`
// points to the first value of the block.
void activate(const Product&, float* out, int64_t rows, int64_t columns);

// Return some rows or some columns of a matrix, without copying them.
ops::Matrix rows_of(const ops::Matrix&, Range rows);
ops::Matrix columns_of(const ops::Matrix&, Range columns);

// Packs `m`, with any strides, as GemmKernels::pack_rows does. `to` needs room for one more vector.
void pack(const GemmKernels&, const ops::Matrix& m, float* to, int64_t width, int64_t panel);

}  // namespace byhand::cpu
