// Counts the rows whose largest score is at their label.
#include "cpu/kernels/count_correct.h"
#include "cpu/vec/loop.h"

namespace byhand::cpu::BYHAND_ISA {
namespace {

// Returns true if every score before that of the label is smaller, no score after it is larger, and no score
// is NaN. Before the label, the comparison x < own is false if x is NaN. From the label on, is_nan(x) finds a
// NaN.
bool is_correct(const float* scores, int64_t label, int64_t classes) {
  const Vec own = Vec::set(scores[label]), one = Vec::set(1);
  Vec better = Vec::zero();
  for_vectors(label, [=, &better](int64_t i, auto n) {
    better = max(better, fill_rest(select(load(scores + i, n) < own, Vec::zero(), one), n, Vec::zero()));
  });
  for_vectors(classes - label, [=, &better](int64_t i, auto n) {
    const Vec x = load(scores + label + i, n);
    better = max(better, fill_rest(select((x > own) | is_nan(x), one, Vec::zero()), n, Vec::zero()));
  });
  return max_lane(better) == 0;
}

int64_t count_correct(const float* scores, const int64_t* labels, int64_t rows, int64_t classes) {
  int64_t correct = 0;
  for (int64_t i = 0; i < rows; ++i) correct += is_correct(scores + i * classes, labels[i], classes);
  return correct;
}

}  // namespace

void fill_count_correct(CountCorrectKernels& k) { k.count = count_correct; }

}  // namespace byhand::cpu::BYHAND_ISA
