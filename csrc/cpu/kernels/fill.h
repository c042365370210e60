// Each file of this folder defines one of these; table.cc calls them all. They are the only symbols by which
// the files of an instruction set know each other.
#pragma once

#include "cpu/kernel_table.h"
#include BYHAND_VEC_HEADER

namespace byhand::cpu::BYHAND_ISA {

void fill_gemm(GemmKernels&);
void fill_conv2d(Conv2dKernels&);
void fill_conv2d_dots(ConvDotKernels&);
void fill_winograd_transforms(WinogradTransformKernels&);
void fill_winograd_products(WinogradProductKernels&);
void fill_winograd_rows(WinogradRowKernels&);
void fill_reduce(ReduceKernels&);
void fill_pool2d(Pool2dKernels&);
void fill_activation(ActivationKernels&);
void fill_softmax(SoftmaxKernels&);
void fill_count_correct(CountCorrectKernels&);
void fill_squared_error(SquaredErrorKernels&);
void fill_batch_norm(BatchNormKernels&);
void fill_dropout(DropoutKernels&);
void fill_optimizer(OptimizerKernels&);
void fill_gather(GatherKernels&);
void fill_peak(PeakKernels&);

}  // namespace byhand::cpu::BYHAND_ISA
