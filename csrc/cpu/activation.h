// Which kernel an activation is, for drivers that apply one to their results.
#pragma once

#include "cpu/runtime/registry.h"
#include "ops/activation.h"

namespace byhand::cpu {

// Null for kNone.
ActivationKernels::Forward forward_kernel(ops::Activation f);
ActivationKernels::Backward backward_kernel(ops::Activation f);

}  // namespace byhand::cpu
