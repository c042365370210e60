// Checks all arguments that are not arrays, and converts them to shapes, numbers and strings.
//
// A wrong type is a TypeError, a wrong value a ValueError. The message names the argument, shows what was
// given and says what is expected.
#pragma once

#include <pybind11/pybind11.h>

#include <cstddef>
#include <cstdint>
#include <ostream>
#include <string>
#include <vector>

#include "core/shapes.h"
#include "ops/activation.h"

namespace byhand::bindings {

namespace py = pybind11;

struct Shape : std::vector<int64_t> {
  using vector::vector;
};
std::string to_string(const Shape& shape);  // as Python writes a tuple: "(2, 3)" or "(2,)"
inline std::ostream& operator<<(std::ostream& text, const Shape& shape) { return text << to_string(shape); }

// Reads the argument `out` of a function that returns `count` arrays. Returns the items of the tuple
// `object`, or `count` times None if `object` is None.
std::vector<py::object> unpack_out(py::handle object, size_t count);

// Each of the following functions converts one argument. If the argument has the wrong type or value, it
// throws an exception whose message begins with the name of the argument.
int64_t parse_integer(py::handle object, const std::string& name);
uint64_t parse_unsigned(py::handle object, const char* name, uint64_t largest);  // from 0 to `largest`
bool parse_bool(py::handle object, const char* name);
float parse_float(py::handle object, const char* name);
double parse_double(py::handle object, const char* name);
std::string parse_string(py::handle object, const char* name);
ops::Activation parse_activation(py::handle object);   // "relu", "tanh", "sigmoid" or None
Pair parse_pair(py::handle object, const char* name);  // an int, or (height, width)
Padding parse_padding(py::handle object);  // an int, (height, width), or ((top, bottom), (left, right))
// An int or a sequence of ints, none of them negative. SIZE_MAX allows any number of dimensions.
Shape parse_shape(py::handle object, const char* name, size_t dimensions = SIZE_MAX);

// Return str(object), and the name of the type of an argument, for messages.
std::string text_of(py::handle object);
std::string type_name(py::handle object);

}  // namespace byhand::bindings
