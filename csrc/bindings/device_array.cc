#include "bindings/device_array.h"

#include <pybind11/stl.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <memory>
#include <new>
#include <numeric>
#include <optional>
#include <stdexcept>

#include "bindings/arrays.h"
#include "bindings/bind.h"
#include "bindings/dlpack.h"
#include "bindings/function.h"
#include "bindings/gil.h"
#include "core/check.h"

namespace byhand::bindings {
namespace {

// The devices that have been loaded, by name. The GIL protects this map.
std::map<std::string, const Device*>& devices() {
  static auto& all = *new std::map<std::string, const Device*>{{"cpu", &cpu_device()}};
  return all;
}

// Makes the device of another module known. `capsule` holds its table.
void add_device(py::handle capsule) {
  const auto* const device = static_cast<const Device*>(PyCapsule_GetPointer(capsule.ptr(), "byhand.Device"));
  if (device == nullptr) throw py::error_already_set();
  if (device->hash != hash_of_operators())
    throw DeviceError(
        "the module of the device belongs to another version of byhand; build byhand again, with all of its "
        "modules");
  devices()[device->name] = device;
}

Shape checked(Shape shape) {
  require(is_countable(shape.data(), shape.size()), "an array of shape ", shape, " would be too large");
  return shape;
}

int64_t product(const Shape& shape) {
  return std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<>());
}

void* allocate(const Device& device, int64_t bytes) {
  void* memory = nullptr;
  without_gil([&] { memory = device.allocate(static_cast<size_t>(bytes)); });  // it may wait for the device
  return memory;
}

}  // namespace

const Device& device_named(const std::string& name) {
  const auto found = devices().find(name);
  if (found != devices().end()) return *found->second;
  require(name == "cuda", "device must be \"cpu\" or \"cuda\", got \"", name, "\"");
  py::module_::import("byhand.cuda").attr("load")();
  return *devices().at(name);
}

// release_scratch locks the stack of each thread for a moment. If another thread forked in this moment, the
// stack would stay locked in the child. os.fork holds the GIL, so the CPU's memory is released with the GIL
// held. A GPU may have to wait for its work, and cannot be used after a fork anyway.
size_t release_cached_memory() {
  size_t bytes = 0;
  for (const auto& [name, device] : devices()) {
    if (device == &cpu_device())
      bytes += device->release_cached();
    else
      without_gil([&bytes, device = device] { bytes += device->release_cached(); });
  }
  return bytes;
}

DeviceArray::DeviceArray(const Device& device, py::dtype dtype, Shape shape)
    : device_(&device),
      dtype_(std::move(dtype)),
      shape_(checked(std::move(shape))),
      size_(product(shape_)),
      memory_(allocate(device, bytes()), device.release),
      data_(memory_.get()) {}

DeviceArray::DeviceArray(const DeviceArray& other, py::dtype dtype, Shape shape, int64_t offset)
    : device_(other.device_),
      dtype_(std::move(dtype)),
      shape_(std::move(shape)),
      size_(product(shape_)),
      memory_(other.memory_),
      data_(static_cast<char*>(other.data_) + offset) {}

namespace {

// Returns a view of the items `begin` to `end` along the first axis.
DeviceArray rows(const DeviceArray& a, int64_t begin, int64_t end) {
  Shape shape = a.shape();
  const int64_t row_bytes = shape[0] == 0 ? 0 : a.bytes() / shape[0];
  shape[0] = std::max<int64_t>(end - begin, 0);
  return {a, a.dtype(), shape, begin * row_bytes};
}

// a[key], where `key` is an integer, a slice with step 1, or an ellipsis.
DeviceArray item(const DeviceArray& a, py::handle key) {
  if (key.is(py::ellipsis())) return a;
  if (a.shape().empty())  // an IndexError would end a loop over the array, as if it were empty
    throw py::type_error("an array without dimensions has no rows; array.item() returns its value");
  const int64_t length = a.shape()[0];
  if (py::isinstance<py::slice>(key)) {
    Py_ssize_t begin, end, step;
    if (PySlice_Unpack(key.ptr(), &begin, &end, &step) < 0) throw py::error_already_set();
    PySlice_AdjustIndices(length, &begin, &end, step);
    require(step == 1, "a slice of a DeviceArray must have step 1, got ", step,
            "; array.to(\"cpu\") has every slice");
    return rows(a, begin, end);
  }
  if (!PyIndex_Check(key.ptr()))
    throw py::type_error("a DeviceArray takes an integer, a slice or ... as index, got " + type_name(key) +
                         "; array.to(\"cpu\") takes every index");
  int64_t i = parse_integer(key, "index");
  if (i < -length || i >= length)
    throw py::index_error("index " + std::to_string(i) + " is out of range for the first axis of shape " +
                          to_string(a.shape()));
  i = i < 0 ? i + length : i;
  const DeviceArray row = rows(a, i, i + 1);
  return {row, a.dtype(), Shape(a.shape().begin() + 1, a.shape().end()), 0};
}

DeviceArray reshaped(const DeviceArray& a, const py::args& sizes) {
  const py::object given = sizes.size() == 1 ? py::object(sizes[0]) : py::object(sizes);
  Shape wanted;
  if (py::isinstance<py::sequence>(given))
    for (const py::handle size : given) wanted.push_back(parse_integer(size, "shape"));
  else
    wanted.push_back(parse_integer(given, "shape"));
  Shape shape = wanted;
  const auto is_shape = [&shape] {
    return std::all_of(shape.begin(), shape.end(), [](int64_t size) { return size >= 0; }) &&
           is_countable(shape.data(), shape.size());
  };
  const auto unknown = std::find(shape.begin(), shape.end(), -1);
  if (unknown != shape.end()) {
    *unknown = 1;
    const int64_t others = is_shape() ? product(shape) : 0;
    *unknown = others > 0 ? a.size() / others : -1;  // if the others have no values, any size would fit
  }
  require(is_shape() && product(shape) == a.size(), "shape must have the ", a.size(),
          " values of the array, got ", wanted);
  return {a, a.dtype(), shape, 0};
}

// Returns the dtype that arrays on devices have for values of `given`, or nothing if there is none. It has
// the byte order of this machine, even if `given` has the other one.
std::optional<py::dtype> device_dtype(const py::dtype& given) {
  for (const py::dtype& dtype :
       {py::dtype::of<float>(), py::dtype::of<int32_t>(), py::dtype::of<int64_t>(), py::dtype::of<uint8_t>()})
    if (given.kind() == dtype.kind() && given.itemsize() == dtype.itemsize()) return dtype;
  return {};
}

[[noreturn]] void refuse_dtype(const char* name, const py::dtype& given, const char* advice) {
  throw py::type_error(std::string(name) + " must have the dtype float32, int32, int64 or uint8, got " +
                       text_of(given) + advice);
}

DeviceArray viewed(const DeviceArray& a, const py::dtype& dtype) {
  const std::optional<py::dtype> known = device_dtype(dtype);
  if (!known || !known->equal(dtype)) refuse_dtype("the view", dtype, "");
  require(dtype.itemsize() == a.dtype().itemsize(), "dtype must have ", a.dtype().itemsize(),
          " bytes per value, as ", text_of(a.dtype()), " has, got ", text_of(dtype));
  return {a, *known, a.shape(), 0};
}

DeviceArray copied(const DeviceArray& a) {
  DeviceArray result(a.device(), a.dtype(), a.shape());
  without_gil([&] { a.device().copy(result.data(), a.data(), static_cast<size_t>(a.bytes())); });
  return result;
}

// Copies the values of `source`, an array of NumPy or a DeviceArray of the same device, shape and dtype.
void assign(const DeviceArray& target, py::handle source) {
  const AnyArray from(source, "the new value", "byhand.asarray and np.asarray make arrays");
  require(from.shape() == target.shape(), "the new value must have shape ", target.shape(), ", got ",
          from.shape());
  if (!from.dtype().equal(target.dtype()))
    throw py::type_error("the new value must have the dtype " + text_of(target.dtype()) + ", got " +
                         text_of(from.dtype()));
  const auto bytes = static_cast<size_t>(target.bytes());
  if (&from.device() == &cpu_device()) {
    const auto contiguous = py::array::ensure(from.object(), py::array::c_style);
    if (!contiguous) throw std::bad_alloc();
    const void* const values = contiguous.data();
    without_gil([&] { target.device().from_host(target.data(), values, bytes); });
    return;
  }
  require(&from.device() == &target.device(), "the new value must be on ", target.device().name, ", got ",
          from.device().name);
  const auto& given = source.cast<const DeviceArray&>();
  // A device copies the bytes in any order, so that two ranges must not overlap.
  const bool overlap =
      std::abs(static_cast<char*>(given.data()) - static_cast<char*>(target.data())) < target.bytes();
  const DeviceArray values = overlap ? copied(given) : given;
  without_gil([&] { target.device().copy(target.data(), values.data(), bytes); });
}

py::array to_host(const DeviceArray& a) {
  py::array result(a.dtype(), a.shape());
  void* const to = result.mutable_data();
  without_gil([&] { a.device().to_host(to, a.data(), static_cast<size_t>(a.bytes())); });
  return result;
}

// Returns an array of NumPy with the values of any array_like.
py::array host_array(py::handle object) {
  if (py::isinstance<py::array>(object)) return py::reinterpret_borrow<py::array>(object);
  const py::object array = array_of(object, "x", Access::kRead);
  return array ? array : py::module_::import("numpy").attr("asarray")(object);
}

py::object asarray(py::handle object, py::handle device_object) {
  const Device& device = device_named(parse_string(device_object, "device"));
  if (&device == &cpu_device() && py::isinstance<py::array>(object))
    return py::reinterpret_borrow<py::object>(object);
  if (py::isinstance<DeviceArray>(object)) {
    const auto& a = object.cast<const DeviceArray&>();
    if (&a.device() == &device) return py::reinterpret_borrow<py::object>(object);
    return asarray(to_host(a), device_object);
  }
  const py::array array = host_array(object);
  if (&device == &cpu_device()) return array;
  const std::optional<py::dtype> dtype = device_dtype(array.dtype());
  if (!dtype) refuse_dtype("x", array.dtype(), "; np.asarray(x, np.float32) converts it");
  DeviceArray result(device, *dtype, Shape(array.shape(), array.shape() + array.ndim()));
  assign(result, array.attr("astype")(*dtype, py::arg("copy") = false));
  return py::cast(std::move(result));
}

void fill(const DeviceArray& a, py::handle value_object) {
  if (!a.dtype().equal(py::dtype::of<float>()))
    throw py::type_error("fill needs an array of dtype float32, got " + text_of(a.dtype()));
  const float value = parse_float(value_object, "value");
  without_gil([&] { a.device().fill(static_cast<float*>(a.data()), a.size(), value); });
}

py::object number(const DeviceArray& a) {
  require(a.size() == 1, "only an array of one value is a number, got shape ", a.shape());
  return to_host(a).attr("item")();
}

std::string text(const DeviceArray& a) {
  return "DeviceArray(shape=" + to_string(a.shape()) + ", dtype=" + text_of(a.dtype()) + ", device=\"" +
         a.device().name + "\")";
}

py::tuple shape_of(const DeviceArray& a) {
  return py::tuple(py::cast(static_cast<const std::vector<int64_t>&>(a.shape())));
}

// https://numba.readthedocs.io/en/stable/cuda/cuda_array_interface.html, version 3. All work on the array is
// done when this returns, so nobody has to wait for a stream. Bad labels raise nothing here: a library that
// only asks whether the attribute exists would lose the exception.
py::dict cuda_array_interface(const DeviceArray& a) {
  if (!a.device().is_gpu)  // an AttributeError, so that hasattr() is False
    throw py::attribute_error(std::string("the memory of ") + a.device().name + " is not that of a GPU");
  without_gil([&] { a.device().wait(); });
  py::dict result;
  result["shape"] = shape_of(a);
  result["typestr"] = a.dtype().attr("str");
  result["data"] = py::make_tuple(a.size() == 0 ? 0 : reinterpret_cast<uintptr_t>(a.data()), false);
  result["strides"] = py::none();
  result["stream"] = py::none();
  result["version"] = 3;
  return result;
}

py::tuple dlpack_device(const DeviceArray& a) {
  return py::make_tuple(a.device().is_gpu ? kDLCUDA : kDLCPU, 0);
}

// A tensor for another library, and the view of the array that keeps its memory alive.
struct Exported {
  DeviceArray array;
  DLManagedTensor tensor;
};

// https://data-apis.org/array-api/latest/API_specification/generated/array_api.array.__dlpack__.html. All
// work on the array is done when this returns, so the stream of the caller need not wait.
py::capsule dlpack(const DeviceArray& a, const py::object& /*stream*/, const py::object& /*max_version*/,
                   const py::object& device, const py::object& copy) {
  if (!device.is_none() && !device.equal(dlpack_device(a)))
    throw py::buffer_error(std::string("the array is on ") + a.device().name +
                           "; array.to(\"cpu\") copies it to the CPU");
  const bool is_copied = !copy.is_none() && parse_bool(copy, "copy");
  auto exported = std::make_unique<Exported>(Exported{is_copied ? copied(a) : a, {}});
  without_gil([&] { a.device().synchronize(); });
  const DeviceArray& array = exported->array;
  const char kind = array.dtype().kind();
  exported->tensor.dl_tensor = {
      .data = array.data(),
      .device = {a.device().is_gpu ? kDLCUDA : kDLCPU, 0},
      .ndim = static_cast<int32_t>(array.shape().size()),
      .dtype = {kind == 'f'   ? kDLFloat
                : kind == 'i' ? kDLInt
                              : kDLUInt,
                static_cast<uint8_t>(8 * array.dtype().itemsize()), 1},
      .shape = const_cast<int64_t*>(array.shape().data()),
      .strides = nullptr,
      .byte_offset = 0,
  };
  exported->tensor.manager_ctx = exported.get();
  exported->tensor.deleter = [](DLManagedTensor* self) {
    if (!Py_IsInitialized()) return;   // Python has ended, and the memory of the process is freed soon
    const py::gil_scoped_acquire gil;  // the array holds a dtype
    delete static_cast<Exported*>(self->manager_ctx);
  };
  // The library that takes the tensor renames the capsule and calls the deleter later. If none takes it, the
  // capsule calls the deleter.
  PyObject* const capsule = PyCapsule_New(&exported->tensor, "dltensor", [](PyObject* self) {
    if (!PyCapsule_IsValid(self, "dltensor")) return;
    auto* const tensor = static_cast<DLManagedTensor*>(PyCapsule_GetPointer(self, "dltensor"));
    tensor->deleter(tensor);
  });
  if (capsule == nullptr) throw py::error_already_set();
  exported.release();
  return py::reinterpret_steal<py::capsule>(capsule);
}

// Python would compare the addresses of two objects otherwise, and NumPy would make an array of objects.
[[noreturn]] void refuse(const DeviceArray& a, const py::args&, const py::kwargs&) {
  throw py::type_error(std::string("an array on ") + a.device().name +
                       " is neither converted nor compared; array.to(\"cpu\") returns a NumPy array");
}

py::tuple reduced(const DeviceArray& a) {
  return py::make_tuple(py::module_::import("byhand._core").attr("asarray"),
                        py::make_tuple(to_host(a), a.device().name));
}

}  // namespace

void bind_device_array(py::module_& m) {
  // With Python's own metaclass, as _core.pyi declares. pybind11's would refuse objects whose __init__ did
  // not run. So there must be no such objects: the class has no subclasses, and Python cannot make an object.
  const py::metaclass plain(reinterpret_cast<PyObject*>(&PyType_Type));
  py::class_<DeviceArray> type(m, "DeviceArray", plain, py::is_final(),
                               R"(An array in the memory of a device other than the CPU.

`byhand.asarray(x, device="cuda")` makes one, and `array.to("cpu")` copies it back to NumPy. All
functions of `byhand.kernels` take such arrays, if all arrays of a call are on the same device,
and return arrays of that device. A function may return before the device has computed the
result. Copying a result to the CPU waits for it.

The array is C-contiguous. Slices along the first axis, `reshape` and `view` share its memory.)");
  reinterpret_cast<PyTypeObject*>(type.ptr())->tp_new = [](PyTypeObject*, PyObject*, PyObject*) -> PyObject* {
    PyErr_SetString(PyExc_TypeError,
                    "byhand.asarray(x, device=...) makes a DeviceArray, and nothing else does");
    return nullptr;
  };
  type.def_property_readonly("shape", shape_of, "tuple of int: The size of each axis.")
      .def_property_readonly("dtype", &DeviceArray::dtype, "numpy.dtype: float32, int32, int64 or uint8.")
      .def_property_readonly(
          "ndim", [](const DeviceArray& a) { return a.shape().size(); }, "int: The number of axes.")
      .def_property_readonly("size", &DeviceArray::size, "int: The number of values.")
      .def_property_readonly("nbytes", &DeviceArray::bytes, "int: The number of bytes.")
      .def_property_readonly(
          "device", [](const DeviceArray& a) { return a.device().name; }, "str: The name of the device.")
      .def(
          "to", [](py::handle self, py::handle device) { return asarray(self, device); }, py::arg("device"),
          R"(Copy the array to a device.

Parameters
----------
device : {"cpu", "cuda"}
    The device.

Returns
-------
ndarray or DeviceArray
    A NumPy array for "cpu". If the array is on the device already, the array itself.

Raises
------
RuntimeError
    If the device cannot be used, or one of its earlier computations failed.
ValueError
    If the device is unknown, or a label or an index of an earlier call on this device was out
    of range.)")
      .def("reshape", reshaped, R"(Return a view with another shape and the same number of values.

Parameters
----------
*shape : int, or one tuple of int
    The new shape. One size may be -1, which stands for the size that fits.

Returns
-------
DeviceArray
    The view.

Raises
------
ValueError
    If the shape has another number of values.)")
      .def(
          "view",
          [](const DeviceArray& a, const py::object& dtype) {
            return viewed(a, py::dtype::from_args(dtype));
          },
          py::arg("dtype"), R"(Return a view whose bytes are read as another dtype of the same size.

Parameters
----------
dtype : dtype
    The new dtype.

Returns
-------
DeviceArray
    The view.

Raises
------
TypeError
    If the new dtype is not one of float32, int32, int64 and uint8.
ValueError
    If a value of the new dtype has another number of bytes.)")
      .def("copy", copied, R"(Return a copy on the same device.)")
      .def(
          "fill", [](const DeviceArray& a, py::handle value) { fill(a, value); }, py::arg("value"),
          R"(Set all values of a float32 array.

Parameters
----------
value : float
    The value.

Raises
------
TypeError
    If the array is not float32, or the value is not a number.)")
      .def("item", number, R"(Return the value of an array of size 1 as a Python number.

Raises
------
ValueError
    If the array has more than one value or none.)")
      .def("__len__",
           [](const DeviceArray& a) {
             if (a.shape().empty()) throw py::type_error("an array without dimensions has no len()");
             return a.shape()[0];
           })
      .def("__getitem__", [](const DeviceArray& a, py::handle key) { return item(a, key); })
      .def("__setitem__",
           [](const DeviceArray& a, py::handle key, py::handle value) { assign(item(a, key), value); })
      .def("__float__", [](const DeviceArray& a) { return py::float_(number(a)); })
      .def("__bool__", [](const DeviceArray& a) { return py::bool_(number(a)); })
      .def("__int__", [](const DeviceArray& a) { return py::int_(number(a)); })
      .def("__format__",
           [](const DeviceArray& a, const std::string& spec) {
             return spec.empty() ? py::object(py::str(text(a))) : number(a).attr("__format__")(spec);
           })
      .def("__repr__", text)
      .def("__reduce__", reduced)
      .def("__array__", refuse)
      .def("__contains__", refuse)
      .def("__eq__", refuse)
      .def_property_readonly("__cuda_array_interface__", cuda_array_interface)
      .def("__dlpack__", dlpack, py::kw_only(), py::arg("stream") = py::none(),
           py::arg("max_version") = py::none(), py::arg("dl_device") = py::none(),
           py::arg("copy") = py::none())
      .def("__dlpack_device__", dlpack_device);
  type.attr("__array_ufunc__") = py::none();  // NumPy then refuses arithmetic instead of copying
  type.attr("__hash__") = py::module_::import("builtins").attr("object").attr("__hash__");
  auto& error = py::register_exception<DeviceError>(m, "DeviceError", PyExc_RuntimeError);
  error.attr("__module__") = "byhand.cuda";  // its public name
  error.attr("__doc__") =
      "A device cannot be used: there is none, its driver reports an error, or it is lost.";
  m.def("add_device", add_device, py::arg("capsule"),
        "Make the device of another extension module known. `capsule` holds its table.");
  define<asarray>(m, "asarray(x, device='cpu')", R"(Copy an array to a device, unless it is there already.

Parameters
----------
x : array_like or DeviceArray
    The array. For a device other than the CPU, its dtype must be float32, int32, int64 or uint8.
device : {"cpu", "cuda"}, default "cpu"
    The device.

Returns
-------
ndarray or DeviceArray
    A NumPy array for "cpu", otherwise a DeviceArray. If `x` is an array on this device, it is
    returned without a copy. If `x` is an array of another library on the CPU, such as a tensor of
    PyTorch, the NumPy array shares its memory.

Raises
------
MemoryError
    If the device has too little free memory.
RuntimeError
    If the device cannot be used.
TypeError
    If the dtype is none of those above, or the memory of `x` cannot be read on the CPU.
ValueError
    If the device is unknown.)");
}

}  // namespace byhand::bindings
