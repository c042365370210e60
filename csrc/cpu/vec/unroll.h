// BYHAND_UNROLL before a loop of constant length makes the compiler unroll it at once. Arrays of Vec become
// registers only if nothing indexes them by a variable when the compiler looks; GCC 12 otherwise keeps a tile
// of accumulators in memory before and after the loop that uses it, which costs a short convolution a third.
#pragma once

#if defined(__clang__)
#define BYHAND_UNROLL _Pragma("unroll")
#else
#define BYHAND_UNROLL _Pragma("GCC unroll 16")
#endif

// Keeps an integer or a pointer as it is here: what follows from it cannot be computed before, nor kept from
// before. Compilers otherwise address all rows from one pointer and a table of offsets, which is more than
// the integer registers hold, and hold an edge's mask where vectors are short.
#define BYHAND_KEEP(value) asm("" : "+r"(value))

namespace byhand::cpu::BYHAND_ISA {
namespace {

template <int kValue>
struct Constant {
  constexpr operator int() const { return kValue; }
};

// f(1), f(2), ... f(kCount), of constants that can be template arguments.
template <int kCount, class F>
constexpr void for_constants(F f) {
  if constexpr (kCount > 0) {
    for_constants<kCount - 1>(f);
    f(Constant<kCount>{});
  }
}

}  // namespace
}  // namespace byhand::cpu::BYHAND_ISA
