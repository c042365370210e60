// The functions of CUDA for memory and launches, which a program's host code calls.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <string>

#include "simt/block.h"
#include "simt/host.h"
#include "simt/include/cuda_runtime.h"
#include "simt/memory.h"
#include "simt/report.h"
#include "simt/shadow.h"

namespace {

using simt::fail;

std::map<const void*, size_t> dynamic_limits;  // of kernels that cudaFuncSetAttribute has named

uint64_t hash = 0xcbf29ce484222325;  // of all bytes that the host sees
uint64_t copies_to_host = 0;         // from the memory of the device

void at_end() {
  if (simt::unseen_error.error != cudaSuccess)
    simt::report({"launch-error",
                  std::string("A kernel was not launched: ") + cudaGetErrorString(simt::unseen_error.error) +
                      ". The program never asked cudaGetLastError().",
                  simt::Place(simt::unseen_error.line)});
  if (const char* const path = getenv("SIMT_HASH"))
    if (FILE* const file = fopen(path, "w")) {
      fprintf(file, "%016llx\n", static_cast<unsigned long long>(hash));
      fclose(file);
    }
}
[[maybe_unused]] const int registered = atexit(&at_end);

void not_from_a_kernel(const char* function, simt::Line line) {
  if (simt::current_thread())
    simt::report({"host-function", std::string("A kernel calls ") + function + ", which only the host may.",
                  simt::Place(line)});
}

cudaError_t copy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, simt::Line line) {
  using simt::Owner;
  not_from_a_kernel("cudaMemcpy", line);
  if (bytes == 0) return cudaSuccess;
  const Owner target = simt::owner_of(to, bytes, "The target of cudaMemcpy", line);
  const Owner source = simt::owner_of(from, bytes, "The source of cudaMemcpy", line);
  const Owner wanted_target =
      kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice ? Owner::kDevice : Owner::kHost;
  const Owner wanted_source =
      kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice ? Owner::kDevice : Owner::kHost;
  const auto fits = [](Owner is, Owner wanted) { return is == wanted || is == Owner::kBoth; };
  if (kind != cudaMemcpyDefault && !(fits(target, wanted_target) && fits(source, wanted_source))) {
    const auto name = [](Owner owner) {
      return owner == Owner::kDevice ? "the device" : owner == Owner::kHost ? "the host" : "both";
    };
    simt::report({"copy-direction",
                  std::string("cudaMemcpy copies from ") + name(wanted_source) + " to " +
                      name(wanted_target) + " by its last argument, but the source belongs to " +
                      name(source) + " and the target to " + name(target) + ".",
                  simt::Place(line)});
  }
  memmove(to, from, bytes);
  if (source == Owner::kDevice && target == Owner::kHost) ++copies_to_host;
  if (simt::has_shadow(to) && simt::has_shadow(from))
    simt::copy_initialized(to, from, bytes);
  else if (simt::has_shadow(to))
    simt::set_initialized(to, bytes);
  if (target != Owner::kDevice) simt::add_to_results(to, bytes);
  return cudaSuccess;
}

cudaError_t free_memory(const char* function, void* address, std::initializer_list<simt::Memory> kinds,
                        simt::Line line) {
  const simt::Turn turn;
  not_from_a_kernel(function, line);
  if (!address) return cudaSuccess;
  const std::string call =
      std::string(function) + " is called for " + simt::hexadecimal(reinterpret_cast<uintptr_t>(address));
  const auto kind = simt::kind_of(address);
  if (kind && std::find(kinds.begin(), kinds.end(), *kind) == kinds.end())
    simt::report(
        {"invalid-free", call + ", which " + simt::allocating_function(*kind) + " gave.", simt::Place(line)});
  if (!simt::release(address, function, line))
    simt::report({"invalid-free",
                  call + ", which is no address that " + simt::allocating_function(*kinds.begin()) + " gave.",
                  simt::Place(line)});
  return cudaSuccess;
}

std::mutex turns;
thread_local int turns_of_thread = 0;

}  // namespace

simt::Turn::Turn() {
  if (turns_of_thread++ == 0) turns.lock();
}
simt::Turn::~Turn() {
  if (--turns_of_thread == 0) turns.unlock();
}

void simt::add_to_results(const void* data, size_t bytes) {
  for (size_t i = 0; i < bytes; ++i)
    hash = (hash ^ static_cast<const unsigned char*>(data)[i]) * 0x100000001b3;
}

// Returns the number of calls that have copied memory of the device to the host. Tests find this function by
// its name.
extern "C" [[gnu::visibility("default")]] uint64_t simt_copies_to_host() {
  const simt::Turn turn;
  return copies_to_host;
}

// ---- memory

cudaError_t simt_malloc(void** address, size_t bytes, simt::Memory kind, simt::Line line) {
  const simt::Turn turn;
  not_from_a_kernel("cudaMalloc", line);
  if (!address) return fail(cudaErrorInvalidValue);
  *address = nullptr;
  if (const cudaError_t error = simt::device_error()) return fail(error);
  if (bytes == 0) return cudaSuccess;
  *address = simt::allocate(bytes, kind, line);
  return *address ? cudaSuccess : fail(cudaErrorMemoryAllocation);
}

// cudaFree may free what cudaMallocAsync gave. Every other function for freeing belongs to one for
// allocating.
cudaError_t cudaFree(void* address, simt::Line line) {
  return free_memory("cudaFree", address,
                     {simt::Memory::kDevice, simt::Memory::kManaged, simt::Memory::kPool}, line);
}
cudaError_t cudaFreeAsync(void* address, cudaStream_t, simt::Line line) {
  return free_memory("cudaFreeAsync", address, {simt::Memory::kPool}, line);
}
cudaError_t cudaFreeHost(void* address, simt::Line line) {
  return free_memory("cudaFreeHost", address, {simt::Memory::kPinned}, line);
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* pointer) {
  const simt::Turn turn;
  const auto kind = simt::kind_of(pointer);
  void* const address = const_cast<void*>(pointer);
  *attributes = {cudaMemoryTypeUnregistered, 0, nullptr, address};
  if (!kind) return cudaSuccess;
  attributes->devicePointer = address;
  attributes->type = *kind == simt::Memory::kManaged  ? cudaMemoryTypeManaged
                     : *kind == simt::Memory::kPinned ? cudaMemoryTypeHost
                                                      : cudaMemoryTypeDevice;
  if (attributes->type == cudaMemoryTypeDevice) attributes->hostPointer = nullptr;
  return cudaSuccess;
}

cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, simt::Line line) {
  const simt::Turn turn;
  simt::host_waits();
  return copy(to, from, bytes, kind, line);
}
// A copy from or to memory that no kernel can see has ended when the function returns: the driver copies it
// first.
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t,
                            simt::Line line) {
  const simt::Turn turn;
  copy(to, from, bytes, kind, line);
  if (simt::has_shadow(to) && simt::has_shadow(from)) {
    simt::count_copy();
    simt::note_copy(to, bytes, simt::Access::kWrite, line);
    simt::note_copy(from, bytes, simt::Access::kRead, line);
  } else if (simt::has_shadow(from)) {
    simt::host_waits();
  }
  return cudaSuccess;
}
cudaError_t cudaMemcpy2D(void* to, size_t to_pitch, const void* from, size_t from_pitch, size_t width,
                         size_t height, cudaMemcpyKind kind, simt::Line line) {
  if (width > to_pitch || width > from_pitch) return fail(cudaErrorInvalidValue);
  for (size_t i = 0; i < height; ++i)
    cudaMemcpy(static_cast<char*>(to) + i * to_pitch, static_cast<const char*>(from) + i * from_pitch, width,
               kind, line);
  return cudaSuccess;
}
cudaError_t cudaMemcpy2DAsync(void* to, size_t to_pitch, const void* from, size_t from_pitch, size_t width,
                              size_t height, cudaMemcpyKind kind, cudaStream_t stream, simt::Line line) {
  if (width > to_pitch || width > from_pitch) return fail(cudaErrorInvalidValue);
  for (size_t i = 0; i < height; ++i)
    cudaMemcpyAsync(static_cast<char*>(to) + i * to_pitch, static_cast<const char*>(from) + i * from_pitch,
                    width, kind, stream, line);
  return cudaSuccess;
}

cudaError_t cudaMemset(void* to, int value, size_t bytes, simt::Line line) {
  const simt::Turn turn;
  not_from_a_kernel("cudaMemset", line);
  if (bytes == 0) return cudaSuccess;
  simt::owner_of(to, bytes, "The target of cudaMemset", line);
  if (!simt::has_shadow(to)) return fail(cudaErrorInvalidValue);
  memset(to, value, bytes);
  simt::set_initialized(to, bytes);
  return cudaSuccess;
}
cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t, simt::Line line) {
  return cudaMemset(to, value, bytes, line);
}

cudaError_t simt_copy_to_symbol(const void* symbol, size_t room, const void* from, size_t bytes,
                                size_t offset, simt::Line line) {
  const simt::Turn turn;
  not_from_a_kernel("cudaMemcpyToSymbol", line);
  if (offset + bytes > room) return fail(cudaErrorInvalidValue);
  if (!simt::has_shadow(symbol)) return fail(cudaErrorInvalidSymbol);
  memcpy(static_cast<char*>(const_cast<void*>(symbol)) + offset, from, bytes);
  return cudaSuccess;
}
cudaError_t simt_copy_from_symbol(void* to, const void* symbol, size_t room, size_t bytes, size_t offset,
                                  simt::Line line) {
  const simt::Turn turn;
  not_from_a_kernel("cudaMemcpyFromSymbol", line);
  simt::host_waits();
  if (offset + bytes > room) return fail(cudaErrorInvalidValue);
  if (!simt::has_shadow(symbol)) return fail(cudaErrorInvalidSymbol);
  memcpy(to, static_cast<const char*>(symbol) + offset, bytes);
  simt::add_to_results(to, bytes);
  return cudaSuccess;
}

// ---- launches

void simt::launch(const char* name, Line line, const void* kernel, const Configuration& c,
                  void (*body)(void*), void* data) {
  const Turn turn;
  not_from_a_kernel("a kernel (dynamic parallelism is not emulated)", line);
  const dim3 g = c.grid, b = c.block;
  size_t most_shared = kUsualDynamicShared;
  for (const auto& [named, bytes] : dynamic_limits)  // the address of a template is not known
    if (named == kernel || !kernel) most_shared = std::max(most_shared, bytes);
  cudaError_t error = cudaSuccess;
  if (uint64_t{b.x} * b.y * b.z == 0 || uint64_t{b.x} * b.y * b.z > kMaxThreads || b.x > 1024 || b.y > 1024 ||
      b.z > 64 || uint64_t{g.x} * g.y * g.z == 0 || g.x > 0x7fffffff || g.y > 65535 || g.z > 65535)
    error = cudaErrorInvalidConfiguration;
  else if (c.dynamic_shared > most_shared)
    error = cudaErrorInvalidValue;
  if (error != cudaSuccess) {
    fail(error);
    unseen_error = {error, line};
    return;
  }
  const Launch description{name, line, {g.x, g.y, g.z}, {b.x, b.y, b.z}, c.dynamic_shared};
  run(description, body, data);
}

cudaError_t simt_set_dynamic_shared(const void* kernel, cudaFuncAttribute attribute, int value) {
  if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize) return cudaSuccess;
  if (value < 0 || static_cast<size_t>(value) > simt::kLargestDynamicShared)
    return fail(cudaErrorInvalidValue);
  const simt::Turn turn;
  dynamic_limits[kernel] = static_cast<size_t>(value);
  return cudaSuccess;
}

// A failed assert() of the C library.
extern "C" [[noreturn]] void __assert_fail(const char* condition, const char* file, unsigned line,
                                           const char*) {
  if (simt::current_thread()) simt::assertion_failed(condition, file, line);
  fprintf(stderr, "%s:%u: the assertion %s does not hold\n", file, line, condition);
  abort();
}
