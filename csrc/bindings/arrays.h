// Checks all arguments that are arrays, and turns them into pointers for the drivers.
//
// An object of each class holds one array argument. It keeps the array alive, and its constructor reads the
// address and the shape of the array once. Kernels run without the GIL. They must not look at a Python
// object, because another thread may change it meanwhile.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <vector>

#include "bindings/arguments.h"
#include "ops/gemm.h"

namespace byhand::bindings {

// A float32 array that a kernel reads. It must have `dimensions` dimensions; -1 allows any number. The values
// at data() are C-contiguous. They are those of the caller's array, or of a copy if that array has other
// strides.
class Input {
 public:
  Input(py::handle object, const char* name, int dimensions = -1);
  const float* data() const { return data_; }
  const Shape& shape() const { return shape_; }
  int64_t size() const { return size_; }
  const py::array& original() const { return original_; }  // the caller's array, for checks of overlap
  // Throws unless the array has exactly this shape. `why` tells the user in the message where the shape comes
  // from.
  void expect(const Shape& shape, const char* why) const;

 private:
  py::array original_, array_;
  Shape shape_;
  const float* data_;
  int64_t size_;
  const char* name_;
};

// An Input, or None. With None, data() is null and every check passes.
class OptionalInput {
 public:
  OptionalInput(py::handle object, const char* name, int dimensions) {
    if (!object.is_none()) input_.emplace(object, name, dimensions);
  }
  const float* data() const { return input_ ? input_->data() : nullptr; }
  py::array original() const { return input_ ? input_->original() : py::array(); }
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
  const py::array& original() const { return original_; }

 private:
  py::array original_, array_;
  ops::Matrix matrix_;
};

// An array of labels or indices. It may have any integer dtype and is always copied to int64. A driver checks
// the values and then uses them as offsets. Without the copy, another thread could change them in between. An
// array of bool or float raises a TypeError.
class IntegerInput {
 public:
  IntegerInput(py::handle object, const char* name, int dimensions);
  const int64_t* data() const { return values_.data(); }
  const Shape& shape() const { return shape_; }
  const py::array& original() const { return original_; }

 private:
  py::array original_;
  Shape shape_;
  std::vector<int64_t> values_;
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
  const py::array& original() const { return original_; }

 private:
  py::array original_, array_;
  Shape shape_;
  const T* data_;
};

// The array that a function returns: a new array if `out` is None, otherwise `out` itself. `out` must be a
// writable, C-contiguous array of dtype T and of exactly `shape`, and must overlap none of `inputs`.
template <class T>
class Output {
 public:
  Output(py::handle out, const char* name, const Shape& shape, std::initializer_list<py::array> inputs);
  T* data() const { return data_; }
  const py::array& array() const { return array_; }

 private:
  py::array array_;
  T* data_;
};

// A float32 array that a kernel changes in place. It must be writable and C-contiguous, and must overlap none
// of `others`.
class InPlace {
 public:
  InPlace(py::handle object, const char* name, std::initializer_list<py::array> others);
  float* data() const { return data_; }
  int64_t size() const { return size_; }
  const Shape& shape() const { return shape_; }
  const py::array& array() const { return array_; }

 private:
  py::array array_;
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
            const Shape& weight_shape, const Shape& bias_shape, std::initializer_list<py::array> inputs);
  float* dx() const { return dx_ ? dx_->data() : nullptr; }
  float* dw() const { return dw_->data(); }
  float* db() const { return db_ ? db_->data() : nullptr; }
  py::tuple arrays() const;

 private:
  std::optional<Output<float>> dx_, dw_, db_;
};

py::object float32_scalar(float value);  // a numpy.float32

}  // namespace byhand::bindings
