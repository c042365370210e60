// A batch out of a set of images: to[i] = images[index[i]] * scale + offset, bytes to floats.
#pragma once

#include <stdint.h>

namespace byhand::ops {

struct ImageBytes {
  const uint8_t* data;
  int64_t count, size;  // images, and bytes of one
};

// Throws std::invalid_argument, before it writes anything, where an index is not of 0 to images.count - 1.
void gather_images(const ImageBytes& images, const int64_t* index, int64_t count, float scale, float offset,
                   float* to);

}  // namespace byhand::ops
