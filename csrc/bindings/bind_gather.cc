#include "bindings/arrays.h"
#include "bindings/bind.h"
#include "bindings/function.h"
#include "bindings/gil.h"
#include "core/check.h"

namespace byhand::bindings {
namespace {

py::object gather_images(py::handle images_object, py::handle index_object, py::handle scale_object,
                         py::handle offset_object, py::handle max_shift_object, py::handle seed,
                         py::handle step, py::handle out_object) {
  const ExactInput<uint8_t> images(images_object, "images", 1);
  const IntegerInput index(index_object, "index", 1);
  const float scale = parse_float(scale_object, "scale"), offset = parse_float(offset_object, "offset");
  Shape shape = images.shape();
  const int64_t max_shift = parse_integer(max_shift_object, "max_shift");
  const ops::Shift shift{max_shift, parse_unsigned(seed, "seed", UINT64_MAX),
                         static_cast<uint32_t>(parse_unsigned(step, "step", UINT32_MAX))};
  require(max_shift <= 0 || shape.size() >= 3,
          "images must have the shape (N, ..., height, width) because max_shift is ", max_shift, ", got ",
          shape);
  const size_t dimensions = shape.size();
  ops::ImageBytes bytes{images.data(), shape[0], 1, dimensions > 2 ? shape[dimensions - 2] : 1,
                        dimensions > 1 ? shape[dimensions - 1] : 1};
  for (size_t i = 1; i + 2 < dimensions; ++i) bytes.planes *= shape[i];
  shape[0] = index.shape()[0];
  const Output<float> out(out_object, "out", shape, {images.region(), index.region()});
  without_gil(
      [&] { out.device().gather_images(bytes, index.data(), shape[0], scale, offset, shift, out.data()); });
  return out.array();
}

}  // namespace

void bind_gather(py::module_& m) {
  define<gather_images>(
      m, "gather_images(images, index, *, scale, offset, max_shift=0, seed=0, step=0, out=None)",
      R"(Make a batch, images[index] * scale + offset, and shift each image at random if max_shift > 0.

Parameters
----------
images : ndarray, shape (N, ...), uint8
    All images. With max_shift above 0, the shape is (N, ..., height, width).
index : ndarray, shape (M,), any integer dtype
    Numbers of the images in the batch, from 0 to N - 1. Negative numbers do not count from the
    end.
scale, offset : float
    Factor of each pixel, and the value that is added to the product.
max_shift : int, default 0
    Largest shift. Each image moves by dy rows and dx columns, both drawn from -max_shift to
    max_shift. Uncovered pixels count as 0, so they become `offset`.
seed : int, default 0
    Seed of the shifts, from 0 to 2**64 - 1.
step : int, default 0
    Number of the batch, from 0 to 2**32 - 1.
out : ndarray, shape (M, ...), float32, optional
    Receives the result. It must be writable and C-contiguous, and must not overlap an input.

Returns
-------
ndarray, shape (M, ...), float32
    The batch.

Raises
------
TypeError
    If images is not a uint8 ndarray, index is not an integer ndarray, or another argument is
    not a number.
ValueError
    If an index is not from 0 to N - 1, images has fewer than 3 dimensions although max_shift
    is above 0, another argument is out of range, or `out` is not as described above.

Notes
-----
The shift of an image depends only on seed, step and the image's number in `images`::

    w = philox4x32_7(key=seed, counter=(number % 2**32, number // 2**32, step, 2**32 - 1))
    dy, dx = (floor(w[i] * (2 * max_shift + 1) / 2**32) - max_shift for i in (0, 1))

References
----------
Philox4x32-7: J. K. Salmon et al., Parallel random numbers: as easy as 1, 2, 3, SC 2011.)");
}

}  // namespace byhand::bindings
