// What the programs of this folder share: a check of errors and a check of results.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <vector>

#define CHECK(call)                                                                           \
  do {                                                                                        \
    const cudaError_t error = (call);                                                         \
    if (error != cudaSuccess) {                                                               \
      fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, cudaGetErrorString(error));          \
      exit(2);                                                                                \
    }                                                                                         \
  } while (0)

#define REQUIRE(condition)                                                                    \
  do {                                                                                        \
    if (!(condition)) {                                                                       \
      fprintf(stderr, "%s:%d: wrong result: %s\n", __FILE__, __LINE__, #condition);           \
      exit(3);                                                                                \
    }                                                                                         \
  } while (0)

// Copies values into new memory of the device.
template <class T>
T* to_device(const std::vector<T>& values) {
  T* device = nullptr;
  CHECK(cudaMalloc(&device, values.size() * sizeof(T)));
  CHECK(cudaMemcpy(device, values.data(), values.size() * sizeof(T), cudaMemcpyHostToDevice));
  return device;
}

// Returns new memory of the device for `count` values, which are not initialised.
template <class T>
T* device_array(size_t count) {
  T* device = nullptr;
  CHECK(cudaMalloc(&device, count * sizeof(T)));
  return device;
}

// Waits for the kernel, and copies `count` values to the host.
template <class T>
std::vector<T> to_host(const T* device, size_t count) {
  CHECK(cudaGetLastError());
  std::vector<T> values(count);
  CHECK(cudaMemcpy(values.data(), device, count * sizeof(T), cudaMemcpyDeviceToHost));
  return values;
}
