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

// Calls body(first, count) for groups of rows that a kernel takes together. Long rows form smaller groups, so
// that several threads get work if there are few rows.
template <class Body>
void for_row_groups(int64_t rows, int64_t classes, const Body& body) {
  const int64_t group = std::clamp<int64_t>(2048 / std::max<int64_t>(classes, 1), 1, kSoftmaxRows);
  parallel_ranges(ceil_div(rows, group), row_ns(classes) * static_cast<double>(group),
                  [=, &body](int64_t begin, int64_t end) {
                    for (int64_t i = begin * group; i < std::min(end * group, rows); i += group)
                      body(i, static_cast<int>(std::min(group, rows - i)));
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
  for_row_groups(rows, classes, [=, &k, &labels](int64_t first, int count) {
    const int64_t at = first * classes;
    RowTarget targets[kSoftmaxRows];
    for (int i = 0; i < count; ++i) targets[i] = row_target(labels, first + i, classes);
    k.cross_entropies(x + at, count, classes, targets, losses + first, probabilities + at);
  });
}

}  // namespace

void softmax(const float* x, int64_t rows, int64_t classes, float* y) {
  const auto kernel = kernels<SoftmaxKernels>().softmax;
  parallel_ranges(rows, row_ns(classes), [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) kernel(x + i * classes, classes, y + i * classes);
  });
}

void log_softmax(const float* x, int64_t rows, int64_t classes, float* y) {
  const auto kernel = kernels<SoftmaxKernels>().log_softmaxes;
  for_row_groups(rows, classes, [=](int64_t first, int count) {
    kernel(x + first * classes, count, classes, y + first * classes);
  });
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
