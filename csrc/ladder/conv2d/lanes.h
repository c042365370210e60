// The layout of steps 4 to 10: the same value of kLanes images lies side by side, as one vector.
#pragma once

#include <algorithm>
#include <vector>

#include "ladder/vec.h"

// Copies `images` images of `size` values each, at most kLanes, to vectors.
inline void to_lanes(int images, int size, const float* x, Vec* vectors) {
  for (int i = 0; i < size; ++i)
    for (int l = 0; l < images; ++l) vectors[i][l] = x[l * size + i];
}

// Copies vectors back to images.
inline void from_lanes(int images, int size, const Vec* vectors, float* y) {
  for (int i = 0; i < size; ++i)
    for (int l = 0; l < images; ++l) y[l * size + i] = vectors[i][l];
}
