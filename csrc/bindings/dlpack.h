// The structures by which libraries hand each other arrays without a copy, as far as byhand needs them. The
// names and the layout are those of https://dmlc.github.io/dlpack/latest/c_api.html, before version 1.
#pragma once

#include <cstdint>

namespace byhand::bindings {

inline constexpr int32_t kDLCPU = 1, kDLCUDA = 2;

struct DLDevice {
  int32_t device_type, device_id;
};

inline constexpr uint8_t kDLInt = 0, kDLUInt = 1, kDLFloat = 2;

struct DLDataType {
  uint8_t code, bits;
  uint16_t lanes;
};

struct DLTensor {
  void* data;
  DLDevice device;
  int32_t ndim;
  DLDataType dtype;
  int64_t* shape;
  int64_t* strides;  // null for a C-contiguous array
  uint64_t byte_offset;
};

struct DLManagedTensor {
  DLTensor dl_tensor;
  void* manager_ctx;
  void (*deleter)(DLManagedTensor* self);
};

}  // namespace byhand::bindings
