// Random bits as a function of a counter and a key. There is no state, so the bits of one counter do not
// depend on which other counters are drawn, in which order and on which thread.
//
// The generator is Philox4x32-7 of Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2,
// 3" (SC 2011).
//
// The functions can be called on the CPU, and on a GPU in CUDA files.
#pragma once

#include <cstdint>

#include "core/host_device.h"

namespace byhand {

struct Random4 {
  uint32_t words[4];
};

// Returns the four random words of this counter and this key.
BYHAND_HOST_DEVICE inline Random4 philox4x32(Random4 counter, uint64_t key) {
  constexpr int kRounds = 7;
  auto low = static_cast<uint32_t>(key), high = static_cast<uint32_t>(key >> 32);
  for (int i = 0; i < kRounds; ++i) {
    const uint32_t (&c)[4] = counter.words;
    const uint64_t a = uint64_t{0xD2511F53} * c[0], b = uint64_t{0xCD9E8D57} * c[2];
    counter = {{static_cast<uint32_t>(b >> 32) ^ c[1] ^ low, static_cast<uint32_t>(b),
                static_cast<uint32_t>(a >> 32) ^ c[3] ^ high, static_cast<uint32_t>(a)}};
    low += 0x9E3779B9;
    high += 0xBB67AE85;
  }
  return counter;
}

// Maps 32 random bits to an integer from 0 to count - 1. The probabilities of two integers differ by at most
// 2^-32.
BYHAND_HOST_DEVICE inline uint32_t below(uint32_t count, uint32_t bits) {
  return static_cast<uint32_t>((uint64_t{bits} * count) >> 32);
}

}  // namespace byhand
