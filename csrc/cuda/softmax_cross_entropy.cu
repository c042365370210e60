// Softmax, log softmax and the cross-entropy of ops/softmax_cross_entropy.h.
//
// A team of threads works on one row (team.cuh):
//
//            classes
//          +-------------------------+
//   row 0  | t0 t1 ... t15           |  team 0       16 threads per row of up to 16 classes,
//   row 1  | t0 t1 ... t15           |  team 1       a warp per row of up to 4096,
//   row 2  | t0 t1 ... t15           |  team 2       a block of 1024 threads per longer row
//          +-------------------------+
//
// The forward kernels go over their row three times: for the maximum, for the sum of the exponentials, and
// for the results. They read x and compute the exponentials twice, which takes less traffic than to store the
// exponentials in y and to read them back: x is still in a cache if the row is not very long.
//
// The scalar loss takes two kernels: the first one writes the loss of each row, and in the second one, a
// single block adds them up. One block is enough, because there is only one loss per row: even 60,000 rows
// are less than 1 MB of losses and labels. The end of the first kernel orders the two, so they need neither
// fences nor atomic functions, and the sum has the same bits in every run.
#include <algorithm>
#include <cmath>

#include "cuda/launch.h"
#include "cuda/memory.h"
#include "cuda/ops.h"
#include "cuda/team.cuh"

namespace byhand::cuda {
namespace {

// Both pointers of the labels are null if they are probabilities of no classes, because the address of an
// empty array is null.
using ops::Labels;

// Returns the sum of term(j) over all j below `count`, to all threads of the team. A thread adds 32 terms in
// float32, and its sums of 32 terms in double precision: the error of a single float32 sum would grow with
// the length of the row. The sums of the threads, at most 1024, are added in float32.
template <int kTeam, class Term>
__device__ float sum_of_row(int64_t count, const Term& term) {
  double sum = 0;
  for (int64_t j = thread_of_team<kTeam>(); j < count;) {
    float chunk = 0;
    for (int i = 0; i < 32 && j < count; ++i, j += kTeam) chunk += term(j);
    sum += chunk;
  }
  return team_sum<kTeam>(static_cast<float>(sum));
}

// A row of x and what softmax needs to know about it. A NaN in the row is not the maximum, but it makes the
// sum NaN. So does an infinite maximum, because inf - inf is NaN. Every result that is computed with the sum
// is then NaN, too.
struct Row {
  const float* x;
  int64_t classes;  // 0 for a team that has no row
  float top;        // max x
  float sum;        // sum_k exp(x_k - top)

  template <int kTeam>
  __device__ static Row read(const float* x, int64_t row, int64_t rows, int64_t classes) {
    Row r{x + row * classes, row < rows ? classes : 0, -INFINITY, 0};
    for (int64_t j = thread_of_team<kTeam>(); j < r.classes; j += kTeam) r.top = fmaxf(r.top, r.x[j]);
    r.top = team_max<kTeam>(r.top);
    r.sum = sum_of_row<kTeam>(r.classes, [&](int64_t j) { return r.exponential(j); });
    return r;
  }

  __device__ float exponential(int64_t j) const { return expf(x[j] - top); }

  template <int kTeam>
  __device__ void write_softmax(float* y) const {
    for (int64_t j = thread_of_team<kTeam>(); j < classes; j += kTeam) y[j] = exponential(j) / sum;
  }
};

template <int kTeam>
__global__ void __launch_bounds__(kTeamThreads<kTeam>)
    softmax_kernel(const float* x, int64_t rows, int64_t classes, float* y) {
  const int64_t row = team_of_grid<kTeam>();
  Row::read<kTeam>(x, row, rows, classes).template write_softmax<kTeam>(y + row * classes);
}

template <int kTeam>
__global__ void __launch_bounds__(kTeamThreads<kTeam>)
    log_softmax_kernel(const float* x, int64_t rows, int64_t classes, float* y) {
  const int64_t row = team_of_grid<kTeam>();
  const Row r = Row::read<kTeam>(x, row, rows, classes);
  const float log_sum = logf(r.sum);
  for (int64_t j = thread_of_team<kTeam>(); j < r.classes; j += kTeam)
    y[row * classes + j] = r.x[j] - r.top - log_sum;
}

__device__ bool is_class(int64_t label, int64_t classes) { return label >= 0 && label < classes; }

__device__ float soft_target(const Labels& labels, int64_t classes, float probability) {
  return fmaf(1 - labels.smoothing, probability, labels.smoothing / static_cast<float>(classes));
}

// The loss sum_j t_j (log_sum - d_j) with d = x - top, if the label of the row is an array of probabilities.
// If t is 0, the term must be 0, even if x is -inf. Therefore the term is then t * log_sum, which is 0, or
// NaN if log_sum is.
template <int kTeam>
__device__ float soft_loss(const Row& r, const Labels& labels, const float* probabilities) {
  const float log_sum = logf(r.sum);
  return sum_of_row<kTeam>(r.classes, [&](int64_t j) {
    const float t = soft_target(labels, r.classes, probabilities[j]);
    return t * (t < 0 || t > 0 ? log_sum - (r.x[j] - r.top) : log_sum);
  });
}

// The same loss if the label is an integer. A row with a bad label has the loss NaN. All threads of a warp
// must take part in the sum over the row, so the label must not decide whether the sum is taken.
template <int kTeam>
__device__ float integer_loss(const Row& r, const Labels& labels, int64_t label) {
  const float log_sum = logf(r.sum), keep = 1 - labels.smoothing;
  float smooth = 0;
  if (labels.smoothing != 0) {
    const float d = sum_of_row<kTeam>(r.classes, [&](int64_t j) { return r.x[j] - r.top; });
    smooth = labels.smoothing * (log_sum - d / static_cast<float>(r.classes));
  }
  if (label == labels.ignore_index) return 0;
  if (!is_class(label, r.classes)) return NAN;
  return keep != 0 ? keep * (log_sum - (r.x[label] - r.top)) + smooth : smooth;
}

template <int kTeam>
__global__ void __launch_bounds__(kTeamThreads<kTeam>)
    cross_entropies_kernel(const float* x, Labels labels, int64_t rows, int64_t classes, float* losses,
                           float* probabilities, int* bad) {
  const int64_t row = team_of_grid<kTeam>();
  const Row r = Row::read<kTeam>(x, row, rows, classes);
  r.template write_softmax<kTeam>(probabilities + row * classes);
  const int64_t label = labels.integer && row < rows ? labels.integer[row] : labels.ignore_index;
  const float loss = labels.probabilities ? soft_loss<kTeam>(r, labels, labels.probabilities + row * classes)
                                          : integer_loss<kTeam>(r, labels, label);
  if (row >= rows || thread_of_team<kTeam>() != 0) return;
  losses[row] = loss;
  if (labels.integer && label != labels.ignore_index && !is_class(label, classes)) report_bad(bad);
}

// Returns the number of rows that are not ignored to all threads of the block. kThreads is the size of the
// block.
template <int kThreads>
__device__ int64_t kept_rows(const Labels& labels, int64_t rows) {
  if (!labels.integer) return rows;
  int64_t count = 0;
  for (int64_t i = threadIdx.x; i < rows; i += kThreads) count += labels.integer[i] != labels.ignore_index;
  return team_sum<kThreads>(count);
}

constexpr int kSumThreads = 1024;

// Adds up the losses of all rows. Runs in one block.
__global__ void __launch_bounds__(kSumThreads)
    sum_losses_kernel(const float* losses, Labels labels, int64_t rows, bool mean, float* loss) {
  double sum = 0;
  for (int64_t i = threadIdx.x; i < rows; i += kSumThreads) sum += losses[i];
  sum = team_sum<kSumThreads>(sum);
  if (mean) sum /= static_cast<double>(kept_rows<kSumThreads>(labels, rows));
  if (threadIdx.x == 0) *loss = static_cast<float>(sum);
}

// The largest number of blocks of the backward kernel. With a mean, every block counts the rows that are not
// ignored by itself, so that the host need not wait for this number. Each block reads all labels for that, so
// there should not be many more blocks than a GPU runs at the same time.
constexpr int64_t kBackwardBlocks = 256;

template <int kTeam>
__global__ void __launch_bounds__(kTeamThreads<kTeam>)
    backward_kernel(const float* probabilities, Labels labels, int64_t rows, int64_t classes, bool mean,
                    GradLoss grad_loss, float* dx, int* bad) {
  double share = 1;
  if (mean) share /= static_cast<double>(kept_rows<kTeamThreads<kTeam>>(labels, rows));
  const float all_rows = static_cast<float>(share * grad_loss.value);
  const int64_t teams = int64_t{gridDim.x} * kTeams<kTeam>;
  // All teams of the grid do the same number of steps, because all threads of a block must take part in the
  // sums.
  for (int64_t first = 0; first < rows; first += teams) {
    const int64_t row = first + team_of_grid<kTeam>(), at = row * classes;
    const int64_t count = row < rows ? classes : 0;
    const float scale = grad_loss.each && row < rows ? all_rows * grad_loss.each[row] : all_rows;
    if (labels.probabilities) {
      const auto target = [&](int64_t j) {
        return soft_target(labels, classes, labels.probabilities[at + j]);
      };
      const float weight = sum_of_row<kTeam>(count, target);
      for (int64_t j = thread_of_team<kTeam>(); j < count; j += kTeam)
        dx[at + j] = (probabilities[at + j] * weight - target(j)) * scale;
      continue;
    }
    const int64_t label = labels.integer && row < rows ? labels.integer[row] : labels.ignore_index;
    const bool is_ignored = label == labels.ignore_index, is_bad = !is_ignored && !is_class(label, classes);
    const float others = labels.smoothing / static_cast<float>(classes);  // the target of the other classes
    for (int64_t j = thread_of_team<kTeam>(); j < count; j += kTeam) {
      const float t = j == label ? 1 - labels.smoothing + others : others;
      dx[at + j] = is_ignored ? 0.0f : is_bad ? NAN : (probabilities[at + j] - t) * scale;
    }
    if (is_bad && thread_of_team<kTeam>() == 0) report_bad(bad);
  }
}

// The number of blocks that have a team for each row. It is below 2^31, because a block either has 8 rows or
// more, or one row of more than 4096 values.
template <int kTeam>
unsigned blocks_of(int64_t rows) {
  return static_cast<unsigned>(parts(rows, kTeams<kTeam>));
}

}  // namespace

void softmax(const float* x, int64_t rows, int64_t classes, float* y) {
  if (rows == 0) return;
  with_team(classes, [&](auto team) {
    constexpr int kTeam = decltype(team)::value;
    softmax_kernel<kTeam><<<blocks_of<kTeam>(rows), kTeamThreads<kTeam>, 0, stream()>>>(x, rows, classes, y);
  });
  check_launch("softmax");
}

void log_softmax(const float* x, int64_t rows, int64_t classes, float* y) {
  if (rows == 0) return;
  with_team(classes, [&](auto team) {
    constexpr int kTeam = decltype(team)::value;
    log_softmax_kernel<kTeam>
        <<<blocks_of<kTeam>(rows), kTeamThreads<kTeam>, 0, stream()>>>(x, rows, classes, y);
  });
  check_launch("log_softmax");
}

void softmax_cross_entropies(const float* x, const ops::Labels& labels, int64_t rows, int64_t classes,
                             float* losses, float* probabilities) {
  if (rows == 0) return;
  with_team(classes, [&](auto team) {
    constexpr int kTeam = decltype(team)::value;
    cross_entropies_kernel<kTeam><<<blocks_of<kTeam>(rows), kTeamThreads<kTeam>, 0, stream()>>>(
        x, labels, rows, classes, losses, probabilities, flag_of(Checked::kSoftmaxCrossEntropy));
  });
  check_launch("softmax_cross_entropies");
}

void softmax_cross_entropy(const float* x, const ops::Labels& labels, int64_t rows, int64_t classes,
                           Reduction reduction, float* probabilities, float* loss) {
  const Scratch<float> losses(rows);
  cuda::softmax_cross_entropies(x, labels, rows, classes, losses.data(), probabilities);
  sum_losses_kernel<<<1, kSumThreads, 0, stream()>>>(losses.data(), labels, rows,
                                                     reduction == Reduction::kMean, loss);
  check_launch("softmax_cross_entropy");
}

void softmax_cross_entropy_backward(const float* probabilities, const ops::Labels& labels, int64_t rows,
                                    int64_t classes, Reduction reduction, GradLoss grad_loss, float* dx) {
  if (rows == 0) return;
  with_team(classes, [&](auto team) {
    constexpr int kTeam = decltype(team)::value;
    const unsigned blocks = static_cast<unsigned>(std::min(parts(rows, kTeams<kTeam>), kBackwardBlocks));
    backward_kernel<kTeam><<<blocks, kTeamThreads<kTeam>, 0, stream()>>>(
        probabilities, labels, rows, classes, reduction == Reduction::kMean, grad_loss, dx,
        flag_of(Checked::kSoftmaxCrossEntropy));
  });
  check_launch("softmax_cross_entropy_backward");
}

}  // namespace byhand::cuda
