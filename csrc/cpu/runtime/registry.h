// The instruction sets of this build, and the kernels of the one in use.
#pragma once

#include <string>
#include <vector>

namespace byhand::cpu {

// Returns the kernels of one kind, such as kernels<GemmKernels>(), for the instruction set in use. That is
// the one that BYHAND_ISA names, or else the best that this CPU runs. A driver includes only the contracts
// that it uses, cpu/kernels/NAME.h. So after a change of one contract, only its own users are compiled again.
template <class Kernels>
const Kernels& kernels();

// Chooses the instruction set. Throws std::invalid_argument if BYHAND_ISA names an instruction set that
// cannot be used.
void choose_kernels();

struct IsaStatus {
  std::string name;
  bool runs_here, active;
  bool for_tests;  // if true, the instruction set is used only on request
  // What tests on this machine can cover. "instructions": the kernels themselves run here. "geometry": they
  // do not, but the kernels of another instruction set with the same number of lanes do. Those have the same
  // tiles and treat partly filled vectors in the same way. Null: nothing.
  const char* tested;
};
// Returns the status of every instruction set of this build. The best one is the last.
std::vector<IsaStatus> isas();

// For tests: uses another instruction set from the next call on. No kernel may be running. Throws
// std::invalid_argument if this build has no set of that name, or if the set does not run here.
void set_isa(const std::string& name);

// Returns the cost of a multiply-add per lane, relative to the widest vectors, in kernels that cannot use
// these well: the convolution kernels of 8 lanes and Winograd's transforms of patches. Without AVX-512 it is
// 1. With AVX-512 it is 2, which was measured on Zen 5 and on Intel's server CPUs. On Zen 4, whose vectors of
// 16 lanes are computed in two halves, 1 would be right.
double narrow_multiply_add();

// Returns the approximate duration of `count` multiply-adds on one core, to decide whether threads pay. The
// rate is 20 per nanosecond, half of the slowest peak that we know. It is 40 if vectors have 16 lanes.
double fma_ns(double count);

}  // namespace byhand::cpu
