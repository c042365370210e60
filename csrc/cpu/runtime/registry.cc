#include "cpu/runtime/registry.h"

#include <atomic>

#include "core/check.h"
#include "core/env.h"
#include "cpu/kernel_table.h"
#include "cpu/runtime/isa.h"

namespace byhand::cpu {

#define BYHAND_DECLARE(isa)                                        \
  namespace isa {                                                  \
  void fill_table(KernelTable&);                                   \
  void fill_conv2d_correlate(CorrelateKernels&);                   \
  void fill_conv2d_winograd_transforms(WinogradTransformKernels&); \
  }
BYHAND_DECLARE(baseline)
BYHAND_DECLARE(lanes16)
BYHAND_DECLARE(avx2)
BYHAND_DECLARE(avx512)
BYHAND_DECLARE(neon)
#undef BYHAND_DECLARE

namespace {

struct Row {
  const char* name;
  int lanes;
  void (*fill)(KernelTable&);
  bool (*runs_here)();
  bool for_tests = false;  // if true, the instruction set is used only on request
  KernelTable table{};
};

bool always() { return true; }

#if defined(BYHAND_HAS_avx512)
// With AVX-512, direct convolution still uses the tiles of AVX2 if vectors of 16 lanes would leave more lanes
// idle in a row of outputs. For example, the rows of LeNet-5 have 24 and 8 outputs. The narrower vectors cost
// no speed, because Zen 4 does two multiply-adds of 8 lanes in the time of one of 16. All other rows use
// `wide`, the tiles of AVX-512. For example, 30 outputs leave 2 lanes idle with either tile. The strided copy
// and Winograd's transforms are always those of AVX2. The weight gradient has kernels of 8 and of 16
// lanes of its own.
void fill_avx512(KernelTable& table) {
  avx512::fill_table(table);
  const ConvTileKernels wide = table.wide;
  const auto copy_rows = table.copy_rows;
  avx2::fill_conv2d_correlate(table);
  table.wide = wide;
  table.copy_rows = copy_rows;
  avx2::fill_conv2d_winograd_transforms(table);
}
#endif

// The instruction sets of this build. Those of another architecture are not among them. `choose` takes the
// last one that runs here and is not for tests.
Row rows[] = {
    {"baseline", 4, baseline::fill_table, always},
#if defined(BYHAND_HAS_lanes16)
    {"lanes16", 16, lanes16::fill_table, always, true},
#endif
#if defined(BYHAND_HAS_avx2)
    {"avx2", 8, avx2::fill_table, cpu_runs_avx2},
#endif
#if defined(BYHAND_HAS_avx512)
    {"avx512", 16, fill_avx512, cpu_runs_avx512},
#endif
#if defined(BYHAND_HAS_neon)
    {"neon", 4, neon::fill_table, always},  // every AArch64 CPU has NEON
#endif
};

// Returns IsaStatus::tested for the instruction set of this row.
const char* tested(const Row& row) {
  if (row.runs_here()) return "instructions";
  for (const Row& other : rows)
    if (other.runs_here() && other.lanes == row.lanes) return "geometry";
  return nullptr;
}

// Returns the kernels of the instruction set `name`. Throws if it cannot be used. `asked_by` names the
// argument or the environment variable in the message.
const KernelTable* find(const std::string& name, const char* asked_by) {
  std::string known;
  for (const Row& row : rows) {
    known += (known.empty() ? "" : ", ") + std::string(row.name);
    if (row.name != name) continue;
    require(row.runs_here(), asked_by, " must be an instruction set that this CPU runs, got \"", name, "\"");
    return &row.table;
  }
  fail(asked_by, " must be one of ", known, ", got \"", name, "\"");
}

// Fills the tables of all instruction sets that this CPU runs, and returns the one to use.
const KernelTable* choose() {
  const KernelTable* best = nullptr;
  for (Row& row : rows) {
    if (!row.runs_here()) continue;
    row.fill(row.table);
    if (!row.for_tests) best = &row.table;
  }
  const std::string wanted = env::isa();
  return wanted.empty() ? best : find(wanted, "environment variable BYHAND_ISA");
}

std::atomic<const KernelTable*>& active() {
  static std::atomic<const KernelTable*> table{choose()};
  return table;
}

}  // namespace

void choose_kernels() { active(); }

template <class Kernels>
const Kernels& kernels() {
  return *active().load(std::memory_order_relaxed);
}
template const ActivationKernels& kernels();
template const BatchNormKernels& kernels();
template const ChannelKernels& kernels();
template const CorrelateKernels& kernels();
template const CountCorrectKernels& kernels();
template const DepthwiseKernels& kernels();
template const DropoutKernels& kernels();
template const GatherKernels& kernels();
template const GemmKernels& kernels();
template const OptimizerKernels& kernels();
template const PeakKernels& kernels();
template const Pool2dKernels& kernels();
template const ReduceKernels& kernels();
template const SoftmaxKernels& kernels();
template const SquaredErrorKernels& kernels();
template const WarpKernels& kernels();
template const WeightGradientKernels& kernels();
template const WinogradProductKernels& kernels();
template const WinogradRowKernels& kernels();
template const WinogradTransformKernels& kernels();

double narrow_multiply_add() {
  const CorrelateKernels& k = kernels<CorrelateKernels>();
  return k.tiles.lanes < k.wide.lanes ? 2 : 1;
}

double fma_ns(double count) { return count / (20 * narrow_multiply_add()); }

std::vector<IsaStatus> isas() {
  const KernelTable* const now = active();
  std::vector<IsaStatus> result;
  for (const Row& row : rows)
    result.push_back({row.name, row.runs_here(), &row.table == now, row.for_tests, tested(row)});
  return result;
}

void set_isa(const std::string& name) { active() = find(name, "name"); }

}  // namespace byhand::cpu
