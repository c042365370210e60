#include "bindings/arrays.h"
#include "bindings/bind.h"
#include "bindings/function.h"
#include "bindings/gil.h"
#include "core/check.h"

namespace byhand::bindings {
namespace {

float parse_between(py::handle object, const char* name, float least, float largest, const char* unit) {
  const float value = parse_float(object, name);
  require(value >= least && value <= largest, name, " must be from ", least, " to ", largest, unit, ", got ",
          value);
  return value;
}

py::object warp_images(py::handle images_object, py::handle index_object, py::handle seed, py::handle step,
                       py::handle rotation, py::handle scale, py::handle shear, py::handle shift,
                       py::handle elastic, py::handle smoothness, py::handle fill_object,
                       py::handle out_object) {
  const Input images(images_object, "images", 4);
  const IntegerInput index(index_object, "index", 1);
  const ops::WarpShape shape{images.shape()[0], images.shape()[1], images.shape()[2], images.shape()[3]};
  require(index.shape()[0] == shape.count, "index must have the shape (", shape.count,
          ",), one number per image, got ", index.shape());
  require(shape.count * shape.size() == 0 ||
              (shape.height <= ops::kLargestWarpSide && shape.width <= ops::kLargestWarpSide),
          "images must have at most ", ops::kLargestWarpSide, " rows and columns, got the shape ",
          images.shape());
  const WarpKey key{parse_unsigned(seed, "seed", UINT64_MAX),
                    static_cast<uint32_t>(parse_unsigned(step, "step", UINT32_MAX))};
  const WarpStrengths& largest = ops::kLargestWarp;
  const WarpStrengths strengths{
      .rotation = parse_between(rotation, "rotation", 0, largest.rotation, " degrees"),
      .scale = parse_between(scale, "scale", 0, largest.scale, ""),
      .shear = parse_between(shear, "shear", 0, largest.shear, " degrees"),
      .shift = parse_between(shift, "shift", 0, largest.shift, " pixels"),
      .elastic = parse_between(elastic, "elastic", 0, largest.elastic, " pixels"),
      .smoothness =
          parse_between(smoothness, "smoothness", ops::kLeastSmoothness, largest.smoothness, " pixels")};
  const float fill = parse_float(fill_object, "fill");
  const Output<float> out(out_object, "out", images.shape(), {images.region(), index.region()});
  without_gil([&] {
    out.device().warp_images(images.data(), index.data(), shape, strengths, fill, key, out.data());
  });
  return out.array();
}

}  // namespace

void bind_warp_images(py::module_& m) {
  define<warp_images>(
      m,
      "warp_images(images, index, *, seed, step, rotation=0.0, scale=0.0, shear=0.0, shift=0.0, "
      "elastic=0.0, smoothness=4.0, fill=0.0, out=None)",
      R"(Rotate, scale, shear, shift and bend each image at random, to augment training data.

Parameters
----------
images : ndarray, shape (N, channels, height, width), float32
    The images. Both sides have at most 32768 pixels. All channels of an image get the same
    distortion.
index : ndarray, shape (N,), any integer dtype
    The number of each image, for example in the training set. It only selects the random
    numbers.
seed : int
    Seed of the random numbers, from 0 to 2**64 - 1.
step : int
    Number of the epoch or of the batch, from 0 to 2**32 - 1. With another step, an image gets
    another distortion.
rotation : float, default 0
    Largest angle in degrees, up to 180. The angle is uniform from -rotation to rotation.
scale : float, default 0
    Largest change of the size, up to 0.9. The factor is uniform from 1 - scale to 1 + scale.
shear : float, default 0
    Largest horizontal shear in degrees, up to 80. The angle is uniform from -shear to shear.
shift : float, default 0
    Largest shift in pixels. The vertical and the horizontal shift are uniform from -shift to
    shift. They are not whole numbers.
elastic : float, default 0
    Standard deviation in pixels of the elastic displacement, vertically and horizontally. No
    displacement is larger than 3.62 times this number.
smoothness : float, default 4
    Smoothness of the elastic displacement in pixels, at least 1: the standard deviation of the
    bell curve that smooths it.
fill : float, default 0
    Value of the pixels outside the image.
out : ndarray, shape of images, float32, optional
    Receives the result. It must be writable and C-contiguous, and must not overlap an input.

Returns
-------
ndarray, shape of images, float32
    The distorted images. Values between pixels are interpolated bilinearly.

Raises
------
TypeError
    If images is not a float32 ndarray, index is not an integer ndarray, or another argument is
    not a number.
ValueError
    If a shape does not fit, a number is out of range, or `out` is not as described above.

Notes
-----
Pixel p of the output gets the value of the input at the point::

    q = centre + inverse(A) @ (p - centre - t) + d(p)
    A = factor * [[cos a, -sin a], [sin a, cos a]] @ [[1, tan b], [0, 1]]    for vectors (x, y)

The elastic displacement d is a cubic B-spline with random control points, spaced
sqrt(3) * smoothness pixels. This is nearly the method of Simard et al., who smooth random
numbers between -1 and 1 with a Gaussian of standard deviation sigma and multiply them by
alpha. Their settings correspond to smoothness = sigma and
elastic = alpha / (sqrt(12 * pi) * sigma). For example, alpha = 34 and sigma = 4 give
elastic = 1.38.

The distortion of an image depends only on the settings, seed, step and its number in index. It
does not depend on the other images of the batch. A seed and a step draw the same distortion on
every device and instruction set, with other rounding errors. If rotation, scale, shear, shift
and elastic are all 0, the result has the same bits as images. Otherwise, an output is NaN if
one of the four pixels around its point is NaN, and NaN or infinite if one of them is infinite.
This holds for fill, too, if the point lies outside the image.

References
----------
P. Y. Simard, D. Steinkraus and J. C. Platt, Best practices for convolutional neural networks
applied to visual document analysis, ICDAR 2003. Philox4x32-7: J. K. Salmon et al., Parallel
random numbers: as easy as 1, 2, 3, SC 2011.)");
}

}  // namespace byhand::bindings
