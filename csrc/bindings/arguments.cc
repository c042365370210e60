#include "bindings/arguments.h"

#include <algorithm>

#include "core/check.h"

namespace byhand::bindings {

std::string to_string(const Shape& shape) {
  std::string text = "(";
  for (size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + (shape.size() == 1 ? ",)" : ")");
}

std::string text_of(py::handle object) { return py::str(object); }

std::string type_name(py::handle object) { return py::str(py::type::handle_of(object).attr("__name__")); }

namespace {

// Returns the first 120 characters of the repr of an argument. If the repr fails or UTF-8 cannot encode it,
// returns a text with the name of the type.
std::string shown(py::handle object) {
  try {
    constexpr int kLongest = 120;
    const py::str text = py::repr(object);
    return text[py::slice(0, kLongest, 1)].cast<std::string>() + (py::len(text) > kLongest ? "..." : "");
  } catch (const std::exception&) {  // __repr__ failed, or its string cannot be encoded
    return "a value of type " + type_name(object);
  }
}

bool is_sequence(py::handle object) {
  return py::isinstance<py::tuple>(object) || py::isinstance<py::list>(object);
}

// Returns the items that a tuple or a list really holds. The methods of a subclass may report other items, so
// none of them is called. The items are copied, because converting one of them to an integer may run Python
// code that changes the list.
std::vector<py::object> items_of(py::handle sequence) {
  py::object tuple = py::reinterpret_borrow<py::object>(sequence);
  if (PyList_Check(tuple.ptr())) tuple = py::reinterpret_steal<py::object>(PyList_AsTuple(tuple.ptr()));
  if (!tuple) throw py::error_already_set();
  std::vector<py::object> items(static_cast<size_t>(PyTuple_GET_SIZE(tuple.ptr())));
  for (size_t i = 0; i < items.size(); ++i)
    items[i] = py::reinterpret_borrow<py::object>(PyTuple_GET_ITEM(tuple.ptr(), i));
  return items;
}

}  // namespace

std::vector<py::object> unpack_out(py::handle object, size_t count) {
  if (object.is_none()) return std::vector<py::object>(count, py::none());
  const std::string wanted = "out must be a tuple of " + std::to_string(count) + " arrays, got ";
  if (!py::isinstance<py::tuple>(object)) throw py::type_error(wanted + type_name(object));
  std::vector<py::object> items = items_of(object);
  if (items.size() != count) throw py::type_error(wanted + "a tuple of " + std::to_string(items.size()));
  return items;
}

int64_t parse_integer(py::handle object, const std::string& name) {
  const auto index = py::reinterpret_steal<py::object>(PyNumber_Index(object.ptr()));
  if (!index) {
    if (!PyErr_ExceptionMatches(PyExc_TypeError)) throw py::error_already_set();
    PyErr_Clear();
    throw py::type_error(name + " must be an integer, got " + shown(object));
  }
  int overflow = 0;
  const long long value = PyLong_AsLongLongAndOverflow(index.ptr(), &overflow);
  if (overflow != 0) throw py::value_error(name + " must fit int64, got " + shown(object));
  return value;
}

uint64_t parse_unsigned(py::handle object, const char* name, uint64_t largest) {
  const auto index = py::reinterpret_steal<py::object>(PyNumber_Index(object.ptr()));
  if (!index) {
    if (!PyErr_ExceptionMatches(PyExc_TypeError)) throw py::error_already_set();
    PyErr_Clear();
    throw py::type_error(std::string(name) + " must be an integer, got " + shown(object));
  }
  const unsigned long long value = PyLong_AsUnsignedLongLong(index.ptr());
  const bool outside = PyErr_Occurred() != nullptr;  // it is negative, or 2**64 or more
  if (outside) PyErr_Clear();
  if (outside || value > largest)
    throw py::value_error(std::string(name) + " must be from 0 to " + std::to_string(largest) + ", got " +
                          shown(object));
  return value;
}

bool parse_bool(py::handle object, const char* name) {
  if (object.ptr() == Py_True || object.ptr() == Py_False) return object.ptr() == Py_True;
  const std::string type = Py_TYPE(object.ptr())->tp_name;
  if (type != "numpy.bool" && type != "numpy.bool_")
    throw py::type_error(std::string(name) + " must be True or False, got " + shown(object));
  const int truth = PyObject_IsTrue(object.ptr());
  if (truth < 0) throw py::error_already_set();  // a class of another library may have this name
  return truth == 1;
}

double parse_double(py::handle object, const char* name) {
  const double value = PyFloat_AsDouble(object.ptr());
  if (value == -1.0 && PyErr_Occurred()) {
    const bool too_large = PyErr_ExceptionMatches(PyExc_OverflowError);
    if (!too_large && !PyErr_ExceptionMatches(PyExc_TypeError)) throw py::error_already_set();
    PyErr_Clear();
    if (too_large) throw py::value_error(std::string(name) + " must fit a float, got " + shown(object));
    throw py::type_error(std::string(name) + " must be a number, got " + shown(object));
  }
  return value;
}

float parse_float(py::handle object, const char* name) {
  return static_cast<float>(parse_double(object, name));
}

std::string parse_string(py::handle object, const char* name) {
  if (!py::isinstance<py::str>(object))
    throw py::type_error(std::string(name) + " must be a string, got " + shown(object));
  Py_ssize_t size = 0;
  const char* const text = PyUnicode_AsUTF8AndSize(object.ptr(), &size);
  if (text == nullptr) {  // the string contains one half of a surrogate pair
    PyErr_Clear();
    throw py::value_error(std::string(name) + " must be a string that UTF-8 can encode, got " +
                          shown(object));
  }
  return {text, static_cast<size_t>(size)};
}

namespace {

std::vector<py::object> pair_of(py::handle object, const char* name, const char* form) {
  if (is_sequence(object))
    if (std::vector<py::object> items = items_of(object); items.size() == 2) return items;
  throw py::type_error(std::string(name) + " must be " + form + ", got " + shown(object));
}

Pair parse_items(const std::vector<py::object>& items, const char* name) {
  return {parse_integer(items[0], name), parse_integer(items[1], name)};
}

}  // namespace

Pair parse_pair(py::handle object, const char* name) {
  if (is_sequence(object))
    return parse_items(pair_of(object, name, "an integer or a pair (height, width)"), name);
  const int64_t value = parse_integer(object, name);
  return {value, value};
}

Padding parse_padding(py::handle object) {
  constexpr const char* kForm = "an integer, a pair (height, width) or ((top, bottom), (left, right))";
  if (!is_sequence(object)) {
    const int64_t value = parse_integer(object, "padding");
    return {value, value, value, value};
  }
  const std::vector<py::object> items = pair_of(object, "padding", kForm);
  if (is_sequence(items[0]) || is_sequence(items[1])) {
    const Pair h = parse_items(pair_of(items[0], "padding", kForm), "padding");
    const Pair w = parse_items(pair_of(items[1], "padding", kForm), "padding");
    return {h.h, h.w, w.h, w.w};
  }
  const Pair both = parse_items(items, "padding");
  return {both.h, both.h, both.w, both.w};
}

Shape parse_shape(py::handle object, const char* name, size_t dimensions) {
  Shape shape;
  if (is_sequence(object)) {
    for (const py::object& item : items_of(object)) shape.push_back(parse_integer(item, name));
  } else {
    shape.push_back(parse_integer(object, name));
  }
  if (dimensions != SIZE_MAX && shape.size() != dimensions)
    throw py::value_error(std::string(name) + " must have " + std::to_string(dimensions) +
                          " dimensions, got " + to_string(shape));
  constexpr size_t kMostDimensions = 32;  // NumPy's limit before version 2
  const bool negative = std::any_of(shape.begin(), shape.end(), [](int64_t d) { return d < 0; });
  if (negative || shape.size() > kMostDimensions || !is_countable(shape.data(), shape.size()))
    throw py::value_error(std::string(name) + " must have at most " + std::to_string(kMostDimensions) +
                          " sizes, none of them negative, and describe at most 2**60 bytes, got " +
                          to_string(shape));
  return shape;
}

ops::Activation parse_activation(py::handle object) {
  if (object.is_none()) return ops::Activation::kNone;
  const std::string name = parse_string(object, "activation");
  if (name == "relu") return ops::Activation::kRelu;
  if (name == "tanh") return ops::Activation::kTanh;
  if (name == "sigmoid") return ops::Activation::kSigmoid;
  fail("activation must be \"relu\", \"tanh\", \"sigmoid\" or None, got \"", name, "\"");
}

}  // namespace byhand::bindings
