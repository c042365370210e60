// Winograd's algorithm: fewer products than the direct one, between transformed patches.
//
// An 8 x 8 patch of a channel of x and an r x r kernel give (9 - r) x (9 - r) outputs with 64 products
// instead of r^2 each: 4 instead of 25 for r = 5, 1.8 instead of 9 for r = 3. Forward, for a patch d of
// channel c and kernel g of channels o, c, with B, G, A of kernels/winograd_matrices.py and * value by value:
//
//   V = B d B'   U = G g G'   M_o = sum_c U_oc * V_c   y = A' M A
//
// Both gradients are its adjoint, with Q = A dy A' for each patch of outputs:
//
//   dx += B' (sum_o U_oc * Q_o) B   over the patches, which overlap
//   dg  = G' (sum over patches of Q_o * V_c) G
//
// A patch whose input holds an infinity or a NaN has NaN in all its outputs.
#pragma once

#include "core/shapes.h"

namespace byhand::cpu {

// Kernels of 3 x 3 and 5 x 5, stride 1, dilation 1, one group.
bool winograd_takes(const Conv2dShape& s);
// Whether it is faster than the direct algorithm, by what both have to do.
bool winograd_pays(const Conv2dShape& s);

// As ops/conv2d.h; no operand is empty.
void winograd(const Conv2dShape& s, const float* x, const float* weight, const float* bias, float* y);
void winograd_backward_input(const Conv2dShape& s, const float* dy, const float* weight, float* dx);
void winograd_backward_weight(const Conv2dShape& s, const float* dy, const float* x, float* dw);

}  // namespace byhand::cpu
