// Winograd's algorithm along rows, for few input channels. m = 9 - r neighbouring outputs of a row take 8
// products for each row of r weights, instead of m * r.
//
// In the formulas, d is 8 neighbouring inputs of row y of a channel, g_i is row i of the r x r weights for
// this channel, a prime denotes the transpose, and B, G and A are the matrices of
// kernels/conv2d_winograd_matrices.py:
//
//   V_y = B d   U_i = G g_i   m outputs of row y = A' (sum over channels and i of U_i * V_(y+i))
//
// The algorithm in both axes (winograd.h) takes even fewer products, but it transforms 64 values per patch
// and channel. Here a lane is an image, or a band of its rows if there are few images. So a transform adds
// multiples of whole vectors, and no values move between lanes.
#pragma once

#include "core/scratch.h"
#include "core/shapes.h"
#include "cpu/runtime/blocking.h"
#include "ops/activation.h"

namespace byhand::cpu {

// Estimates the multiply-adds of `forward` for one image. A transform counts as the number of multiply-adds
// that take as long. Idle lanes count as much as the other lanes.
double winograd_rows_cost(const Conv2dShape& s);

// The distribution of the rows of outputs over lanes.
struct RowBands {
  explicit RowBands(const Conv2dShape& s);
  int64_t bands;   // the number of bands per image
  int64_t rows;    // the number of rows per band, which is even; the last band may have fewer
  int64_t groups;  // the number of groups of bands; a group has one band per lane
};

// The forward pass with transformed weights, for shapes that winograd_takes. It consists of tasks() tasks,
// which may run in any order and on any thread.
class WinogradRows {
 public:
  WinogradRows(const Conv2dShape& s, const float* weight, ScratchFrame& frame);

  int64_t tasks() const { return bands_.groups * parts_; }
  double ns() const;  // the approximate duration of a task

  void forward(int64_t task, const float* x, const float* bias, float* y) const;
  // Computes y = f(the maxima of 2 x 2 windows), and index, the positions of these maxima in their planes.
  void forward_pooled(int64_t task, ops::Activation f, const float* x, const float* bias, float* y,
                      int32_t* index) const;

 private:
  template <class Compute>
  void visit(int64_t task, const float* x, const float* bias, const Compute& compute) const;

  Conv2dShape shape_;
  RowBands bands_;
  int64_t parts_;  // the number of parts that the output channels are cut into
  const float* weights_;
};

}  // namespace byhand::cpu
