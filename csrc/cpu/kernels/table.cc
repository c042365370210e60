// Every kernel of this instruction set, put into its table.
#include "cpu/kernels/fill.h"

namespace byhand::cpu::BYHAND_ISA {

void fill_table(KernelTable& table) {
  table.lanes = Vec::kLanes;
  fill_gemm(table.gemm);
  fill_reduce(table.reduce);
  fill_peak(table.peak);
}

}  // namespace byhand::cpu::BYHAND_ISA
