// The program is compiled with -fsanitize=thread, and linked without ThreadSanitizer. Its compiler then calls
// the functions below at every access to memory that other threads may see. They report the access to the
// shadow memory. So kernels stay ordinary CUDA code.
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <string>

#include "simt/block.h"
#include "simt/host.h"
#include "simt/shadow.h"

namespace {

using simt::Access;
using simt::Place;

void check(const void* address, size_t bytes, Access access, bool natural, void* instruction) {
  const simt::Turn turn;
  if (simt::in_emulator) return;
  simt::check_access(reinterpret_cast<uintptr_t>(address), bytes, access, natural, Place(instruction));
}

}  // namespace

#define SIMT_HERE __builtin_return_address(0)

extern "C" {

void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_ignore_thread_begin() {}
void __tsan_ignore_thread_end() {}
void __tsan_vptr_update(void**, void*) {}
void __tsan_vptr_read(void**) {}
void __tsan_atomic_thread_fence(int) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
void __tsan_atomic_signal_fence(int) {}

#define SIMT_HOOKS(n)                                                                                 \
  void __tsan_read##n(void* a) { check(a, n, Access::kRead, true, SIMT_HERE); }                       \
  void __tsan_write##n(void* a) { check(a, n, Access::kWrite, true, SIMT_HERE); }                     \
  void __tsan_unaligned_read##n(void* a) { check(a, n, Access::kRead, false, SIMT_HERE); }            \
  void __tsan_unaligned_write##n(void* a) { check(a, n, Access::kWrite, false, SIMT_HERE); }          \
  void __tsan_volatile_read##n(void* a) { check(a, n, Access::kRead, true, SIMT_HERE); }              \
  void __tsan_volatile_write##n(void* a) { check(a, n, Access::kWrite, true, SIMT_HERE); }            \
  void __tsan_unaligned_volatile_read##n(void* a) { check(a, n, Access::kRead, false, SIMT_HERE); }   \
  void __tsan_unaligned_volatile_write##n(void* a) { check(a, n, Access::kWrite, false, SIMT_HERE); } \
  void __tsan_read_write##n(void* a) {                                                                \
    check(a, n, Access::kRead, true, SIMT_HERE);                                                      \
    check(a, n, Access::kWrite, true, SIMT_HERE);                                                     \
  }                                                                                                   \
  void __tsan_unaligned_read_write##n(void* a) {                                                      \
    check(a, n, Access::kRead, false, SIMT_HERE);                                                     \
    check(a, n, Access::kWrite, false, SIMT_HERE);                                                    \
  }

SIMT_HOOKS(1)
SIMT_HOOKS(2)
SIMT_HOOKS(4)
SIMT_HOOKS(8)
SIMT_HOOKS(16)

void __tsan_read_range(void* a, size_t n) { check(a, n, Access::kRead, false, SIMT_HERE); }
void __tsan_write_range(void* a, size_t n) { check(a, n, Access::kWrite, false, SIMT_HERE); }

// The copies of the C library, which the program and the compiler call. The program's object file names them
// simt_memcpy and so on, so that they differ from those that the emulator calls.
#define SIMT_COPY(name, real)                          \
  void* name(void* to, const void* from, size_t n) {   \
    if (n > 0) {                                       \
      check(from, n, Access::kRead, false, SIMT_HERE); \
      check(to, n, Access::kWrite, false, SIMT_HERE);  \
    }                                                  \
    return real(to, from, n);                          \
  }
SIMT_COPY(simt_memcpy, memcpy)
SIMT_COPY(simt_memmove, memmove)
SIMT_COPY(__tsan_memcpy, memcpy)
SIMT_COPY(__tsan_memmove, memmove)
void* simt_memset(void* to, int value, size_t n) {
  if (n > 0) check(to, n, Access::kWrite, false, SIMT_HERE);
  return memset(to, value, n);
}
void* __tsan_memset(void* to, int value, size_t n) {
  if (n > 0) check(to, n, Access::kWrite, false, SIMT_HERE);
  return memset(to, value, n);
}

// The program is also compiled with
// -fsanitize=alignment,bounds,signed-integer-overflow,integer-divide-by-zero. Its compiler calls these
// functions if an address does not fit its type, an index leaves an array, or a number leaves its range. They
// have a description of the place.
struct SourceLocation {
  const char* file;
  uint32_t line, column;
};
void arithmetic_finding(const char* kind, const char* message, const SourceLocation* at) {
  const simt::Turn turn;
  if (!simt::current_thread() || simt::in_emulator) return;  // what the host does is not our subject
  simt::report({kind, message, Place(simt::Line{at->file, static_cast<int>(at->line)})});
}
struct TypeMismatch {
  SourceLocation at;
  const void* type;
  uint8_t log_alignment, kind;  // 0: the object is read, 1: it is written
};
void __ubsan_handle_type_mismatch_v1(TypeMismatch* mismatch, uintptr_t address) {
  if (!simt::current_thread() || simt::in_emulator) return;
  const SourceLocation& at = mismatch->at;
  simt::check_alignment(address, size_t{1} << mismatch->log_alignment,
                        Place(simt::Line{at.file, static_cast<int>(at.line)}));
}
void __ubsan_handle_out_of_bounds(SourceLocation* at, uintptr_t index) {
  const std::string message =
      "The index " + std::to_string(static_cast<intptr_t>(index)) + " lies outside of an array.";
  arithmetic_finding("out-of-bounds", message.c_str(), at);
}
#define SIMT_OVERFLOW(name, parameters)                                                                    \
  void __ubsan_handle_##name parameters {                                                                  \
    arithmetic_finding("overflow", "The result of a signed integer operation does not fit its type.", at); \
  }
SIMT_OVERFLOW(add_overflow, (SourceLocation * at, uintptr_t, uintptr_t))
SIMT_OVERFLOW(sub_overflow, (SourceLocation * at, uintptr_t, uintptr_t))
SIMT_OVERFLOW(mul_overflow, (SourceLocation * at, uintptr_t, uintptr_t))
SIMT_OVERFLOW(negate_overflow, (SourceLocation * at, uintptr_t))
void __ubsan_handle_divrem_overflow(SourceLocation* at, uintptr_t, uintptr_t) {
  arithmetic_finding("overflow", "A division by zero, or one whose result does not fit its type.", at);
}

// std::atomic and the compiler's own atomic functions.
#define SIMT_ATOMIC_FETCH(bits, T, name, function)                         \
  T __tsan_atomic##bits##_##name(volatile T* a, T v, int) {                \
    check(const_cast<T*>(a), sizeof(T), Access::kAtomic, true, SIMT_HERE); \
    return function(a, v, __ATOMIC_SEQ_CST);                               \
  }
#define SIMT_ATOMIC_EXCHANGE(bits, T, name)                                                              \
  int __tsan_atomic##bits##_compare_exchange_##name(volatile T* a, T* expected, T desired, int, int) {   \
    check(const_cast<T*>(a), sizeof(T), Access::kAtomic, true, SIMT_HERE);                               \
    return __atomic_compare_exchange_n(a, expected, desired, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST); \
  }
#define SIMT_ATOMICS(bits, T)                                                                      \
  T __tsan_atomic##bits##_load(const volatile T* a, int) {                                         \
    check(const_cast<T*>(a), sizeof(T), Access::kAtomic, true, SIMT_HERE);                         \
    return __atomic_load_n(a, __ATOMIC_SEQ_CST);                                                   \
  }                                                                                                \
  void __tsan_atomic##bits##_store(volatile T* a, T v, int) {                                      \
    check(const_cast<T*>(a), sizeof(T), Access::kAtomic, true, SIMT_HERE);                         \
    __atomic_store_n(a, v, __ATOMIC_SEQ_CST);                                                      \
  }                                                                                                \
  SIMT_ATOMIC_FETCH(bits, T, exchange, __atomic_exchange_n)                                        \
  SIMT_ATOMIC_FETCH(bits, T, fetch_add, __atomic_fetch_add)                                        \
  SIMT_ATOMIC_FETCH(bits, T, fetch_sub, __atomic_fetch_sub)                                        \
  SIMT_ATOMIC_FETCH(bits, T, fetch_and, __atomic_fetch_and)                                        \
  SIMT_ATOMIC_FETCH(bits, T, fetch_or, __atomic_fetch_or)                                          \
  SIMT_ATOMIC_FETCH(bits, T, fetch_xor, __atomic_fetch_xor)                                        \
  SIMT_ATOMIC_FETCH(bits, T, fetch_nand, __atomic_fetch_nand)                                      \
  SIMT_ATOMIC_EXCHANGE(bits, T, strong)                                                            \
  SIMT_ATOMIC_EXCHANGE(bits, T, weak)                                                              \
  T __tsan_atomic##bits##_compare_exchange_val(volatile T* a, T expected, T desired, int, int) {   \
    check(const_cast<T*>(a), sizeof(T), Access::kAtomic, true, SIMT_HERE);                         \
    __atomic_compare_exchange_n(a, &expected, desired, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST); \
    return expected;                                                                               \
  }

SIMT_ATOMICS(8, uint8_t)
SIMT_ATOMICS(16, uint16_t)
SIMT_ATOMICS(32, uint32_t)
SIMT_ATOMICS(64, uint64_t)

}  // extern "C"
