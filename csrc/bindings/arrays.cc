#include "bindings/arrays.h"

#include <algorithm>
#include <new>

#include "bindings/device_array.h"
#include "core/check.h"

namespace byhand::bindings {
namespace {

// Returns whether the dtype of the array is T. If the type number and the byte order are those of T, this is
// known at once. Otherwise NumPy decides, because an equivalent dtype may have another number: `long` and
// `long long` are both int64.
template <class T>
bool is_dtype(const py::dtype& type) {
  return (type.num() == py::detail::npy_format_descriptor<T>::value && type.byteorder() == '=') ||
         py::detail::npy_api::get().PyArray_EquivTypes_(type.ptr(), py::dtype::of<T>().ptr());
}

AnyArray float_array(py::handle object, const char* name, int dimensions, Access access = Access::kRead) {
  AnyArray array(object, name, "np.asarray(..., np.float32) converts it", access);
  if (!array.has_dtype<float>())
    throw py::type_error(std::string(name) + " must have the dtype float32, got " + text_of(array.dtype()) +
                         "; convert it with .astype(np.float32)");
  if (dimensions >= 0 && array.dimensions() != dimensions)
    throw py::value_error(std::string(name) + " must have " + std::to_string(dimensions) +
                          " dimensions, got shape " + to_string(array.shape()));
  return array;
}

void check_no_overlap(const Region& a, std::initializer_list<Region> others) {
  for (const Region& b : others)
    if (a.begin < b.end && b.begin < a.end && a.begin != a.end && b.begin != b.end)
      throw py::value_error(
          std::string(a.name) +
          " must not overlap another array of the call, but the memory ranges of both have " +
          std::to_string(std::min(a.end, b.end) - std::max(a.begin, b.begin)) +
          " bytes in common; pass a separate array");
}

std::string place_of(const Region& array) {
  const std::string device = array.device->name;
  return std::string(array.name) + " is on " + (device == "cpu" ? "the CPU" : device);
}

void check_one_device(const Region& array, std::initializer_list<Region> others) {
  for (const Region& other : others)
    if (other.device != nullptr && other.device != array.device)
      throw py::value_error("all arrays of a call must be on one device, but " + place_of(other) + " and " +
                            place_of(array) + "; move one of them with byhand.asarray(..., device=...)");
}

void check_writable_and_contiguous(const AnyArray& array, const char* name) {
  if (!array.is_writable())
    throw py::value_error(std::string(name) +
                          " must be writable, got a read-only array; pass another, or a copy");
  if (array.is_contiguous()) return;
  Shape strides;
  for (int i = 0; i < array.dimensions(); ++i) strides.push_back(array.stride(i));
  throw py::value_error(std::string(name) + " must be C-contiguous and aligned, got shape " +
                        to_string(array.shape()) + " with strides " + to_string(strides) +
                        "; pass a new array, as from np.empty");
}

}  // namespace

const Device& common_device(std::initializer_list<Region> arrays) {
  for (const Region& array : arrays)
    if (array.device != nullptr) {
      check_one_device(array, arrays);
      return *array.device;
    }
  return cpu_device();
}

AnyArray::AnyArray(py::handle object, const char* name, const char* advice, Access access)
    : array_(py::reinterpret_borrow<py::array>(object)) {
  if (py::isinstance<py::array>(object)) return;
  if (py::isinstance<DeviceArray>(object)) {
    on_device_ = object.cast<const DeviceArray*>();
    return;
  }
  const py::object array = array_of(object, name, access);
  if (!array)
    throw py::type_error(std::string(name) + " must be a numpy.ndarray, got " + type_name(object) + "; " +
                         advice);
  array_ = py::reinterpret_borrow<py::array>(array);
}

const Device& AnyArray::device() const { return on_device_ ? on_device_->device() : cpu_device(); }

py::dtype AnyArray::dtype() const { return on_device_ ? on_device_->dtype() : array_.dtype(); }

int64_t AnyArray::dimensions() const {
  return on_device_ ? static_cast<int64_t>(on_device_->shape().size()) : array_.ndim();
}

Shape AnyArray::shape() const {
  return on_device_ ? on_device_->shape() : Shape{array_.shape(), array_.shape() + array_.ndim()};
}

int64_t AnyArray::size() const { return on_device_ ? on_device_->size() : array_.size(); }

void* AnyArray::data() const { return on_device_ ? on_device_->data() : const_cast<void*>(array_.data()); }

int64_t AnyArray::stride(int axis) const {
  if (!on_device_) return array_.strides(axis);
  int64_t stride = on_device_->dtype().itemsize();
  for (size_t i = on_device_->shape().size() - 1; i > static_cast<size_t>(axis); --i)
    stride *= on_device_->shape()[i];
  return stride;
}

bool AnyArray::is_contiguous() const {
  constexpr int kNeeded = int{py::array::c_style} | int{py::detail::npy_api::NPY_ARRAY_ALIGNED_};
  return on_device_ || (array_.flags() & kNeeded) == kNeeded;
}

bool AnyArray::is_writable() const { return on_device_ || array_.writeable(); }

Region AnyArray::region(const char* name) const {
  if (on_device_) {
    const auto begin = reinterpret_cast<intptr_t>(on_device_->data());
    return {name, &on_device_->device(), begin, begin + on_device_->bytes()};
  }
  intptr_t begin = reinterpret_cast<intptr_t>(array_.data()), end = begin;
  if (array_.size() == 0) return {name, &cpu_device(), begin, begin};
  for (py::ssize_t i = 0; i < array_.ndim(); ++i) {
    const intptr_t reach = array_.strides(i) * (array_.shape(i) - 1);
    (reach < 0 ? begin : end) += reach;
  }
  return {name, &cpu_device(), begin, end + array_.itemsize()};
}

template <class T>
bool AnyArray::has_dtype() const {
  return is_dtype<T>(dtype());
}

template <class T>
void AnyArray::expect_dtype(const char* name) const {
  if (!has_dtype<T>())
    throw py::type_error(std::string(name) + " must have the dtype " + text_of(py::dtype::of<T>()) +
                         ", got " + text_of(dtype()));
}

template <class T>
void AnyArray::make_contiguous() {
  if (is_contiguous() && has_dtype<T>()) return;
  constexpr int kFlags =
      int{py::array::c_style} | int{py::array::forcecast} | int{py::detail::npy_api::NPY_ARRAY_ALIGNED_};
  auto copy = py::array_t<T, kFlags>::ensure(array_);
  if (!copy) throw std::bad_alloc();
  array_ = std::move(copy);
}

Input::Input(py::handle object, const char* name, int dimensions)
    : array_(float_array(object, name, dimensions)), region_(array_.region(name)) {
  array_.make_contiguous<float>();
  shape_ = array_.shape();
  data_ = static_cast<const float*>(array_.data());
  size_ = array_.size();
}

void Input::expect(const Shape& shape, const char* why) const {
  if (shape_ != shape)
    throw py::value_error(std::string(region_.name) + " must have shape " + to_string(shape) + " (" + why +
                          "), got " + to_string(shape_));
}

MatrixInput::MatrixInput(py::handle object, const char* name)
    : array_(float_array(object, name, 2)), region_(array_.region(name)) {
  constexpr int64_t kSize = sizeof(float);
  const bool is_aligned = array_.stride(0) % kSize == 0 && array_.stride(1) % kSize == 0 &&
                          reinterpret_cast<intptr_t>(array_.data()) % kSize == 0;
  if (!is_aligned) array_.make_contiguous<float>();  // a field of a structured array may need this
  const Shape shape = array_.shape();
  // In NumPy, a dimension with one element may have any stride. A driver may choose the algorithm by the
  // strides, and the result must not depend on an arbitrary number. So such a dimension gets the stride of a
  // contiguous array.
  matrix_ = {static_cast<const float*>(array_.data()), shape[0], shape[1],
             shape[0] == 1 ? shape[1] : array_.stride(0) / kSize,
             shape[1] == 1 ? 1 : array_.stride(1) / kSize};
}

namespace {

// Throws if a number is too large for int64.
void check_fits_int64(const AnyArray& array, const char* name) {
  const py::object largest =
      py::array::ensure(array.object()).attr("max")();  // ndarray's method, not a subclass's
  if (PyLong_AsLongLong(py::int_(largest).ptr()) == -1 && PyErr_Occurred()) {
    PyErr_Clear();
    throw py::value_error(std::string(name) + " must fit int64, got " + text_of(largest));
  }
}

AnyArray integer_array(py::handle object, const char* name, int dimensions) {
  AnyArray array(object, name, "np.asarray converts it");
  const py::dtype dtype = array.dtype();
  const bool is_on_cpu = &array.device() == &cpu_device();
  if ((dtype.kind() != 'i' && dtype.kind() != 'u') || (!is_on_cpu && !array.has_dtype<int64_t>()))
    throw py::type_error(std::string(name) + " must have " +
                         (is_on_cpu ? "an integer dtype" : "the dtype int64 on this device") + ", got " +
                         text_of(dtype) + "; convert it with .astype(np.int64)");
  if (array.dimensions() != dimensions)
    throw py::value_error(std::string(name) + " must have " + std::to_string(dimensions) + " dimension" +
                          (dimensions == 1 ? "" : "s") + ", got shape " + to_string(array.shape()));
  if (dtype.kind() == 'u' && dtype.itemsize() == 8 && array.size() > 0) check_fits_int64(array, name);
  return array;
}

template <class T>
AnyArray exact_array(py::handle object, const char* name, int min_dimensions) {
  AnyArray array(object, name, "np.asarray converts it");
  array.expect_dtype<T>(name);
  if (array.dimensions() < min_dimensions)
    throw py::value_error(std::string(name) + " must have at least " + std::to_string(min_dimensions) +
                          " dimension" + (min_dimensions == 1 ? "" : "s") + ", got shape " +
                          to_string(array.shape()));
  return array;
}

}  // namespace

IntegerInput::IntegerInput(py::handle object, const char* name, int dimensions)
    : array_(integer_array(object, name, dimensions)), region_(array_.region(name)) {
  array_.make_contiguous<int64_t>();
  shape_ = array_.shape();
  data_ = static_cast<const int64_t*>(array_.data());
  if (region_.device != &cpu_device()) return;
  values_.assign(data_, data_ + array_.size());
  data_ = values_.data();
}

template <class T>
ExactInput<T>::ExactInput(py::handle object, const char* name, int min_dimensions)
    : array_(exact_array<T>(object, name, min_dimensions)), region_(array_.region(name)) {
  array_.template make_contiguous<T>();
  shape_ = array_.shape();
  data_ = static_cast<const T*>(array_.data());
}
template class ExactInput<uint8_t>;
template class ExactInput<int32_t>;

namespace {

template <class T>
py::object new_array(const Device& device, const Shape& shape) {
  if (&device == &cpu_device()) return py::array_t<T>(shape);
  return py::cast(DeviceArray(device, py::dtype::of<T>(), shape));
}

}  // namespace

template <class T>
Output<T>::Output(py::handle out, const char* name, const Shape& shape,
                  std::initializer_list<Region> inputs) {
  const AnyArray array(
      out.is_none() ? new_array<T>(common_device(inputs), shape) : py::reinterpret_borrow<py::object>(out),
      name, "leave it out to get a new array", Access::kWrite);
  array_ = out.is_none() ? array.object() : py::reinterpret_borrow<py::object>(out);
  memory_ = array.object();
  region_ = array.region(name);
  data_ = static_cast<T*>(array.data());
  if (out.is_none()) return;
  array.template expect_dtype<T>(name);
  if (array.shape() != shape)
    throw py::value_error(std::string(name) + " must have shape " + to_string(shape) + ", got " +
                          to_string(array.shape()));
  check_writable_and_contiguous(array, name);
  check_one_device(region_, inputs);
  check_no_overlap(region_, inputs);
}

template <class T>
void Output<T>::must_not_overlap(const Region& other) const {
  check_no_overlap(region_, {other});
}
template class Output<float>;
template class Output<int32_t>;
template class Output<int64_t>;

template <class T>
ScalarOutput<T>::ScalarOutput(const Device& device) {
  if (&device != &cpu_device())
    on_device_.emplace(Output<T>(py::none(), "", {}, {Region{"", &device, 0, 0}}));
}

template <class T>
py::object ScalarOutput<T>::object() const {
  if (on_device_) return on_device_->array();
  if constexpr (std::is_integral_v<T>) return py::int_(value_);
  static PyObject* const type =
      py::object(py::dtype::of<T>().attr("type")).release().ptr();  // never freed, like NumPy itself
  return py::reinterpret_borrow<py::object>(type)(value_);
}
template class ScalarOutput<float>;
template class ScalarOutput<int64_t>;

Gradients::Gradients(py::handle out, py::handle input_gradient, py::handle bias_gradient,
                     const Shape& x_shape, const Shape& weight_shape, const Shape& bias_shape,
                     std::initializer_list<Region> inputs) {
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
  if (dx_) dw_->must_not_overlap(dx_->region());
  if (db_) db_->must_not_overlap(dw_->region());
  if (db_ && dx_) db_->must_not_overlap(dx_->region());
}

py::tuple Gradients::arrays() const {
  const auto or_none = [](const auto& output) { return output ? output->array() : py::none(); };
  return py::make_tuple(or_none(dx_), dw_->array(), or_none(db_));
}

InPlace::InPlace(py::handle object, const char* name, std::initializer_list<Region> others)
    : array_(float_array(object, name, -1, Access::kWrite)),
      region_(array_.region(name)),
      shape_(array_.shape()),
      data_(static_cast<float*>(array_.data())),
      size_(array_.size()) {
  check_writable_and_contiguous(array_, name);
  check_one_device(region_, others);
  check_no_overlap(region_, others);
}

}  // namespace byhand::bindings
