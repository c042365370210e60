// The instruction sets of this build, and the kernels of the one in use.
#pragma once

#include <string>
#include <vector>

namespace byhand::cpu {

// The kernels of one kind, such as kernels<GemmKernels>(), for the instruction set in use: the one that
// BYHAND_ISA names, or the best that this CPU runs. A driver includes the contract of each kind that it
// calls, cpu/kernels/NAME.h, so a change of one contract compiles only its own users again.
template <class Kernels>
const Kernels& kernels();

// Chooses the instruction set. Throws std::invalid_argument if BYHAND_ISA names one that cannot be used.
void choose_kernels();

struct IsaStatus {
  std::string name;
  bool built, runs_here, active;
  bool for_tests;  // used only if it is asked for
  // The part of it that tests on this machine can run: "instructions"; or "geometry", its lanes, edges and
  // masks, by another set with the same number of lanes; or null, nothing.
  const char* tested;
};
std::vector<IsaStatus> isas();  // from the plainest to the best

// For tests: uses another instruction set from the next call on. No kernel may be running. Throws
// std::invalid_argument if the name is unknown, or if the set is not built or does not run here.
void set_isa(const std::string& name);

}  // namespace byhand::cpu
