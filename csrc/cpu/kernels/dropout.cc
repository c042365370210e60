// Dropout with the random number generator Philox4x32-7. Each lane computes a block of four random words.
#include "cpu/kernels/dropout.h"
#include "cpu/vec/loop.h"
#include "cpu/vec/random.h"

namespace byhand::cpu::BYHAND_ISA {
namespace {

// The number of blocks of random words per group of values.
constexpr int kBlocks = kDropoutGroup / kWords;

// Writes the random words of kLanes consecutive blocks of a group, from block i on, to `word`.
inline void draw(const DropoutCounter& at, int64_t group, int i, IVec (&word)[kWords]) {
  const uint64_t block = static_cast<uint64_t>(group) * kBlocks + static_cast<uint64_t>(i);
  // Lane n takes block number `block` + n. Only the lower 32 bits of the number change, because
  // group * kBlocks is a multiple of 16, and i + n is below 16.
  word[0] = broadcast(block) + IVec::iota(1);
  word[1] = broadcast(block >> 32);
  word[2] = broadcast(at.step);
  word[3] = broadcast(at.stream);
  philox(at.seed, word);
}

void dropout(const DropoutCounter& at, float limit, float scale, const float* x, int64_t count, float* y) {
  static_assert(kBlocks % Vec::kLanes == 0);
  const Vec border = Vec::set(limit), factor = Vec::set(scale);
  const auto apply = [&](IVec word, int64_t i, auto n) {
    store(select(one_to_two(word) < border, Vec::zero(), load(x + i, n) * factor), y + i, n);
  };
  IVec word[kWords];
  int64_t begin = 0;
  for (; begin + kDropoutGroup <= count; begin += kDropoutGroup)
    for (int i = 0; i < kBlocks; i += Vec::kLanes) {
      draw(at, at.group + begin / kDropoutGroup, i, word);
      for (int w = 0; w < kWords; ++w) apply(word[w], begin + w * kBlocks + i, WholeVector{});
    }
  for (int i = 0; i < kBlocks && begin + i < count; i += Vec::kLanes) {
    draw(at, at.group + begin / kDropoutGroup, i, word);
    for (int w = 0; w < kWords; ++w) {
      const int64_t first = begin + w * kBlocks + i, left = count - first;
      if (left > 0) apply(word[w], first, left < Vec::kLanes ? static_cast<int>(left) : Vec::kLanes);
    }
  }
}

}  // namespace

void fill_dropout(DropoutKernels& k) { k.dropout = dropout; }

}  // namespace byhand::cpu::BYHAND_ISA
