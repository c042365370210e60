// CUDA C++ for the emulator: what a program gets from nvcc and from the real cuda_runtime.h. The command
// `byhand simt` rewrites what is no C++ (kernel<<<...>>>, extern __shared__, __device__ variables), and
// includes this file in front of the program, as nvcc does.
#pragma once

#include <stddef.h>

#include <device_functions.h>

#define __CUDACC__ 1
#define SIMT_EMULATED 1
#define CUDART_VERSION 12080
#define __global__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __grid_constant__
#define __builtin_assume(condition)
#define __align__(n) __attribute__((aligned(n)))
#define __shared__ static thread_local
#define __simt_device_variable__ __attribute__((section("simt_device")))
#define __constant__ __attribute__((section("simt_constant")))
#define __managed__ __attribute__((section("simt_managed")))
#define __simt_const_variable__ __attribute__((section("simt_const")))

// ---- the functions of the host

enum cudaError_t {
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorMemoryAllocation = 2,
  cudaErrorInitializationError = 3,
  cudaErrorCudartUnloading = 4,
  cudaErrorInvalidConfiguration = 9,
  cudaErrorInvalidSymbol = 13,
  cudaErrorInvalidDevicePointer = 17,
  cudaErrorInvalidMemcpyDirection = 21,
  cudaErrorInsufficientDriver = 35,
  cudaErrorDevicesUnavailable = 46,
  cudaErrorInvalidDeviceFunction = 98,
  cudaErrorNoDevice = 100,
  cudaErrorInvalidDevice = 101,
  cudaErrorNoKernelImageForDevice = 209,
  cudaErrorUnsupportedPtxVersion = 222,
  cudaErrorInvalidResourceHandle = 400,
  cudaErrorNotReady = 600,
  cudaErrorIllegalAddress = 700,
  cudaErrorLaunchOutOfResources = 701,
  cudaErrorLaunchTimeout = 702,
  cudaErrorAssert = 710,
  cudaErrorMisalignedAddress = 716,
  cudaErrorLaunchFailure = 719,
  cudaErrorNotSupported = 801,
  cudaErrorUnknown = 999,
};
typedef cudaError_t cudaError;
enum cudaMemcpyKind {
  cudaMemcpyHostToHost,
  cudaMemcpyHostToDevice,
  cudaMemcpyDeviceToHost,
  cudaMemcpyDeviceToDevice,
  cudaMemcpyDefault,
};
typedef struct SimtStream* cudaStream_t;
typedef struct SimtEvent* cudaEvent_t;
typedef struct SimtMemPool* cudaMemPool_t;
enum cudaMemoryType {
  cudaMemoryTypeUnregistered,
  cudaMemoryTypeHost,
  cudaMemoryTypeDevice,
  cudaMemoryTypeManaged,
};
struct cudaPointerAttributes {
  cudaMemoryType type;
  int device;
  void *devicePointer, *hostPointer;
};
enum cudaMemPoolAttr {
  cudaMemPoolReuseFollowEventDependencies = 1,
  cudaMemPoolReuseAllowOpportunistic,
  cudaMemPoolReuseAllowInternalDependencies,
  cudaMemPoolAttrReleaseThreshold,
  cudaMemPoolAttrReservedMemCurrent,
  cudaMemPoolAttrReservedMemHigh,
  cudaMemPoolAttrUsedMemCurrent,
  cudaMemPoolAttrUsedMemHigh,
};
enum cudaMemAllocationType { cudaMemAllocationTypeInvalid = 0, cudaMemAllocationTypePinned = 1 };
enum cudaMemAllocationHandleType { cudaMemHandleTypeNone = 0 };
enum cudaMemLocationType { cudaMemLocationTypeInvalid = 0, cudaMemLocationTypeDevice = 1 };
struct cudaMemLocation {
  cudaMemLocationType type;
  int id;
};
struct cudaMemPoolProps {
  cudaMemAllocationType allocType;
  cudaMemAllocationHandleType handleTypes;
  cudaMemLocation location;
  void* win32SecurityAttributes;
  size_t maxSize;
  unsigned short usage;
  unsigned char reserved[54];
};
enum cudaDeviceAttr {
  cudaDevAttrMaxThreadsPerBlock = 1,
  cudaDevAttrMaxBlockDimX,
  cudaDevAttrMaxBlockDimY,
  cudaDevAttrMaxBlockDimZ,
  cudaDevAttrMaxGridDimX,
  cudaDevAttrMaxGridDimY,
  cudaDevAttrMaxGridDimZ,
  cudaDevAttrMaxSharedMemoryPerBlock,
  cudaDevAttrTotalConstantMemory,
  cudaDevAttrWarpSize,
  cudaDevAttrMaxRegistersPerBlock = 12,
  cudaDevAttrClockRate,
  cudaDevAttrMultiProcessorCount = 16,
  cudaDevAttrIntegrated = 18,
  cudaDevAttrCanMapHostMemory,
  cudaDevAttrConcurrentKernels = 31,
  cudaDevAttrMemoryClockRate = 36,
  cudaDevAttrGlobalMemoryBusWidth,
  cudaDevAttrL2CacheSize,
  cudaDevAttrMaxThreadsPerMultiProcessor,
  cudaDevAttrUnifiedAddressing = 41,
  cudaDevAttrComputeCapabilityMajor = 75,
  cudaDevAttrComputeCapabilityMinor,
  cudaDevAttrMaxSharedMemoryPerMultiprocessor = 81,
  cudaDevAttrMaxRegistersPerMultiprocessor,
  cudaDevAttrManagedMemory,
  cudaDevAttrConcurrentManagedAccess = 89,
  cudaDevAttrCooperativeLaunch = 95,
  cudaDevAttrMaxSharedMemoryPerBlockOptin = 97,
  cudaDevAttrMemoryPoolsSupported = 115,
};
struct cudaDeviceProp {
  char name[256];
  size_t totalGlobalMem, sharedMemPerBlock, totalConstMem;
  int regsPerBlock, warpSize, maxThreadsPerBlock, maxThreadsDim[3], maxGridSize[3];
  int clockRate, major, minor, multiProcessorCount, maxThreadsPerMultiProcessor;
  size_t sharedMemPerMultiprocessor, sharedMemPerBlockOptin;
  int regsPerMultiprocessor, l2CacheSize, memoryClockRate, memoryBusWidth, concurrentKernels, managedMemory;
  int integrated, canMapHostMemory, unifiedAddressing, ECCEnabled, asyncEngineCount;
};
enum cudaFuncAttribute {
  cudaFuncAttributeMaxDynamicSharedMemorySize = 8,
  cudaFuncAttributePreferredSharedMemoryCarveout
};
enum cudaFuncCache {
  cudaFuncCachePreferNone,
  cudaFuncCachePreferShared,
  cudaFuncCachePreferL1,
  cudaFuncCachePreferEqual
};
enum {
  cudaStreamDefault = 0,
  cudaStreamNonBlocking = 1,
  cudaEventDefault = 0,
  cudaEventBlockingSync = 1,
  cudaEventDisableTiming = 2,
  cudaMemAttachGlobal = 1,
  cudaHostAllocDefault = 0,
  cudaHostAllocPortable = 1,
  cudaHostAllocMapped = 2,
  cudaCpuDeviceId = -1
};

cudaError_t simt_malloc(void** address, size_t bytes, simt::Memory kind, simt::Line line);
cudaError_t cudaFree(void* address, simt::Line line = SIMT_LINE);
cudaError_t cudaFreeAsync(void* address, cudaStream_t stream, simt::Line line = SIMT_LINE);
cudaError_t cudaFreeHost(void* address, simt::Line line = SIMT_LINE);
cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* pointer);
cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                       simt::Line line = SIMT_LINE);
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream = nullptr, simt::Line line = SIMT_LINE);
cudaError_t cudaMemcpy2D(void* to, size_t to_pitch, const void* from, size_t from_pitch, size_t width,
                         size_t height, cudaMemcpyKind kind, simt::Line line = SIMT_LINE);
cudaError_t cudaMemcpy2DAsync(void* to, size_t to_pitch, const void* from, size_t from_pitch, size_t width,
                              size_t height, cudaMemcpyKind kind, cudaStream_t stream = nullptr,
                              simt::Line line = SIMT_LINE);
cudaError_t cudaMemset(void* to, int value, size_t bytes, simt::Line line = SIMT_LINE);
cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t stream = nullptr,
                            simt::Line line = SIMT_LINE);
cudaError_t simt_copy_to_symbol(const void* symbol, size_t room, const void* from, size_t bytes,
                                size_t offset, simt::Line line);
cudaError_t simt_copy_from_symbol(void* to, const void* symbol, size_t room, size_t bytes, size_t offset,
                                  simt::Line line);
cudaError_t cudaMemGetInfo(size_t* free_bytes, size_t* total_bytes);
cudaError_t cudaDeviceSynchronize();
cudaError_t cudaDeviceReset();
cudaError_t cudaGetLastError();
cudaError_t cudaPeekAtLastError();
const char* cudaGetErrorString(cudaError_t error);
const char* cudaGetErrorName(cudaError_t error);
cudaError_t cudaGetDeviceCount(int* count);
cudaError_t cudaGetDevice(int* device);
cudaError_t cudaSetDevice(int device);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device);
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device);
cudaError_t cudaRuntimeGetVersion(int* version);
cudaError_t cudaDriverGetVersion(int* version);
cudaError_t cudaMemPoolCreate(cudaMemPool_t* pool, const cudaMemPoolProps* properties);
cudaError_t cudaMemPoolDestroy(cudaMemPool_t pool);
cudaError_t cudaDeviceGetDefaultMemPool(cudaMemPool_t* pool, int device);
cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t pool, cudaMemPoolAttr attribute, void* value);
cudaError_t cudaMemPoolGetAttribute(cudaMemPool_t pool, cudaMemPoolAttr attribute, void* value);
cudaError_t cudaMemPoolTrimTo(cudaMemPool_t pool, size_t bytes_to_keep);
cudaError_t cudaStreamCreate(cudaStream_t* stream);
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaStreamQuery(cudaStream_t stream);
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags = 0);
cudaError_t cudaEventCreate(cudaEvent_t* event);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags);
cudaError_t cudaEventDestroy(cudaEvent_t event);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream = nullptr);
cudaError_t cudaEventSynchronize(cudaEvent_t event);
cudaError_t cudaEventQuery(cudaEvent_t event);
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t begin, cudaEvent_t end);
cudaError_t simt_set_dynamic_shared(const void* kernel, cudaFuncAttribute attribute, int value);

template <class T>
cudaError_t cudaMalloc(T** address, size_t bytes, simt::Line line = SIMT_LINE) {
  return simt_malloc(reinterpret_cast<void**>(address), bytes, simt::Memory::kDevice, line);
}
template <class T>
cudaError_t cudaMallocAsync(T** address, size_t bytes, cudaStream_t, simt::Line line = SIMT_LINE) {
  return simt_malloc(reinterpret_cast<void**>(address), bytes, simt::Memory::kPool, line);
}
template <class T>
cudaError_t cudaMallocFromPoolAsync(T** address, size_t bytes, cudaMemPool_t, cudaStream_t stream,
                                    simt::Line line = SIMT_LINE) {
  return cudaMallocAsync(address, bytes, stream, line);
}
template <class T>
cudaError_t cudaMallocManaged(T** address, size_t bytes, unsigned = cudaMemAttachGlobal,
                              simt::Line line = SIMT_LINE) {
  return simt_malloc(reinterpret_cast<void**>(address), bytes, simt::Memory::kManaged, line);
}
template <class T>
cudaError_t cudaMallocHost(T** address, size_t bytes, unsigned = 0, simt::Line line = SIMT_LINE) {
  return simt_malloc(reinterpret_cast<void**>(address), bytes, simt::Memory::kPinned, line);
}
template <class T>
cudaError_t cudaHostAlloc(T** address, size_t bytes, unsigned, simt::Line line = SIMT_LINE) {
  return simt_malloc(reinterpret_cast<void**>(address), bytes, simt::Memory::kPinned, line);
}
template <class T>
cudaError_t cudaMemcpyToSymbol(const T& symbol, const void* from, size_t bytes, size_t offset = 0,
                               cudaMemcpyKind = cudaMemcpyHostToDevice, simt::Line line = SIMT_LINE) {
  return simt_copy_to_symbol(&symbol, sizeof symbol, from, bytes, offset, line);
}
template <class T>
cudaError_t cudaMemcpyFromSymbol(void* to, const T& symbol, size_t bytes, size_t offset = 0,
                                 cudaMemcpyKind = cudaMemcpyDeviceToHost, simt::Line line = SIMT_LINE) {
  return simt_copy_from_symbol(to, &symbol, sizeof symbol, bytes, offset, line);
}
template <class T>
cudaError_t cudaGetSymbolAddress(void** address, const T& symbol) {
  *address = const_cast<void*>(static_cast<const void*>(&symbol));
  return cudaSuccess;
}
template <class T>
cudaError_t cudaFuncSetAttribute(T* kernel, cudaFuncAttribute attribute, int value) {
  return simt_set_dynamic_shared(reinterpret_cast<const void*>(kernel), attribute, value);
}
template <class T>
cudaError_t cudaFuncSetCacheConfig(T*, cudaFuncCache) {
  return cudaSuccess;
}
template <class T>
cudaError_t cudaGetSymbolSize(size_t* bytes, const T& symbol) {
  *bytes = sizeof symbol;
  return cudaSuccess;
}
// Rows of `width` bytes begin at multiples of 512 bytes.
template <class T>
cudaError_t cudaMallocPitch(T** address, size_t* pitch, size_t width, size_t height,
                            simt::Line line = SIMT_LINE) {
  *pitch = (width + 511) / 512 * 512;
  return cudaMalloc(address, *pitch * height, line);
}
// The device and the host use the same addresses.
template <class T>
cudaError_t cudaHostGetDevicePointer(T** device, void* host, unsigned) {
  *device = static_cast<T*>(host);
  return cudaSuccess;
}
// A multiprocessor is full with 2048 threads or 32 blocks. Registers are not counted.
template <class T>
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, T*, int threads, size_t) {
  *blocks = threads < 64 ? 32 : 2048 / threads;
  return cudaSuccess;
}
template <class T>
cudaError_t cudaOccupancyMaxPotentialBlockSize(int* least_grid, int* block, T*, size_t = 0, int limit = 0) {
  *least_grid = 2;
  *block = limit > 0 && limit < 1024 ? limit : 1024;
  return cudaSuccess;
}
inline cudaError_t cudaMemPrefetchAsync(const void*, size_t, int, cudaStream_t = nullptr) {
  return cudaSuccess;
}

// ---- launches

namespace simt {

struct Configuration {
  dim3 grid, block;
  size_t dynamic_shared = 0;
  cudaStream_t stream = nullptr;
};

// Checks the limits, and runs the grid. A wrong configuration is an error that cudaGetLastError() returns.
void launch(const char* name, Line line, const void* kernel, const Configuration& configuration,
            void (*body)(void*), void* data);

template <class Body>
SIMT_PLAIN void launch_body(const char* name, Line line, const void* kernel,
                            const Configuration& configuration, Body& body) {
  launch(
      name, line, kernel, configuration, [](void* data) SIMT_PLAIN { (*static_cast<Body*>(data))(); }, &body);
}

// kernel<<<grid, block>>>(arguments) becomes launcher("kernel", line, {grid, block}, kernel)(arguments). The
// arguments are converted to the kernel's parameters once, and every thread gets copies.
template <class... Parameters>
auto launcher(const char* name, Line line, Configuration configuration, void (*kernel)(Parameters...)) {
  return [=](std::type_identity_t<Parameters>... arguments) SIMT_PLAIN {
    auto body = [&]() SIMT_PLAIN { kernel(arguments...); };
    launch_body(name, line, reinterpret_cast<const void*>(kernel), configuration, body);
  };
}

// The same for a function template, whose arguments the compiler deduces: `call` passes its arguments to it.
template <class Call>
auto template_launcher(const char* name, Line line, Configuration configuration, Call call) {
  return [=](auto... arguments) SIMT_PLAIN {
    auto body = [&]() SIMT_PLAIN { call(arguments...); };
    launch_body(name, line, nullptr, configuration, body);
  };
}

}  // namespace simt
