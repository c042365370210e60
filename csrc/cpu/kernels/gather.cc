// Converts bytes to floats.
#include "cpu/kernels/gather.h"
#include "cpu/vec/loop.h"

namespace byhand::cpu::BYHAND_ISA {
namespace {

void bytes_to_floats(const uint8_t* bytes, int64_t count, float scale, float offset, float* to) {
  const Vec a = Vec::set(scale), b = Vec::set(offset);
  for_vectors(count, [=](int64_t i, auto n) { store(fma(load_bytes(bytes + i, n), a, b), to + i, n); });
}

}  // namespace

void fill_gather(GatherKernels& k) { k.bytes = bytes_to_floats; }

}  // namespace byhand::cpu::BYHAND_ISA
