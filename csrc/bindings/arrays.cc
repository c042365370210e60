#include "bindings/arrays.h"

#include <algorithm>
#include <new>

#include "core/check.h"

namespace byhand::bindings {
namespace {

std::string dtype_name(const py::array& array) { return py::str(array.dtype()); }

// Returns whether the dtype of the array is T. If the type number and the byte order are those of T, this is
// known at once. Otherwise NumPy decides, because an equivalent dtype may have another number: `long` and
// `long long` are both int64.
template <class T>
bool has_dtype(const py::array& array) {
  const py::dtype type = array.dtype();
  return (type.num() == py::detail::npy_format_descriptor<T>::value && type.byteorder() == '=') ||
         py::isinstance<py::array_t<T>>(array);
}

bool is_contiguous(const py::array& array) {
  constexpr int kNeeded = int{py::array::c_style} | int{py::detail::npy_api::NPY_ARRAY_ALIGNED_};
  return (array.flags() & kNeeded) == kNeeded;
}

Shape shape_of(const py::array& array) { return {array.shape(), array.shape() + array.ndim()}; }

template <class T>
T* data_of(const py::array& array) {
  return static_cast<T*>(const_cast<void*>(array.data()));
}

py::array as_array(py::handle object, const char* name, const char* advice) {
  if (!py::isinstance<py::array>(object))
    throw py::type_error(std::string(name) + " must be a numpy.ndarray, got " + type_name(object) + "; " +
                         advice);
  return py::reinterpret_borrow<py::array>(object);
}

py::array float_array(py::handle object, const char* name, int dimensions) {
  py::array array = as_array(object, name, "np.asarray(..., np.float32) converts it");
  if (!has_dtype<float>(array))
    throw py::type_error(std::string(name) + " must have the dtype float32, got " + dtype_name(array) +
                         "; convert it with .astype(np.float32)");
  if (dimensions >= 0 && array.ndim() != dimensions)
    throw py::value_error(std::string(name) + " must have " + std::to_string(dimensions) +
                          " dimensions, got shape " + to_string(shape_of(array)));
  return array;
}

// Returns the array itself if it is C-contiguous, aligned and of dtype T, otherwise a copy with these
// properties. The copy is a plain ndarray, even if the argument is of a subclass of ndarray, because the
// methods of a subclass may report anything.
template <class T>
py::array contiguous(const py::array& array) {
  if (is_contiguous(array) && has_dtype<T>(array)) return array;
  constexpr int kFlags =
      int{py::array::c_style} | int{py::array::forcecast} | int{py::detail::npy_api::NPY_ARRAY_ALIGNED_};
  auto copy = py::array_t<T, kFlags>::ensure(array);
  if (!copy) throw std::bad_alloc();
  return copy;
}

// The address of the first byte of an array, and the address after its last byte. They are equal if the array
// is empty.
struct Span {
  intptr_t begin, end;
};

Span span_of(const py::array& array) {
  intptr_t begin = reinterpret_cast<intptr_t>(array.data()), end = begin;
  if (array.size() == 0) return {begin, begin};
  for (py::ssize_t i = 0; i < array.ndim(); ++i) {
    const intptr_t reach = array.strides(i) * (array.shape(i) - 1);
    (reach < 0 ? begin : end) += reach;
  }
  return {begin, end + array.itemsize()};
}

void check_no_overlap(const py::array& array, const char* name, std::initializer_list<py::array> others) {
  const Span a = span_of(array);
  for (const py::array& other : others) {
    const Span b = span_of(other);
    if (a.begin < b.end && b.begin < a.end && a.begin != a.end && b.begin != b.end)
      throw py::value_error(
          std::string(name) +
          " must not overlap another array of the call, but the memory ranges of both have " +
          std::to_string(std::min(a.end, b.end) - std::max(a.begin, b.begin)) +
          " bytes in common; pass a separate array");
  }
}

void check_writable_and_contiguous(const py::array& array, const char* name) {
  if (!array.writeable())
    throw py::value_error(std::string(name) +
                          " must be writable, got a read-only array; pass another, or a copy");
  if (!is_contiguous(array))
    throw py::value_error(std::string(name) + " must be C-contiguous and aligned, got shape " +
                          to_string(shape_of(array)) + " with strides " +
                          to_string({array.strides(), array.strides() + array.ndim()}) +
                          "; pass a new array, as from np.empty");
}

}  // namespace

Input::Input(py::handle object, const char* name, int dimensions)
    : original_(float_array(object, name, dimensions)),
      array_(contiguous<float>(original_)),
      shape_(shape_of(array_)),
      data_(data_of<float>(array_)),
      size_(array_.size()),
      name_(name) {}

void Input::expect(const Shape& shape, const char* why) const {
  if (shape_ != shape)
    throw py::value_error(std::string(name_) + " must have shape " + to_string(shape) + " (" + why +
                          "), got " + to_string(shape_));
}

MatrixInput::MatrixInput(py::handle object, const char* name)
    : original_(float_array(object, name, 2)), array_(original_) {
  constexpr py::ssize_t kSize = sizeof(float);
  const bool is_aligned = array_.strides(0) % kSize == 0 && array_.strides(1) % kSize == 0 &&
                          reinterpret_cast<intptr_t>(array_.data()) % kSize == 0;
  if (!is_aligned) array_ = contiguous<float>(array_);  // a field of a structured array may need this
  const int64_t rows = array_.shape(0), columns = array_.shape(1);
  // In NumPy, a dimension with one element may have any stride. A driver may choose the algorithm by the
  // strides, and the result must not depend on an arbitrary number. So such a dimension gets the stride of a
  // contiguous array.
  matrix_ = {static_cast<const float*>(array_.data()), rows, columns,
             rows == 1 ? columns : array_.strides(0) / kSize, columns == 1 ? 1 : array_.strides(1) / kSize};
}

namespace {

py::array integer_array(py::handle object, const char* name, int dimensions) {
  py::array array = as_array(object, name, "np.asarray converts it");
  const char kind = array.dtype().kind();
  if (kind != 'i' && kind != 'u')
    throw py::type_error(std::string(name) + " must have an integer dtype, got " + dtype_name(array) +
                         "; convert it with .astype(np.int64)");
  if (array.ndim() != dimensions)
    throw py::value_error(std::string(name) + " must have " + std::to_string(dimensions) + " dimension" +
                          (dimensions == 1 ? "" : "s") + ", got shape " + to_string(shape_of(array)));
  if (kind == 'u' && array.itemsize() == 8 && array.size() > 0) {
    const py::object largest = py::array::ensure(array).attr("max")();  // ndarray's method, not a subclass's
    if (PyLong_AsLongLong(py::int_(largest).ptr()) == -1 && PyErr_Occurred()) {
      PyErr_Clear();
      throw py::value_error(std::string(name) + " must fit int64, got " + std::string(py::str(largest)));
    }
  }
  return array;
}

template <class T>
void check_dtype(const py::array& array, const char* name) {
  if (!has_dtype<T>(array))
    throw py::type_error(std::string(name) + " must have the dtype " +
                         std::string(py::str(py::dtype::of<T>())) + ", got " + dtype_name(array));
}

template <class T>
py::array exact_array(py::handle object, const char* name, int min_dimensions) {
  py::array array = as_array(object, name, "np.asarray converts it");
  check_dtype<T>(array, name);
  if (array.ndim() < min_dimensions)
    throw py::value_error(std::string(name) + " must have at least " + std::to_string(min_dimensions) +
                          " dimension" + (min_dimensions == 1 ? "" : "s") + ", got shape " +
                          to_string(shape_of(array)));
  return array;
}

}  // namespace

IntegerInput::IntegerInput(py::handle object, const char* name, int dimensions)
    : original_(integer_array(object, name, dimensions)) {
  const py::array array = contiguous<int64_t>(original_);
  shape_ = shape_of(array);
  values_.assign(data_of<int64_t>(array), data_of<int64_t>(array) + array.size());
}

template <class T>
ExactInput<T>::ExactInput(py::handle object, const char* name, int min_dimensions)
    : original_(exact_array<T>(object, name, min_dimensions)),
      array_(contiguous<T>(original_)),
      shape_(shape_of(array_)),
      data_(data_of<T>(array_)) {}
template class ExactInput<uint8_t>;
template class ExactInput<int32_t>;

template <class T>
Output<T>::Output(py::handle out, const char* name, const Shape& shape,
                  std::initializer_list<py::array> inputs)
    : array_(out.is_none() ? py::array(py::array_t<T>(shape))
                           : as_array(out, name, "leave it out to get a new array")),
      data_(data_of<T>(array_)) {
  if (out.is_none()) return;
  check_dtype<T>(array_, name);
  if (shape_of(array_) != shape)
    throw py::value_error(std::string(name) + " must have shape " + to_string(shape) + ", got " +
                          to_string(shape_of(array_)));
  check_writable_and_contiguous(array_, name);
  check_no_overlap(array_, name, inputs);
}
template class Output<float>;
template class Output<int32_t>;

Gradients::Gradients(py::handle out, py::handle input_gradient, py::handle bias_gradient,
                     const Shape& x_shape, const Shape& weight_shape, const Shape& bias_shape,
                     std::initializer_list<py::array> inputs) {
  const std::vector<py::object> outs = unpack_out(out, 3);
  if (parse_bool(input_gradient, "input_gradient"))
    dx_.emplace(outs[0], "out[0]", x_shape, inputs);
  else
    require(outs[0].is_none(), "out[0] must be None if input_gradient is False");
  dw_.emplace(outs[1], "out[1]", weight_shape, inputs);
  if (parse_bool(bias_gradient, "bias_gradient"))
    db_.emplace(outs[2], "out[2]", bias_shape, inputs);
  else
    require(outs[2].is_none(), "out[2] must be None if bias_gradient is False");
  if (dx_) check_no_overlap(dw_->array(), "out[1]", {dx_->array()});
  if (db_) check_no_overlap(db_->array(), "out[2]", {dw_->array()});
  if (db_ && dx_) check_no_overlap(db_->array(), "out[2]", {dx_->array()});
}

py::tuple Gradients::arrays() const {
  const auto or_none = [](const auto& output) { return output ? py::object(output->array()) : py::none(); };
  return py::make_tuple(or_none(dx_), dw_->array(), or_none(db_));
}

InPlace::InPlace(py::handle object, const char* name, std::initializer_list<py::array> others)
    : array_(float_array(object, name, -1)),
      shape_(shape_of(array_)),
      data_(data_of<float>(array_)),
      size_(array_.size()) {
  check_writable_and_contiguous(array_, name);
  check_no_overlap(array_, name, others);
}

py::object float32_scalar(float value) {
  static PyObject* const type =
      py::object(py::dtype::of<float>().attr("type")).release().ptr();  // never freed, like NumPy itself
  return py::reinterpret_borrow<py::object>(type)(value);
}

}  // namespace byhand::bindings
