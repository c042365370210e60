// Random bits as a function of a counter and a key. There is no state, so the bits of one counter do not
// depend on which other counters are drawn, in which order and on which thread.
//
// The generator is Philox4x32-7 of Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2,
// 3" (SC 2011).
#pragma once

#include <array>
#include <cstdint>

namespace byhand {

using Random4 = std::array<uint32_t, 4>;

// Returns the four random words of this counter and this key.
inline Random4 philox4x32(Random4 counter, uint64_t key) {
  constexpr int kRounds = 7;
  auto low = static_cast<uint32_t>(key), high = static_cast<uint32_t>(key >> 32);
  for (int i = 0; i < kRounds; ++i) {
    const uint64_t a = uint64_t{0xD2511F53} * counter[0], b = uint64_t{0xCD9E8D57} * counter[2];
    counter = {static_cast<uint32_t>(b >> 32) ^ counter[1] ^ low, static_cast<uint32_t>(b),
               static_cast<uint32_t>(a >> 32) ^ counter[3] ^ high, static_cast<uint32_t>(a)};
    low += 0x9E3779B9;
    high += 0xBB67AE85;
  }
  return counter;
}

// Maps 32 random bits to an integer from 0 to count - 1. The probabilities of two integers differ by at most
// 2^-32.
inline uint32_t below(uint32_t count, uint32_t bits) {
  return static_cast<uint32_t>((uint64_t{bits} * count) >> 32);
}

}  // namespace byhand
