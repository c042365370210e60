// Dropout with the random number generator Philox4x32-7. Each lane computes a block of four random words.
#include "cpu/kernels/dropout.h"
#include "cpu/vec/loop.h"

namespace byhand::cpu::BYHAND_ISA {
namespace {

// The number of rounds of Philox, of words per block, and of blocks per group of values.
constexpr int kRounds = 7, kWords = 4, kBlocks = kDropoutGroup / kWords;

inline IVec broadcast(uint64_t word) { return IVec::set(static_cast<int32_t>(static_cast<uint32_t>(word))); }

// Replaces counters by random words. On entry, lane i of word[0] to word[3] holds the four words of the
// counter of one block. On return, it holds the four random words of this block.
inline void philox(uint64_t seed, IVec (&word)[kWords]) {
  const IVec multiplier[2] = {broadcast(0xD2511F53), broadcast(0xCD9E8D57)};
  uint32_t key[2] = {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)};
  for (int round = 0; round < kRounds; ++round) {
    const WideProduct a = multiply_wide(word[0], multiplier[0]), b = multiply_wide(word[2], multiplier[1]);
    word[0] = b.high ^ word[1] ^ broadcast(key[0]);
    word[1] = b.low;
    word[2] = a.high ^ word[3] ^ broadcast(key[1]);
    word[3] = a.low;
    key[0] += 0x9E3779B9, key[1] += 0xBB67AE85;
  }
}

// Returns 1 + u in each lane, where u is the upper 23 bits of the word divided by 2^23 (ops/dropout.h). These
// bits become the mantissa of the result. 0x3F800000 is the sign and the exponent of all numbers from 1 to
// below 2. The mask clears the copies of the sign bit that the arithmetic shift moves in.
inline Vec one_to_two(IVec word) {
  return from_bits((shift_right<9>(word) & IVec::set(0x007FFFFF)) | IVec::set(0x3F800000));
}

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
