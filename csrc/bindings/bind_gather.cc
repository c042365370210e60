#include "bindings/arrays.h"
#include "bindings/bind.h"
#include "bindings/function.h"
#include "core/check.h"
#include "ops/gather.h"

namespace byhand::bindings {
namespace {

py::array gather_images(py::handle images_object, py::handle index_object, py::handle scale_object,
                        py::handle offset_object, py::handle max_shift_object, py::handle seed,
                        py::handle step, py::handle out_object) {
  const ExactInput<uint8_t> images(images_object, "images", 1);
  const IntegerInput index(index_object, "index", 1);
  const float scale = parse_float(scale_object, "scale"), offset = parse_float(offset_object, "offset");
  Shape shape = images.shape();
  const int64_t max_shift = parse_integer(max_shift_object, "max_shift");
  const ops::Shift shift{max_shift, parse_unsigned(seed, "seed", UINT64_MAX),
                         static_cast<uint32_t>(parse_unsigned(step, "step", UINT32_MAX))};
  require(max_shift <= 0 || shape.size() >= 3, "images must be (n, ..., height, width) where max_shift is ",
          max_shift, ", got ", shape);
  const size_t dimensions = shape.size();
  ops::ImageBytes bytes{images.data(), shape[0], 1, dimensions > 2 ? shape[dimensions - 2] : 1,
                        dimensions > 1 ? shape[dimensions - 1] : 1};
  for (size_t i = 1; i + 2 < dimensions; ++i) bytes.planes *= shape[i];
  shape[0] = index.shape()[0];
  const Output<float> out(out_object, "out", shape, {images.original(), index.original()});
  without_gil([&] { ops::gather_images(bytes, index.data(), shape[0], scale, offset, shift, out.data()); });
  return out.array();
}

}  // namespace

void bind_gather(py::module_& m) {
  define<gather_images>(
      m, "gather_images(images, index, *, scale, offset, max_shift=0, seed=0, step=0, out=None)",
      R"(A batch out of a set of images: images[index] * scale + offset.

images (n, ...) of uint8, index (m,) of any integer dtype -> (m, ...) float32.

With max_shift above 0, images are (n, ..., height, width) and each one of the batch is moved by its own
(dy, dx), integers from -max_shift to max_shift; what it leaves uncovered becomes `offset`, as pixels of 0 do.
Both are a function of seed, step and the image's number in images alone: of the generator Philox4x32-7 of
Salmon et al., Parallel random numbers: as easy as 1, 2, 3, SC 2011, on words of 32 bits.

    w = philox4x32_7(key=seed, counter=(number % 2**32, number // 2**32, step, 2**32 - 1))
    dy, dx = (floor(w[i] * (2 * max_shift + 1) / 2**32) - max_shift for i in (0, 1))

seed is an integer from 0 to 2**64 - 1, step one from 0 to 2**32 - 1.
Raises ValueError where an index is not of 0 to n - 1: negative ones don't count from the end.)");
}

}  // namespace byhand::bindings
