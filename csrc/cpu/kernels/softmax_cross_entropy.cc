// Softmax and cross entropy of one row.
#include "cpu/kernels/fill.h"
#include "cpu/vec/loop.h"
#include "cpu/vec/math.h"

namespace byhand::cpu::BYHAND_ISA {
namespace {

constexpr float kInfinity = __builtin_inff();

// The largest value, NaN left out; -inf of none.
Vec row_max(const float* x, int64_t classes) {
  const Vec lowest = Vec::set(-kInfinity);
  Vec best = lowest;
  for_vectors(classes, [=, &best](int64_t i, auto n) {
    best = max(fill_rest(load(x + i, n), n, lowest), best);  // in this order NaN in x leaves `best`
  });
  return Vec::set(max_lane(best));
}

// exp(x - top), and 0 in the lanes that n leaves out. They compute exp(0) before: a result below the normal
// numbers would take a CPU many times as long.
template <class N>
Vec exp_below(const float* x, N n, Vec top) {
  return fill_rest(exp_nonpositive(fill_rest(load(x, n), n, top) - top), n, Vec::zero());
}

// exp(x - top) into y where y is given, and their sum. A NaN in the row, and top - top = NaN for an infinite
// top, reach every later result through the sum.
Vec exp_row(const float* x, int64_t classes, Vec top, float* y) {
  Vec total = Vec::zero();
  for_vectors(classes, [=, &total](int64_t i, auto n) {
    const Vec e = exp_below(x + i, n, top);
    if (y) store(e, y + i, n);
    total = total + e;
  });
  return Vec::set(sum(total));
}

// exp(x - top) / sum into y; returns the sum. What fits a vector stays in it: a load waits long for the
// masked store that it follows.
Vec softmax_row(const float* x, int64_t classes, Vec top, float* y) {
  if (classes <= Vec::kLanes) {
    const int n = static_cast<int>(classes);
    const Vec e = exp_below(x, n, top), total = Vec::set(sum(e));
    store(e / total, y, n);
    return total;
  }
  const Vec total = exp_row(x, classes, top, y);
  for_vectors(classes, [=](int64_t i, auto n) { store(load(y + i, n) / total, y + i, n); });
  return total;
}

void softmax(const float* x, int64_t classes, float* y) { softmax_row(x, classes, row_max(x, classes), y); }

void log_softmax(const float* x, int64_t classes, float* y) {
  const Vec top = row_max(x, classes), log_sum = log(exp_row(x, classes, top, nullptr));
  for_vectors(classes, [=](int64_t i, auto n) { store(load(x + i, n) - top - log_sum, y + i, n); });
}

float first_lane(Vec v) {
  float lane[Vec::kLanes];
  v.store(lane);
  return lane[0];
}

// With d = x - top: -sum_j t_j log p_j = sum_j t_j (log_sum - d_j).
float integer_loss(const float* x, int64_t classes, const RowTarget& target, Vec top, Vec log_sum) {
  const float keep = 1 - target.smoothing, log_total = first_lane(log_sum);
  float loss = 0;
  if (keep != 0) loss = keep * (log_total - (x[target.label] - first_lane(top)));
  if (target.smoothing == 0) return loss;
  Vec d = Vec::zero();
  for_vectors(classes, [=, &d](int64_t i, auto n) { d = d + (fill_rest(load(x + i, n), n, top) - top); });
  return loss + target.smoothing * (log_total - sum(d) / static_cast<float>(classes));
}

// The targets of a row from its label probabilities; 0 in the lanes that n leaves out.
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

float soft_loss(const float* x, int64_t classes, const RowTarget& target, Vec top, Vec log_sum) {
  const SoftTargets targets(target, classes);
  Vec loss = Vec::zero();
  for_vectors(classes, [=, &loss](int64_t i, auto n) {
    const Vec t = targets.load_row(target.probabilities + i, n), zero = Vec::zero();
    // For t = 0 not 0 * inf, but 0; and NaN still where log_sum is NaN.
    const Vec cost = select((t < zero) | (t > zero), log_sum - (load(x + i, n) - top), log_sum);
    loss = fma(t, cost, loss);
  });
  return sum(loss);
}

float cross_entropy(const float* x, int64_t classes, const RowTarget& target, float* probabilities) {
  const Vec top = row_max(x, classes), total = softmax_row(x, classes, top, probabilities);
  return (target.probabilities ? soft_loss : integer_loss)(x, classes, target, top, log(total));
}

void cross_entropy_backward(const float* probabilities, int64_t classes, const RowTarget& target, float scale,
                            float* dx) {
  const Vec factor = Vec::set(scale);
  if (target.probabilities) {
    const SoftTargets targets(target, classes);
    Vec total = Vec::zero();
    for_vectors(classes, [=, &total](int64_t i, auto n) {
      total = total + targets.load_row(target.probabilities + i, n);
    });
    const Vec weight = Vec::set(sum(total));
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

void fill_softmax(SoftmaxKernels& k) {
  k.softmax = softmax;
  k.log_softmax = log_softmax;
  k.cross_entropy = cross_entropy;
  k.cross_entropy_backward = cross_entropy_backward;
}

}  // namespace byhand::cpu::BYHAND_ISA
