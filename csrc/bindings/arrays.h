// Checks all arguments that are arrays, and turns them into pointers for the operators.
//
// An object of each class holds one array argument: an array of NumPy, an array of another library that NumPy
// can view, or a DeviceArray. It keeps the array alive, and its constructor reads the address and the shape
// of the array once. Kernels run without the GIL. They must not look at a Python object, because another
// thread may change it meanwhile.
//
// All arrays of a call lie on the same device. The classes of results, Output and InPlace, check this, and
// their method device() returns the table whose operators compute the result.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <vector>

#include "bindings/arguments.h"
#include "bindings/array_protocols.h"
#include "ops/device.h"

namespace byhand::bindings {

class DeviceArray;

// The memory of one array argument: the device, and the addresses of the first byte and after the last byte.
// The addresses are equal if the array is empty. If the argument is None, `device` is null.
struct Region {
  const char* name = nullptr;  // of the argument
  const Device* device = nullptr;
  intptr_t begin = 0, end = 0;
};

// Returns the device of all these arrays, or the CPU if there is none. Throws if two devices differ.
const Device& common_device(std::initializer_list<Region> arrays);

// An array of NumPy, or a DeviceArray. The other classes of this file use it for their checks.
class AnyArray {
 public:
  // Throws TypeError unless `object` is such an array, or `array_of` makes one of it. `advice` tells users in
  // the message how to get one.
  AnyArray(py::handle object, const char* name, const char* advice, Access access = Access::kRead);

  const py::object& object() const { return array_; }  // the array of NumPy, or the DeviceArray
  const Device& device() const;
  py::dtype dtype() const;
  int64_t dimensions() const;
  Shape shape() const;
  int64_t size() const;
  void* data() const;
  int64_t stride(int axis) const;  // in bytes
  bool is_contiguous() const;
  bool is_writable() const;
  Region region(const char* name) const;

  // Return whether the dtype is T, and throw TypeError unless it is.
  template <class T>
  bool has_dtype() const;
  template <class T>
  void expect_dtype(const char* name) const;

  // Copies the values unless the array is C-contiguous, aligned and of dtype T. Afterwards it is. The copy is
  // a plain ndarray, even if the argument is of a subclass of ndarray, because the methods of a subclass may
  // report anything.
  template <class T>
  void make_contiguous();

 private:
  py::array array_;  // if `on_device_` is not null, it holds a DeviceArray
  const DeviceArray* on_device_ = nullptr;
};

// A float32 array that a kernel reads. It must have `dimensions` dimensions; -1 allows any number. The values
// at data() are C-contiguous. They are those of the caller's array, or of a copy if that array has other
// strides.
class Input {
 public:
  Input(py::handle object, const char* name, int dimensions = -1);
  const float* data() const { return data_; }
  const Shape& shape() const { return shape_; }
  int64_t size() const { return size_; }
  const Region& region() const { return region_; }  // of the caller's array
  // Throws unless the array has exactly this shape. `why` tells the user in the message where the shape comes
  // from.
  void expect(const Shape& shape, const char* why) const;

 private:
  AnyArray array_;
  Region region_;
  Shape shape_;
  const float* data_;
  int64_t size_;
};

// An Input, or None. With None, data() is null and every check passes.
class OptionalInput {
 public:
  OptionalInput(py::handle object, const char* name, int dimensions) {
    if (!object.is_none()) input_.emplace(object, name, dimensions);
  }
  const float* data() const { return input_ ? input_->data() : nullptr; }
  Region region() const { return input_ ? input_->region() : Region(); }
  void expect(const Shape& shape, const char* why) const {
    if (input_) input_->expect(shape, why);
  }

 private:
  std::optional<Input> input_;
};

// A float32 matrix that a kernel reads through its own strides, without a copy.
class MatrixInput {
 public:
  MatrixInput(py::handle object, const char* name);
  const ops::Matrix& matrix() const { return matrix_; }
  const Region& region() const { return region_; }

 private:
  AnyArray array_;
  Region region_;
  ops::Matrix matrix_;
};

// An array of labels or indices. On the CPU, it may have any integer dtype and is always copied to int64. A
// driver checks the values and then uses them as offsets. Without the copy, another thread could change them
// in between. On another device, the dtype must be int64. An array of bool or float raises a TypeError.
class IntegerInput {
 public:
  IntegerInput(py::handle object, const char* name, int dimensions);
  const int64_t* data() const { return data_; }
  const Shape& shape() const { return shape_; }
  const Region& region() const { return region_; }

 private:
  AnyArray array_;
  Region region_;
  Shape shape_;
  std::vector<int64_t> values_;  // empty if the array is on another device than the CPU
  const int64_t* data_;
};

// An array whose dtype is exactly T, with at least `min_dimensions` dimensions. The values at data() are
// C-contiguous. They are those of the caller's array, or of a copy if that array has other strides. Another
// thread may change the values during the call. A driver that uses a value as an offset must therefore read
// it once, check it and then use what it has read.
template <class T>
class ExactInput {
 public:
  ExactInput(py::handle object, const char* name, int min_dimensions);
  const T* data() const { return data_; }
  const Shape& shape() const { return shape_; }
  const Region& region() const { return region_; }

 private:
  AnyArray array_;
  Region region_;
  Shape shape_;
  const T* data_;
};

// The array that a function returns: a new array if `out` is None, otherwise `out` itself. `out` must be a
// writable, C-contiguous array of dtype T and of exactly `shape`. It must be on the device of all `inputs`,
// and overlap none of them. A new array is made on this device.
template <class T>
class Output {
 public:
  Output(py::handle out, const char* name, const Shape& shape, std::initializer_list<Region> inputs);
  T* data() const { return data_; }
  const py::object& array() const { return array_; }
  const Device& device() const { return *region_.device; }
  const Region& region() const { return region_; }
  void must_not_overlap(const Region& other) const;

 private:
  py::object array_;   // the caller's object
  py::object memory_;  // its array of NumPy, which keeps the memory alive
  Region region_;
  T* data_;
};

// A number that a function returns. On the CPU, it is a NumPy scalar if T is float, and an int if T is
// int64_t. On another device, it is a new DeviceArray without dimensions.
template <class T>
class ScalarOutput {
 public:
  explicit ScalarOutput(const Device& device);
  T* data() { return on_device_ ? on_device_->data() : &value_; }
  py::object object() const;

 private:
  std::optional<Output<T>> on_device_;
  T value_ = 0;
};

// A float32 array that a kernel changes in place. It must be writable and C-contiguous. It must be on the
// device of all `others`, and overlap none of them.
class InPlace {
 public:
  InPlace(py::handle object, const char* name, std::initializer_list<Region> others);
  float* data() const { return data_; }
  int64_t size() const { return size_; }
  const Shape& shape() const { return shape_; }
  const Device& device() const { return *region_.device; }
  const Region& region() const { return region_; }

 private:
  AnyArray array_;
  Region region_;
  Shape shape_;
  float* data_;
  int64_t size_;
};

// The results of a backward function that computes all three gradients: (grad_x, grad_weight, grad_bias). For
// batch_norm_backward, grad_weight is grad_gamma, and grad_bias is grad_beta. grad_x is None if
// `input_gradient` is False, and grad_bias is None if `bias_gradient` is False. The pointer to a gradient
// that is None is null. The arrays of `out` must overlap neither an input nor each other.
class Gradients {
 public:
  Gradients(py::handle out, py::handle input_gradient, py::handle bias_gradient, const Shape& x_shape,
            const Shape& weight_shape, const Shape& bias_shape, std::initializer_list<Region> inputs);
  float* dx() const { return dx_ ? dx_->data() : nullptr; }
  float* dw() const { return dw_->data(); }
  float* db() const { return db_ ? db_->data() : nullptr; }
  const Device& device() const { return dw_->device(); }
  py::tuple arrays() const;

 private:
  std::optional<Output<float>> dx_, dw_, db_;
};

}  // namespace byhand::bindings
