// The instruction sets of this build, and the one in use.
#pragma once

#include <string>
#include <vector>

#include "cpu/kernel_table.h"

namespace byhand::cpu {

// The kernels in use: those that BYHAND_ISA names, else the best that the CPU runs.
const KernelTable& kernels();

struct IsaStatus {
  std::string name;
  bool built, runs_here, active;
  bool for_tests;  // used only where it is asked for
  // The part of it that tests on this machine can run: "instructions"; or "geometry", its lanes, edges and
  // masks, by another set with the same number of lanes; or null, nothing.
  const char* tested;
};
std::vector<IsaStatus> isas();  // from the plainest to the best

// Uses another instruction set from the next call on, while no kernel runs; for tests. Unknown, not built or
// not runnable here: std::invalid_argument.
void set_isa(const std::string& name);

}  // namespace byhand::cpu
