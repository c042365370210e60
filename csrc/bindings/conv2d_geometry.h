// The keyword arguments that all convolutions share: geometry and algorithm.
#pragma once

#include "bindings/arrays.h"
#include "core/check.h"
#include "ops/conv2d.h"

namespace byhand::bindings {

inline ops::ConvAlgorithm parse_algorithm(py::handle object) {
  const auto name = parse_string(object, "algorithm");
  if (name == "auto") return ops::ConvAlgorithm::kAuto;
  if (name == "direct") return ops::ConvAlgorithm::kDirect;
  require(name == "winograd", "algorithm must be \"auto\", \"direct\" or \"winograd\", got \"", name, "\"");
  return ops::ConvAlgorithm::kWinograd;
}

struct Geometry {
  Pair stride, dilation;
  Padding padding;
  int64_t groups;
  ops::ConvAlgorithm algorithm;

  Geometry(py::handle stride_object, py::handle padding_object, py::handle dilation_object,
           py::handle groups_object, py::handle algorithm_object)
      : stride(parse_pair(stride_object, "stride")),
        dilation(parse_pair(dilation_object, "dilation")),
        padding(parse_padding(padding_object)),
        groups(parse_integer(groups_object, "groups")),
        algorithm(parse_algorithm(algorithm_object)) {}

  // Returns the shape of the convolution. Throws if the arguments do not fit the shapes of x and of the
  // weight.
  Conv2dShape shape(const Shape& x, const Shape& weight) const {
    return make_conv2d_shape({x[0], x[1], x[2], x[3]}, {weight[0], weight[1], weight[2], weight[3]}, stride,
                             padding, dilation, groups);
  }
};

}  // namespace byhand::bindings
