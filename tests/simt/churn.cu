// A program that allocates and frees memory in each of many steps: the emulator must give back what it knows of
// freed memory, and find room for new memory.
#include "check.h"

#include <fstream>
#include <string>

// The most memory that this program had at a time, in KiB. ru_maxrss would count the memory of the process that
// started it, too.
long peak_memory() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.compare(0, 6, "VmHWM:") == 0) return std::stol(line.substr(6));
  return -1;
}

// Touches the memory so that a large part of its shadow memory is used.
__global__ void touch(int* x, int n) {
  for (int i = threadIdx.x; i < n; i += 32 * 40)
    x[i] = i;  // FAULT_1: use-after-free in touch
}

int main() {
  constexpr int n = 1 << 18, kept_count = 10;
  int* kept[kept_count];
  for (int k = 0; k < kept_count; ++k) {
    kept[k] = device_array<int>(100 * (k + 1));
    CHECK(cudaMemset(kept[k], k, 100 * (k + 1) * sizeof(int)));
  }
  int *x = nullptr, *last = nullptr;
  for (int step = 0; step < 1200; ++step) {
    last = x;
    x = device_array<int>(n);
    REQUIRE(x != last);
    touch<<<1, 32>>>(x, n);
    CHECK(cudaFree(x));
  }
#ifdef FAULT_1
  touch<<<1, 32>>>(last, n);
#endif
  for (int k = 0; k < kept_count; ++k)
    REQUIRE(to_host(kept[k], 100 * (k + 1)) == std::vector<int>(100 * (k + 1), k * 0x01010101));
  // All steps together have 1200 MiB, and 24 times as much shadow memory.
  const long peak = peak_memory();
  REQUIRE(peak > 0 && peak < 200 << 10);
  for (int* const array : kept) CHECK(cudaFree(array));
}
