// Softmax of one row, and log softmax and cross entropy of a few rows together.
#include "cpu/kernels/softmax_cross_entropy.h"
#include "cpu/vec/loop.h"
#include "cpu/vec/math.h"

namespace byhand::cpu::BYHAND_ISA {
namespace {

constexpr float kInfinity = __builtin_inff();

// Returns the largest value that is not NaN, or -inf if there is none.
float row_max(const float* x, int64_t classes) {
  const Vec lowest = Vec::set(-kInfinity);
  Vec best = lowest;
  for_vectors(classes, [=, &best](int64_t i, auto n) {
    best = max(fill_rest(load(x + i, n), n, lowest), best);  // max returns `best` if x is NaN
  });
  return max_lane(best);
}

// Returns exp(x - top) in the first n lanes, and 0 in the others. Before the other lanes are set to 0, they
// compute exp(0). Without this, their results could be subnormal numbers, which make an instruction many
// times slower on some CPUs.
template <class N>
Vec exp_minus_top(const float* x, N n, Vec top) {
  return fill_rest(exp_nonpositive(fill_rest(load(x, n), n, top) - top), n, Vec::zero());
}

// Returns the sum of term(i, n) over all vectors of a row. Chunks of 256 values are summed in float32, and
// the sums of the chunks are added in double precision. The error of a single float32 sum would grow with the
// length of the row: for a million equal terms, the relative error is 1e-3.
//
// `term` is a reference, because the compiler copies a lambda that it passes by value with loads of whole
// vectors. They wait for the stores of its parts, which takes longer than all else in a short row.
template <class Term>
float sum_of_row(int64_t classes, const Term& term) {
  constexpr int64_t kChunk = 256;
  double all = 0;
  for (int64_t begin = 0; begin < classes; begin += kChunk) {
    Vec total = Vec::zero();
    for_vectors(classes - begin < kChunk ? classes - begin : kChunk,
                [&](int64_t i, auto n) { total = total + term(begin + i, n); });
    all += sum(total);
  }
  return static_cast<float>(all);
}

// Returns the sum of exp(x - top), and writes exp(x - top) to y unless y is null. The sum is NaN if the row
// contains a NaN, or if top is infinite (because top - top is then NaN). Every result that is computed with
// the sum is then NaN, too.
float exp_row(const float* x, int64_t classes, Vec top, float* y) {
  return sum_of_row(classes, [=](int64_t i, auto n) {
    const Vec e = exp_minus_top(x + i, n, top);
    if (y) store(e, y + i, n);
    return e;
  });
}

// Writes softmax(x) = exp(x - top) / sum to y and returns the sum, where sum = sum_j exp(x_j - top). A row
// that fits into one vector stays in a register, because a load of values that a masked store has just
// written is slow.
float softmax_row(const float* x, int64_t classes, float top, float* y) {
  if (classes <= Vec::kLanes) {
    const int n = static_cast<int>(classes);
    const Vec e = exp_minus_top(x, n, Vec::set(top));
    const float total = sum(e);
    store(e / Vec::set(total), y, n);
    return total;
  }
  const float total = exp_row(x, classes, Vec::set(top), y);
  const Vec divisor = Vec::set(total);
  for_vectors(classes, [=](int64_t i, auto n) { store(load(y + i, n) / divisor, y + i, n); });
  return total;
}

void softmax(const float* x, int64_t classes, float* y) { softmax_row(x, classes, row_max(x, classes), y); }

// Replaces the values by their logarithms. The sums of several rows are passed together, because a logarithm
// of one value takes as long as one of a vector, and longer than the softmax of a short row.
void take_logs(float* values, int rows) {
  for_vectors(rows, [=](int64_t i, auto n) {
    store(log(fill_rest(load(values + i, n), n, Vec::set(1))), values + i, n);
  });
}

void log_softmaxes(const float* x, int rows, int64_t classes, float* y) {
  float top[kSoftmaxRows], log_sum[kSoftmaxRows];
  for (int r = 0; r < rows; ++r) {
    top[r] = row_max(x + r * classes, classes);
    log_sum[r] = exp_row(x + r * classes, classes, Vec::set(top[r]), nullptr);
  }
  take_logs(log_sum, rows);
  for (int r = 0; r < rows; ++r, x += classes, y += classes) {
    const Vec tops = Vec::set(top[r]), log_sums = Vec::set(log_sum[r]);
    for_vectors(classes, [=](int64_t i, auto n) { store(load(x + i, n) - tops - log_sums, y + i, n); });
  }
}

// Returns the loss -sum_j t_j log p_j = sum_j t_j (log_sum - d_j) of a row with an integer label. t are the
// targets, d = x - top, and log_sum = log(sum_j exp(d_j)).
float integer_loss(const float* x, int64_t classes, const RowTarget& target, float top, float log_sum) {
  const float keep = 1 - target.smoothing;
  float loss = 0;
  if (keep != 0) loss = keep * (log_sum - (x[target.label] - top));
  if (target.smoothing == 0) return loss;
  const Vec top_vector = Vec::set(top);
  const float d = sum_of_row(
      classes, [=](int64_t i, auto n) { return fill_rest(load(x + i, n), n, top_vector) - top_vector; });
  return loss + target.smoothing * (log_sum - d / static_cast<float>(classes));
}

// Computes the targets of a row whose label is an array of probabilities. Lanes from n on are 0.
struct SoftTargets {
  Vec keep, share;

  SoftTargets(const RowTarget& target, int64_t classes)
      : keep(Vec::set(1 - target.smoothing)),
        share(Vec::set(target.smoothing / static_cast<float>(classes))) {}
  template <class N>
  Vec load_row(const float* p, N n) const {
    return fill_rest(fma(keep, load(p, n), share), n, Vec::zero());
  }
};

// Returns the loss of a row whose label is an array of probabilities, by the formula of integer_loss.
float soft_loss(const float* x, int64_t classes, const RowTarget& target, Vec top, Vec log_sum) {
  const SoftTargets targets(target, classes);
  return sum_of_row(classes, [=](int64_t i, auto n) {
    const Vec t = targets.load_row(target.probabilities + i, n), zero = Vec::zero();
    // If t is 0, the term must be 0 even if x is -inf, but 0 * inf is NaN. So if t is 0, x is left out, and
    // the term is t * log_sum: 0, or NaN if log_sum is NaN.
    return t * select((t < zero) | (t > zero), log_sum - (load(x + i, n) - top), log_sum);
  });
}

void cross_entropies(const float* x, int rows, int64_t classes, const RowTarget* targets, float* losses,
                     float* probabilities) {
  float top[kSoftmaxRows], log_sum[kSoftmaxRows];
  for (int r = 0; r < rows; ++r) {
    top[r] = row_max(x + r * classes, classes);
    log_sum[r] = softmax_row(x + r * classes, classes, top[r], probabilities + r * classes);
  }
  take_logs(log_sum, rows);
  for (int r = 0; r < rows; ++r) {
    const float* const row = x + r * classes;
    if (targets[r].probabilities)
      losses[r] = soft_loss(row, classes, targets[r], Vec::set(top[r]), Vec::set(log_sum[r]));
    else if (targets[r].label == kIgnoredRow)
      losses[r] = 0;
    else
      losses[r] = integer_loss(row, classes, targets[r], top[r], log_sum[r]);
  }
}

void cross_entropy_backward(const float* probabilities, int64_t classes, const RowTarget& target, float scale,
                            float* dx) {
  const Vec factor = Vec::set(scale);
  if (target.probabilities) {
    const SoftTargets targets(target, classes);
    const Vec weight = Vec::set(sum_of_row(
        classes, [=](int64_t i, auto n) { return targets.load_row(target.probabilities + i, n); }));
    for_vectors(classes, [=](int64_t i, auto n) {
      const Vec t = targets.load_row(target.probabilities + i, n);
      store((load(probabilities + i, n) * weight - t) * factor, dx + i, n);
    });
    return;
  }
  const float share = target.smoothing / static_cast<float>(classes);
  for_vectors(classes, [=](int64_t i, auto n) {
    store((load(probabilities + i, n) - Vec::set(share)) * factor, dx + i, n);
  });
  dx[target.label] = (probabilities[target.label] - (1 - target.smoothing + share)) * scale;
}

}  // namespace

void fill_softmax_cross_entropy(SoftmaxKernels& k) {
  k.softmax = softmax;
  k.log_softmaxes = log_softmaxes;
  k.cross_entropies = cross_entropies;
  k.cross_entropy_backward = cross_entropy_backward;
}

}  // namespace byhand::cpu::BYHAND_ISA
