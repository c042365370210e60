// byhand.DeviceArray: an array in the memory of a device other than the CPU.
#pragma once

#include <pybind11/numpy.h>

#include <cstdint>
#include <memory>
#include <string>

#include "bindings/arguments.h"
#include "ops/device.h"

namespace byhand::bindings {

// Returns the device that users call `name`. Loads the module of the device if that has not been done. Throws
// a Python exception that says why if the device cannot be used.
const Device& device_named(const std::string& name);

// Frees the memory that all devices in use keep for later calls. Returns the number of bytes.
size_t release_cached_memory();

// A C-contiguous array. Copies of this object are views of the same memory, which is released with the last
// of them. All dtypes are those of csrc/ops: float32, int32, int64 and uint8.
class DeviceArray {
 public:
  DeviceArray(const Device& device, py::dtype dtype, Shape shape);  // the values are undefined
  // A view of the same memory, from byte `offset` on.
  DeviceArray(const DeviceArray& other, py::dtype dtype, Shape shape, int64_t offset);

  const Device& device() const { return *device_; }
  const py::dtype& dtype() const { return dtype_; }
  const Shape& shape() const { return shape_; }
  int64_t size() const { return size_; }
  int64_t bytes() const { return size_ * dtype_.itemsize(); }
  void* data() const { return data_; }

 private:
  const Device* device_;
  py::dtype dtype_;
  Shape shape_;
  int64_t size_;
  std::shared_ptr<void> memory_;
  void* data_;
};

void bind_device_array(py::module_& m);

}  // namespace byhand::bindings
