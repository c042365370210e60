// BYHAND_UNROLL stands before a loop of constant length and makes the compiler unroll the loop early. An
// array of Vec can stay in registers only if all its indices are constants, and they must be constants
// already when the compiler decides which arrays go into registers. Without this macro, GCC 12 copies a tile
// of accumulators through memory before and after its main loop, which makes a short convolution a third
// slower.
//
// BYHAND_UNROLL_4 stands before the main loop of a tile and makes GCC do four rounds per branch. On an Intel
// Xeon, products that read a matrix in place are then up to 1.4 times as fast if its rows are not aligned to
// cache lines. Clang would move vectors to the stack.
#pragma once

#if defined(__clang__)
#define BYHAND_UNROLL _Pragma("unroll")
#define BYHAND_UNROLL_4
#else
#define BYHAND_UNROLL _Pragma("GCC unroll 32")
#define BYHAND_UNROLL_4 _Pragma("GCC unroll 4")
#endif

// Makes the compiler assume that an integer or a pointer changes here. Before this point, the compiler then
// computes nothing from the value that the variable has afterwards. After it, the compiler reuses nothing
// that it computed before. This solves two problems. Compilers otherwise compute the addresses of all rows
// from one pointer and a table of offsets, which does not fit into the integer registers. They also keep the
// mask of a partly used vector in a register that the sums need.
#define BYHAND_KEEP(value) asm("" : "+r"(value))

namespace byhand::cpu::BYHAND_ISA {
namespace {

// An integer whose type holds its value. A function that gets it as an argument of type `auto` can use it as
// a constant.
template <int kValue>
struct Constant {
  constexpr operator int() const { return kValue; }
};

// Calls f(1), f(2), ..., f(kCount). The arguments are Constants, so `f` can use them as template arguments.
template <int kCount, class F>
constexpr void for_constants(F f) {
  if constexpr (kCount > 0) {
    for_constants<kCount - 1>(f);
    f(Constant<kCount>{});
  }
}

// Calls body(i, rows) for blocks of kRows rows, and for the shorter block at the end if there is one. i is
// the first row of a block, and `rows` a Constant.
template <int kRows, class Body>
inline void for_rows(int64_t count, Body body) {
  int64_t i = 0;
  for (; i + kRows <= count; i += kRows) body(i, Constant<kRows>{});
  for_constants<kRows - 1>([&](auto rows) {
    if (rows == count - i) body(i, rows);
  });
}

}  // namespace
}  // namespace byhand::cpu::BYHAND_ISA
