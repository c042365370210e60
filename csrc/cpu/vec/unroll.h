// BYHAND_UNROLL before a loop of constant length makes the compiler unroll the loop early. An array of Vec is
// kept in registers only if it is indexed by constants when the compiler assigns arrays to registers.
// Otherwise GCC 12 keeps a tile of accumulators in memory before and after the loop that uses it, which makes
// a short convolution a third slower.
#pragma once

#if defined(__clang__)
#define BYHAND_UNROLL _Pragma("unroll")
#else
#define BYHAND_UNROLL _Pragma("GCC unroll 16")
#endif

// Hides the value of an integer or a pointer from the compiler, as if it changed here. The compiler then
// cannot move computations with the value to before this point, or reuse their results from before. Without
// it, compilers compute the addresses of all rows from one pointer and a table of offsets, which does not fit
// into the integer registers. They also keep the mask of a cut edge in registers that the sums need.
#define BYHAND_KEEP(value) asm("" : "+r"(value))

namespace byhand::cpu::BYHAND_ISA {
namespace {

template <int kValue>
struct Constant {
  constexpr operator int() const { return kValue; }
};

// Calls f(1), f(2), ... f(kCount) with constants, which `f` can use as template arguments.
template <int kCount, class F>
constexpr void for_constants(F f) {
  if constexpr (kCount > 0) {
    for_constants<kCount - 1>(f);
    f(Constant<kCount>{});
  }
}

}  // namespace
}  // namespace byhand::cpu::BYHAND_ISA
