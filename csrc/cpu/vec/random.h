// The random number generator Philox4x32-7, one block of random words per lane. core/counter_random.h has the
// same generator for one block.
#pragma once

#include <stdint.h>

#include BYHAND_VEC_HEADER

namespace byhand::cpu::BYHAND_ISA {
namespace {

// The number of random words per block, and of rounds of the generator.
inline constexpr int kWords = 4, kRounds = 7;

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

// Returns 1 + u in each lane, where u is the upper 23 bits of the word divided by 2^23, from 0 to below 1.
// These bits become the mantissa of the result. 0x3F800000 is the sign and the exponent of all numbers from 1
// to below 2. The mask clears the copies of the sign bit that the arithmetic shift moves in.
inline Vec one_to_two(IVec word) {
  return from_bits((shift_right<9>(word) & IVec::set(0x007FFFFF)) | IVec::set(0x3F800000));
}

}  // namespace
}  // namespace byhand::cpu::BYHAND_ISA
