// Fills the kernel table of this instruction set. The other source files of this folder define the functions
// below and export nothing else.
#include "cpu/kernel_table.h"

namespace byhand::cpu::BYHAND_ISA {

void fill_activation(ActivationKernels&);
void fill_batch_norm(BatchNormKernels&);
void fill_conv2d_by_channels(ChannelKernels&);
void fill_conv2d_correlate(CorrelateKernels&);
void fill_conv2d_depthwise(DepthwiseKernels&);
void fill_conv2d_weight_gradient(WeightGradientKernels&);
void fill_conv2d_winograd_products(WinogradProductKernels&);
void fill_conv2d_winograd_rows(WinogradRowKernels&);
void fill_conv2d_winograd_transforms(WinogradTransformKernels&);
void fill_count_correct(CountCorrectKernels&);
void fill_dropout(DropoutKernels&);
void fill_gather(GatherKernels&);
void fill_gemm(GemmKernels&);
void fill_optimizer(OptimizerKernels&);
void fill_peak(PeakKernels&);
void fill_pool2d(Pool2dKernels&);
void fill_reduce(ReduceKernels&);
void fill_softmax_cross_entropy(SoftmaxKernels&);
void fill_squared_error(SquaredErrorKernels&);
void fill_warp_images(WarpKernels&);

void fill_table(KernelTable& table) {
  fill_activation(table);
  fill_batch_norm(table);
  fill_conv2d_by_channels(table);
  fill_conv2d_correlate(table);
  fill_conv2d_depthwise(table);
  fill_conv2d_weight_gradient(table);
  fill_conv2d_winograd_products(table);
  fill_conv2d_winograd_rows(table);
  fill_conv2d_winograd_transforms(table);
  fill_count_correct(table);
  fill_dropout(table);
  fill_gather(table);
  fill_gemm(table);
  fill_optimizer(table);
  fill_peak(table);
  fill_pool2d(table);
  fill_reduce(table);
  fill_softmax_cross_entropy(table);
  fill_squared_error(table);
  fill_warp_images(table);
}

}  // namespace byhand::cpu::BYHAND_ISA
