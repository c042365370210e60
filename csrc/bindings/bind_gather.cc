#include "bindings/arrays.h"
#include "bindings/bind.h"
#include "bindings/function.h"
#include "ops/gather.h"

namespace byhand::bindings {
namespace {

py::array gather_images(py::handle images_object, py::handle index_object, py::handle scale_object,
                        py::handle offset_object, py::handle out_object) {
  const ExactInput<uint8_t> images(images_object, "images", 1);
  const IntegerInput index(index_object, "index", 1);
  const float scale = parse_float(scale_object, "scale"), offset = parse_float(offset_object, "offset");
  Shape shape = images.shape();
  ops::ImageBytes bytes{images.data(), shape[0], 1};
  for (size_t i = 1; i < shape.size(); ++i) bytes.size *= shape[i];
  shape[0] = index.shape()[0];
  const Output<float> out(out_object, "out", shape, {images.original(), index.original()});
  without_gil([&] { ops::gather_images(bytes, index.data(), shape[0], scale, offset, out.data()); });
  return out.array();
}

}  // namespace

void bind_gather(py::module_& m) {
  define<gather_images>(m, "gather_images(images, index, *, scale, offset, out=None)",
                        R"(A batch out of a set of images: images[index] * scale + offset.

images (n, ...) of uint8, index (m,) of any integer dtype -> (m, ...) float32.
Raises ValueError where an index is not of 0 to n - 1: negative ones don't count from the end.)");
}

}  // namespace byhand::bindings
