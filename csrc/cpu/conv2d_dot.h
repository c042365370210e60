// The direct algorithm of grad weight: each weight is a dot product over images and output positions.
#pragma once

#include "core/shapes.h"
#include "cpu/conv2d_staging.h"

namespace byhand::cpu {

// dw[o, c, ty, tx] += sum over n, oy, ox of dy[n, o, oy, ox] *
//     x[n, g C + c, oy rows.stride + rows.tap[ty], ox columns.stride + columns.tap[tx]]
// No operand is empty. One thread owns each element and sums in the order of the images: the bits don't
// depend on the threads.
void dot_positions(const Conv2dShape& s, const TapAxis& rows, const TapAxis& columns, const float* dy,
                   const float* x, float* dw);

}  // namespace byhand::cpu
