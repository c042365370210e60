#include "cpu/runtime/registry.h"

#include <atomic>

#include "core/check.h"
#include "core/env.h"
#include "cpu/runtime/isa.h"

namespace byhand::cpu {

#define BYHAND_DECLARE(isa)            \
  namespace isa {                      \
  void fill_table(KernelTable& table); \
  }
BYHAND_DECLARE(baseline)
BYHAND_DECLARE(avx2)
#undef BYHAND_DECLARE

namespace {

struct Row {
  const char* name;
  void (*fill)(KernelTable&);  // null where this build lacks it
  bool (*runs_here)();
  KernelTable table{};
};

// From the plainest to the best.
Row rows[] = {
    {"baseline", baseline::fill_table, [] { return true; }},
#if defined(BYHAND_HAS_avx2)
    {"avx2", avx2::fill_table, cpu_runs_avx2},
#else
    {"avx2", nullptr, cpu_runs_avx2},
#endif
};

bool usable(const Row& row) { return row.fill != nullptr && row.runs_here(); }

const KernelTable* find(const std::string& name, const char* asked_by) {
  std::string known;
  for (const Row& row : rows) {
    known += (known.empty() ? "" : ", ") + std::string(row.name);
    if (row.name != name) continue;
    require(row.fill != nullptr, asked_by, " must be an instruction set of this build, got \"", name, "\"");
    require(row.runs_here(), asked_by, " must be an instruction set that this CPU runs, got \"", name, "\"");
    return &row.table;
  }
  fail(asked_by, " must be one of ", known, ", got \"", name, "\"");
}

const KernelTable* choose() {
  const KernelTable* best = nullptr;
  for (Row& row : rows) {
    if (!usable(row)) continue;
    row.fill(row.table);
    best = &row.table;
  }
  const std::string wanted = env::isa();
  return wanted.empty() ? best : find(wanted, "environment variable BYHAND_ISA");
}

std::atomic<const KernelTable*>& active() {
  static std::atomic<const KernelTable*> table{choose()};
  return table;
}

}  // namespace

const KernelTable& kernels() { return *active().load(std::memory_order_relaxed); }

std::vector<IsaStatus> isas() {
  const KernelTable* const now = &kernels();
  std::vector<IsaStatus> result;
  for (const Row& row : rows)
    result.push_back({row.name, row.fill != nullptr, row.runs_here(), &row.table == now});
  return result;
}

void set_isa(const std::string& name) { active() = find(name, "name"); }

}  // namespace byhand::cpu
