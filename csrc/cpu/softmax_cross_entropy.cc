#include "ops/softmax_cross_entropy.h"

#include <algorithm>

#include "core/check.h"
#include "core/scratch.h"
#include "cpu/kernels/softmax_cross_entropy.h"
#include "cpu/runtime/parallel_ranges.h"
#include "cpu/runtime/registry.h"

namespace byhand::ops {

using namespace cpu;

namespace {

// Estimates the nanoseconds for one row: 30 ns of fixed cost, which dominates in short rows on fast
// instruction sets, and 2 ns per class, the time of an exponential on the slowest instruction set.
double row_ns(int64_t classes) { return 30 + 2 * static_cast<double>(classes); }
// The same for the backward pass: 5 ns, and the time to read one value and write another per class.
double backward_row_ns(int64_t classes) {
  return 5 + memory_ns(2 * sizeof(float)) * static_cast<double>(classes);
}

template <class Kernel>
void map_rows(Kernel kernel, const float* x, int64_t rows, int64_t classes, float* y) {
  parallel_ranges(rows, row_ns(classes), [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) kernel(x + i * classes, classes, y + i * classes);
  });
}

bool ignored(const Labels& labels, int64_t row) {
  return !labels.probabilities && labels.integer[row] == labels.ignore_index;
}

RowTarget row_target(const Labels& labels, int64_t row, int64_t classes) {
  if (labels.probabilities) return {0, labels.probabilities + row * classes, labels.smoothing};
  return {ignored(labels, row) ? kIgnoredRow : labels.integer[row], nullptr, labels.smoothing};
}

// Returns the number of rows that are not ignored. Throws if a label is out of range.
int64_t check_labels(const Labels& labels, int64_t rows, int64_t classes) {
  int64_t count = 0;
  for (int64_t i = 0; i < rows; ++i) {
    if (ignored(labels, i)) continue;
    ++count;
    if (labels.probabilities) continue;
    require(labels.integer[i] >= 0 && labels.integer[i] < classes, "labels[", i, "] must be from 0 to ",
            classes - 1, ", a class, or ignore_index ", labels.ignore_index, ", got ", labels.integer[i]);
  }
  return count;
}

// Writes the loss and the probabilities of each row. The labels must have been checked.
void losses_of_rows(const float* x, const Labels& labels, int64_t rows, int64_t classes, float* losses,
                    float* probabilities) {
  const SoftmaxKernels& k = kernels<SoftmaxKernels>();
  const double ns = row_ns(classes) * kLossRows;
  parallel_ranges(ceil_div(rows, kLossRows), ns, [=, &k, &labels](int64_t begin, int64_t end) {
    for (int64_t first = begin * kLossRows; first < std::min(end * kLossRows, rows); first += kLossRows) {
      const int64_t count = std::min<int64_t>(kLossRows, rows - first), at = first * classes;
      RowTarget targets[kLossRows];
      for (int64_t i = 0; i < count; ++i) targets[i] = row_target(labels, first + i, classes);
      k.cross_entropies(x + at, static_cast<int>(count), classes, targets, losses + first,
                        probabilities + at);
    }
  });
}

}  // namespace

void softmax(const float* x, int64_t rows, int64_t classes, float* y) {
  map_rows(kernels<SoftmaxKernels>().softmax, x, rows, classes, y);
}

void log_softmax(const float* x, int64_t rows, int64_t classes, float* y) {
  map_rows(kernels<SoftmaxKernels>().log_softmax, x, rows, classes, y);
}

void softmax_cross_entropies(const float* x, const Labels& labels, int64_t rows, int64_t classes,
                             float* losses, float* probabilities) {
  check_labels(labels, rows, classes);
  losses_of_rows(x, labels, rows, classes, losses, probabilities);
}

void softmax_cross_entropy(const float* x, const Labels& labels, int64_t rows, int64_t classes,
                           Reduction reduction, float* probabilities, float* loss) {
  const int64_t count = check_labels(labels, rows, classes);
  ScratchFrame frame;
  float* const losses = frame.allocate<float>(rows);
  losses_of_rows(x, labels, rows, classes, losses, probabilities);
  double total = 0;
  for (int64_t i = 0; i < rows; ++i) total += losses[i];
  *loss = static_cast<float>(reduction == Reduction::kMean ? total / static_cast<double>(count) : total);
}

void softmax_cross_entropy_backward(const float* probabilities, const Labels& labels, int64_t rows,
                                    int64_t classes, Reduction reduction, GradLoss grad_loss, float* dx) {
  const int64_t count = check_labels(labels, rows, classes);
  const double share = reduction == Reduction::kMean ? 1 / static_cast<double>(count) : 1;
  const float scale = static_cast<float>(share * grad_loss.value);
  const auto kernel = kernels<SoftmaxKernels>().cross_entropy_backward;
  parallel_ranges(rows, backward_row_ns(classes), [=, &labels](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      float* const row = dx + i * classes;
      if (ignored(labels, i))
        std::fill_n(row, classes, 0.0f);
      else
        kernel(probabilities + i * classes, classes, row_target(labels, i, classes),
               grad_loss.each ? scale * grad_loss.each[i] : scale, row);
    }
  });
}

}  // namespace byhand::ops
