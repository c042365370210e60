// NumPy arrays <-> pointers: every check that a binding makes of its arguments.
//
// An Input keeps its array alive; an Output is a new array or the caller's `out`. All of them read the
// array's address and shape once, when they are made: a kernel that runs without the GIL must not look at a
// Python object, which another thread may change meanwhile. Errors are TypeError if the kind of an argument
// is wrong and ValueError if its value is, and name the argument.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "core/shapes.h"
#include "ops/activation.h"
#include "ops/gemm.h"

namespace byhand::bindings {

namespace py = pybind11;

struct Shape : std::vector<int64_t> {
  using vector::vector;
};
std::string to_string(const Shape& shape);  // as Python writes a tuple
inline std::ostream& operator<<(std::ostream& text, const Shape& shape) { return text << to_string(shape); }

// A float32 array of `dimensions` dimensions (any number where it is -1), C-contiguous: a view as it is, or
// one copy of it.
class Input {
 public:
  Input(py::handle object, const char* name, int dimensions = -1);
  const float* data() const { return data_; }
  const Shape& shape() const { return shape_; }
  int64_t size() const { return size_; }
  const py::array& original() const { return original_; }
  // The argument must have exactly this shape, which `why` explains.
  void expect(const Shape& shape, const char* why) const;

 private:
  py::array original_, array_;
  Shape shape_;
  const float* data_;
  int64_t size_;
  const char* name_;
};

// The same, or None: then data() is null.
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

// A float32 matrix read through its own strides, without a copy.
class MatrixInput {
 public:
  MatrixInput(py::handle object, const char* name);
  const ops::Matrix& matrix() const { return matrix_; }
  const py::array& original() const { return original_; }

 private:
  py::array original_, array_;
  ops::Matrix matrix_;
};

// Labels and indices: integers of any width and sign, always copied to int64. A driver checks them and then
// uses them as offsets. Without the copy another thread could change them in between. bool and float arrays
// are a TypeError.
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

// An array of exactly T and of at least `least` dimensions, C-contiguous: a view as it is, or one copy of it.
// If the values are offsets, the driver must check each one where it uses it (see IntegerInput).
template <class T>
class ExactInput {
 public:
  ExactInput(py::handle object, const char* name, int least);
  const T* data() const { return data_; }
  const Shape& shape() const { return shape_; }
  const py::array& original() const { return original_; }

 private:
  py::array original_, array_;
  Shape shape_;
  const T* data_;
};

// The array that a function returns: `out` where it is given, else a new one. `out` must be a writable,
// C-contiguous array of T and of exactly `shape` that overlaps none of `inputs`.
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

// An array changed in place: writable, C-contiguous, float32.
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

// (grad_x, grad_weight, grad_bias), the results of a backward function that makes all three: the first is
// None where `input_gradient` is False, the last where `bias_gradient` is. An `out` must overlap no other.
class Gradients {
 public:
  Gradients(py::handle out, py::handle input_gradient, py::handle bias_gradient, const Shape& x,
            const Shape& weight, const Shape& bias, std::initializer_list<py::array> inputs);
  float* dx() const { return dx_ ? dx_->data() : nullptr; }
  float* dw() const { return dw_->data(); }
  float* db() const { return db_ ? db_->data() : nullptr; }
  py::tuple arrays() const;

 private:
  std::optional<Output<float>> dx_, dw_, db_;
};

// The `count` items of the tuple `object`, or `count` times None if it is None. For the `out` of functions
// that return several arrays.
std::vector<py::object> unpack_out(py::handle object, size_t count);

int64_t parse_integer(py::handle object, const std::string& name);
uint64_t parse_unsigned(py::handle object, const char* name, uint64_t most);
bool parse_bool(py::handle object, const char* name);
float parse_float(py::handle object, const char* name);
double parse_double(py::handle object, const char* name);
std::string parse_string(py::handle object, const char* name);
ops::Activation parse_activation(py::handle object);
Pair parse_pair(py::handle object, const char* name);  // an int, or (height, width)
Padding parse_padding(py::handle object);  // an int, (height, width), ((top, bottom), (left, right))
Shape parse_shape(py::handle object, const char* name, size_t dimensions = SIZE_MAX);

// Gives the GIL back for its lifetime. Unlike pybind11's class it survives the end of the process: Python
// before 3.14 ends a daemon thread that asks for the GIL during finalization by unwinding its stack, which a
// destructor turns into std::terminate. Such a thread sleeps here instead until the process is gone.
class GilRelease {
 public:
  GilRelease() : state_(PyEval_SaveThread()) {}
  ~GilRelease();
  GilRelease(const GilRelease&) = delete;
  GilRelease& operator=(const GilRelease&) = delete;

 private:
  PyThreadState* state_;
};

// work() while other Python threads run. It touches no Python object, not even a reference count.
template <class Work>
void without_gil(const Work& work) {
  const GilRelease release;
  work();
}

// The same, but the GIL is kept if the work takes only a few hundred nanoseconds, because releasing and
// taking it would cost a good part of that.
template <class Work>
void without_gil(double multiply_adds, const Work& work) {
  constexpr double kBrief = 10'000;
  if (multiply_adds < kBrief) return work();
  without_gil(work);
}

py::object float32_scalar(float value);  // numpy.float32

}  // namespace byhand::bindings
