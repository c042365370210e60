// What the code of a program, compiled against cuda_runtime.h, calls in the emulator.
#pragma once

#include <stddef.h>
#include <stdint.h>

// A function with this attribute reports no accesses.
#define SIMT_PLAIN __attribute__((no_sanitize("thread")))

// GCC reports no access if a structure that a function returns is stored in memory. It does report it if the
// function is inlined, so functions of kernels are, except those that call themselves. A program whose
// functions call each other in a circle is compiled with SIMT_NO_INLINE.
#define __simt_recursive__
#if defined(__GNUC__) && !defined(__clang__) && !defined(SIMT_NO_INLINE)
#define __device__ __attribute__((always_inline))
#else
#define __device__
#endif

namespace simt {

struct Extent {
  unsigned x, y, z;
};

// A line of the program.
struct Line {
  const char* file;
  int number;
};
constexpr Line make_line(const char* file, int number) { return {file, number}; }
// As a default argument, the line of the call. GCC 12 gives the line of the declaration if this is no
// function call.
#define SIMT_LINE ::simt::make_line(__builtin_FILE(), __builtin_LINE())

// ---- launches

struct Launch {
  const char* kernel;
  Line line;
  Extent grid, block;
  size_t dynamic_shared;
};
// Runs `body(data)` once per thread of the grid. Returns a cudaError_t.
int run(const Launch& launch, void (*body)(void*), void* data);

// ---- the thread that runs

Extent thread_index();
Extent block_index();
Extent block_extent();
Extent grid_extent();
// Whether a thread of a kernel runs, not the host.
bool in_kernel();

// ---- block barriers

enum class Vote { kNone, kOr, kAnd, kCount };
int block_barrier(Vote vote, bool predicate, Line line);
void thread_fence();

// ---- warp operations. A value is a 64-bit word, whatever its type.

enum class WarpOp {
  kSync,
  kShuffle,
  kShuffleUp,
  kShuffleDown,
  kShuffleXor,
  kBallot,
  kMatchAny,
  kAdd,
  kMin,
  kMax,
  kAnd,
  kOr,
  kXor
};
uint64_t warp_operation(WarpOp op, unsigned mask, uint64_t value, int lane, int width, bool is_signed,
                        Line line, const char* name);
unsigned active_mask(Line line);

// ---- memory

// Memory of cudaMalloc, cudaMallocManaged, cudaMallocHost and cudaMallocAsync.
enum class Memory { kDevice, kManaged, kPinned, kPool };

// The first byte of the dynamic shared memory, which has the size that the launch names.
void* dynamic_shared();
// Reports the access of an atomic function. `compares`: it is atomicCAS.
void atomic_access(void* address, size_t bytes, Line line, bool compares);
// Reports a read, or a write, of a function for which the compiler reports none.
void plain_access(const void* address, size_t bytes, size_t alignment, bool writes, Line line);
[[noreturn]] void assertion_failed(const char* condition, const char* file, unsigned line);

}  // namespace simt
