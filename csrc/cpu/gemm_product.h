// The parts that a matrix product is made of.
#pragma once

#include "cpu/kernel_table.h"
#include "cpu/runtime/blocking.h"
#include "ops/gemm.h"

namespace byhand::cpu {

// out = f(alpha * A B + beta * C). Columns of C and of out are adjacent; a row stride of 0 repeats one row of
// C, which is a bias. C is a valid pointer where beta == 0, too.
struct Product {
  float alpha;
  ops::Matrix a, b;
  float beta;
  const float* c;
  int64_t c_row_stride;
  float* out;
  int64_t out_row_stride;
  ActivationKernels::Forward activation = nullptr;  // f, applied to rows as soon as they are complete
  bool b_is_updated = false;  // B is written by all threads between calls, as weights are

  int64_t rows() const { return a.rows; }
  int64_t columns() const { return b.columns; }
  int64_t depth() const { return a.columns; }
  double ns() const { return fma_ns(multiply_adds(a, b)); }  // on one thread
};

// The blocks that a product is cut into, and what is done for the caches.
struct Blocking {
  int64_t rows;     // of the highest tile
  int64_t depth;    // of a step
  int64_t columns;  // of a block
  bool prefetch;
  bool pack;  // A where that pays; B is packed where its columns are not adjacent, and only there
};
Blocking blocking_for(const GemmKernels&);

// Vectors along the columns of C, for any shape and any strides; without packing, columns of B are adjacent.
void multiply_by_tiles(const Product&, const Blocking&);
// Vectors along the depth: each value of C is the dot product of a row of A and a column of B.
void multiply_by_dots(const Product&);
// Whichever is faster, on one thread.
void multiply(const Product&);
// The same on all threads.
void multiply_on_all_threads(const Product&);
// Whether that adds up sums of parts of the depth, because C has nothing to share.
bool summed_in_chunks(const Product&);

// C cut into parts for so many threads, each a product of its own. All bits are those of the whole.
class Parts {
 public:
  struct Cut {
    int64_t rows, columns;  // how many parts of either
  };
  Parts(const Product&, int threads);
  int64_t count() const { return cut_.rows * cut_.columns; }
  double ns() const { return g_.ns() / static_cast<double>(count()); }  // of one
  Range rows(int64_t i) const { return split(g_.rows(), cut_.rows, i / cut_.columns); }
  Range columns(int64_t i) const;
  Product operator[](int64_t i) const;
  // A part, whose A may be a copy.
  void multiply(const Product& part) const;

 private:
  const Product g_;
  Cut cut_;
  const bool dots_;  // of the whole: the parts depend on the threads
};

// f of complete rows of out, from `out` on.
void activate(const Product&, float* out, int64_t rows, int64_t columns);

ops::Matrix rows_of(const ops::Matrix&, Range rows);
ops::Matrix columns_of(const ops::Matrix&, Range columns);

// Row i, column p of `m` to where GemmKernels::pack_rows puts it. `to` has room for a vector more.
void pack(const GemmKernels&, const ops::Matrix& m, float* to, int64_t width);

}  // namespace byhand::cpu
