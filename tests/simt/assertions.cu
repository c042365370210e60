// Checks in kernels, and functions that kernels may not call.
#include "check.h"

#include <cassert>

__global__ void look_up(const int* table, const int* keys, int* values, int size) {
  const int key = keys[threadIdx.x];
  assert(key >= 0 && key < size);  // FAULT_1: assertion in look_up
#ifdef FAULT_2
  if (key > 5) __trap();  // FAULT_2: assertion in look_up
#endif
  values[threadIdx.x] = table[key];
  if (threadIdx.x == 0) printf("The first key is %d.\n", key);
}

#if defined FAULT_3 || defined FAULT_4
__global__ void parent(const int* table, const int* keys, int* values, int size) {
#ifdef FAULT_3
  if (threadIdx.x == 0) look_up<<<1, 32>>>(table, keys, values, size);  // FAULT_3: host-function in parent
#else
  if (threadIdx.x == 0) cudaFree(values);  // FAULT_4: host-function in parent
#endif
}
#endif

int main() {
  std::vector<int> table(8), keys(32);
  for (int i = 0; i < 8; ++i) table[i] = i * i;
  for (int i = 0; i < 32; ++i) keys[i] = i % 8;
#ifdef FAULT_1
  keys[9] = 8;
#endif
  int *const d_table = to_device(table), *const d_keys = to_device(keys), *const d_values = device_array<int>(32);
#if defined FAULT_3 || defined FAULT_4
  parent<<<1, 32>>>(d_table, d_keys, d_values, 8);
#else
  look_up<<<1, 32>>>(d_table, d_keys, d_values, 8);
#endif
  const std::vector<int> values = to_host(d_values, 32);
  for (int i = 0; i < 32; ++i) REQUIRE(values[i] == table[keys[i]]);
  CHECK(cudaFree(d_table));
  CHECK(cudaFree(d_keys));
  CHECK(cudaFree(d_values));
}
