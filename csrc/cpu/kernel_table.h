// All kernels of one instruction set.
//
// A kernel is a function that does arithmetic on one core. Kernels are compiled once per instruction set from
// the same source. They start no threads, allocate nothing, throw nothing, hold no data of their own, and
// read and write only what their arguments name. Drivers reach them through function pointers: `kernels<K>()`
// in cpu/runtime/registry.h returns the pointers of one kind, for the instruction set in use. The header of
// each kind in cpu/kernels/ is the contract between driver and kernel. Code of every instruction set includes
// it, so it holds plain types and no functions.
#pragma once

#include "cpu/kernels/activation.h"
#include "cpu/kernels/batch_norm.h"
#include "cpu/kernels/conv2d_by_channels.h"
#include "cpu/kernels/conv2d_correlate.h"
#include "cpu/kernels/conv2d_depthwise.h"
#include "cpu/kernels/conv2d_weight_gradient.h"
#include "cpu/kernels/conv2d_winograd.h"
#include "cpu/kernels/conv2d_winograd_rows.h"
#include "cpu/kernels/count_correct.h"
#include "cpu/kernels/dropout.h"
#include "cpu/kernels/gather.h"
#include "cpu/kernels/gemm.h"
#include "cpu/kernels/optimizer.h"
#include "cpu/kernels/peak.h"
#include "cpu/kernels/pool2d.h"
#include "cpu/kernels/reduce.h"
#include "cpu/kernels/softmax_cross_entropy.h"
#include "cpu/kernels/squared_error.h"
#include "cpu/kernels/warp_images.h"

namespace byhand::cpu {

struct KernelTable : ActivationKernels,
                     BatchNormKernels,
                     ChannelKernels,
                     CorrelateKernels,
                     CountCorrectKernels,
                     DepthwiseKernels,
                     DropoutKernels,
                     GatherKernels,
                     GemmKernels,
                     OptimizerKernels,
                     PeakKernels,
                     Pool2dKernels,
                     ReduceKernels,
                     SoftmaxKernels,
                     SquaredErrorKernels,
                     WarpKernels,
                     WeightGradientKernels,
                     WinogradProductKernels,
                     WinogradRowKernels,
                     WinogradTransformKernels {};

}  // namespace byhand::cpu
