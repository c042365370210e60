// Memory of a stream's pool, what the host can ask about a pointer, and the properties of the device.
#include "check.h"

#include <cstdint>
#include <cstring>

__global__ void add_one(int* x, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) x[i] += 1;  // FAULT_1: use-after-free in add_one; FAULT_2: uninitialized in add_one; FAULT_3: out-of-bounds in add_one
}

__device__ int in_device[4];

cudaMemoryType type_of(const void* pointer) {
  cudaPointerAttributes attributes;
  CHECK(cudaPointerGetAttributes(&attributes, pointer));
  return attributes.type;
}

int main() {
  int device = -1, has_pools = 0, major = 0;
  CHECK(cudaGetDevice(&device));
  CHECK(cudaDeviceGetAttribute(&has_pools, cudaDevAttrMemoryPoolsSupported, device));
  REQUIRE(has_pools == 1);
  cudaDeviceProp properties;
  CHECK(cudaGetDeviceProperties(&properties, device));
  REQUIRE(strcmp(properties.name, "byhand simt (emulated)") == 0 && properties.warpSize == 32);
  CHECK(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device));
  REQUIRE(major == properties.major && major >= 7);
  REQUIRE(cudaSetDevice(1) == cudaErrorInvalidDevice && cudaGetLastError() == cudaErrorInvalidDevice);

  cudaMemPool_t pool;
  CHECK(cudaDeviceGetDefaultMemPool(&pool, device));
  uint64_t threshold = UINT64_MAX, stored = 0;
  CHECK(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &threshold));
  CHECK(cudaMemPoolGetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &stored));
  REQUIRE(stored == threshold);

  constexpr int n = 100;
  cudaStream_t stream;
  CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  size_t before = 0, during = 0, after = 0, total = 0;
  CHECK(cudaMemGetInfo(&before, &total));
  REQUIRE(total == properties.totalGlobalMem && before == total);
  int *x = nullptr, *pinned = nullptr, *plain = nullptr;
  CHECK(cudaMallocAsync(&x, n * sizeof(int), stream));
  CHECK(cudaMallocHost(&pinned, n * sizeof(int)));
  CHECK(cudaMalloc(&plain, n * sizeof(int)));
  CHECK(cudaMemGetInfo(&during, &total));
  REQUIRE(during == total - 3 * n * sizeof(int));
  REQUIRE(type_of(x + 1) == cudaMemoryTypeDevice && type_of(pinned) == cudaMemoryTypeHost);
  REQUIRE(type_of(&n) == cudaMemoryTypeUnregistered && type_of(nullptr) == cudaMemoryTypeUnregistered);
  void* in_device_address = nullptr;
  CHECK(cudaGetSymbolAddress(&in_device_address, in_device));
  REQUIRE(type_of(in_device_address) == cudaMemoryTypeDevice);
#ifndef FAULT_2
  CHECK(cudaMemsetAsync(x, 0, n * sizeof(int), stream));
#endif
#ifdef FAULT_1
  CHECK(cudaFreeAsync(x, stream));
#endif
#ifdef FAULT_3
  add_one<<<4, 32, 0, stream>>>(x, n + 1);
#else
  add_one<<<4, 32, 0, stream>>>(x, n);
#endif
  // Ten rows of ten values, from rows that are as long as the array to rows of the host.
  CHECK(cudaMemcpy2DAsync(pinned, 10 * sizeof(int), x, 10 * sizeof(int), 10 * sizeof(int), 10,
                          cudaMemcpyDeviceToHost, stream));
#ifndef FAULT_4
  CHECK(cudaStreamSynchronize(stream));
#endif
  for (int i = 0; i < n; ++i) REQUIRE(pinned[i] == 1);  // FAULT_4: host-too-early
  REQUIRE(cudaStreamQuery(stream) == cudaSuccess);
#ifdef FAULT_5
  x[0] = 1;  // FAULT_5: device-pointer
#elif defined FAULT_6
  CHECK(cudaFreeAsync(plain, stream));  // FAULT_6: invalid-free
#elif defined FAULT_7
  CHECK(cudaFree(pinned));  // FAULT_7: invalid-free
#elif defined FAULT_8
  CHECK(cudaFreeHost(plain));  // FAULT_8: invalid-free
#endif
  CHECK(cudaFreeAsync(x, stream));
#ifdef FAULT_9
  CHECK(cudaFreeAsync(x, stream));  // FAULT_9: double-free
#endif
  REQUIRE(type_of(x) == cudaMemoryTypeUnregistered);
  CHECK(cudaMallocAsync(&x, sizeof(int), stream));
  CHECK(cudaFree(x));  // cudaFree may free it, too
  CHECK(cudaFreeHost(pinned));
  CHECK(cudaFree(plain));
  CHECK(cudaMemGetInfo(&after, &total));
  REQUIRE(after == before);

  REQUIRE(cudaMallocAsync(&x, total + 1, stream) == cudaErrorMemoryAllocation);
  REQUIRE(strcmp(cudaGetErrorName(cudaPeekAtLastError()), "cudaErrorMemoryAllocation") == 0);
  REQUIRE(cudaGetLastError() == cudaErrorMemoryAllocation && cudaGetLastError() == cudaSuccess);
  CHECK(cudaStreamDestroy(stream));
}
