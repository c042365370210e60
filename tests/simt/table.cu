// A hash table with a lock for all of its slots, and linked lists whose heads change atomically.
#include "check.h"

constexpr int kSlots = 64;

struct Slot {
  int key, count;
};

__device__ void count_key(int* lock, Slot* slots, int key) {
  bool done = false;
  while (!done) {
    if (atomicCAS(lock, 0, 1) == 0) {
      __threadfence();
      int i = key % kSlots;
      while (slots[i].key != -1 && slots[i].key != key) i = (i + 1) % kSlots;
      slots[i].key = key;
      ++slots[i].count;
      done = true;
      __threadfence();
      atomicExch(lock, 0);
    }
  }
}

__global__ void count_keys(int* lock, Slot* slots, const int* keys, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) count_key(lock, slots, keys[i]);
}

struct Node {
  int value;
  Node* next;
};

__global__ void build_lists(Node* nodes, unsigned long long* heads, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  nodes[i].value = i;
#ifdef FAULT_1
  nodes[i].next = reinterpret_cast<Node*>(heads[i % 4]);  // FAULT_1: race in build_lists
  heads[i % 4] = reinterpret_cast<unsigned long long>(&nodes[i]);  // FAULT_1: other
#else
  nodes[i].next = reinterpret_cast<Node*>(atomicExch(&heads[i % 4], reinterpret_cast<unsigned long long>(&nodes[i])));
#endif
}

__global__ void sum_lists(const unsigned long long* heads, int* sums) {
  int sum = 0;
  const Node* node = reinterpret_cast<const Node*>(heads[threadIdx.x]);
#ifdef FAULT_2
  do {
    node = node->next;
    sum += node->value;  // FAULT_2: null-pointer in sum_lists
  } while (true);
#else
  for (; node; node = node->next) sum += node->value;
#endif
  sums[threadIdx.x] = sum;
}

int main() {
  constexpr int n = 100, kinds = 17;
  std::vector<int> keys(n), counts(kinds * 3);
  for (int i = 0; i < n; ++i) ++counts[keys[i] = i * i % kinds * 3];
  int* const d_lock = to_device(std::vector<int>{0});
  Slot* const d_slots = to_device(std::vector<Slot>(kSlots, Slot{-1, 0}));
  int* const d_keys = to_device(keys);
  count_keys<<<4, 32>>>(d_lock, d_slots, d_keys, n);
  // The place of a key depends on the order of the threads, so the program reads the table's sum only.
  Node* const d_nodes = device_array<Node>(n);
  unsigned long long* const d_heads = to_device(std::vector<unsigned long long>(4));
  int* const d_sums = device_array<int>(4);
  build_lists<<<4, 32>>>(d_nodes, d_heads, n);
  sum_lists<<<1, 4>>>(d_heads, d_sums);
  const std::vector<int> sums = to_host(d_sums, 4);
  for (int i = 0; i < 4; ++i) REQUIRE(sums[i] == 25 * i + 4 * (24 * 25 / 2));
  CHECK(cudaFree(d_lock));
  CHECK(cudaFree(d_slots));
  CHECK(cudaFree(d_keys));
  CHECK(cudaFree(d_nodes));
  CHECK(cudaFree(d_heads));
  CHECK(cudaFree(d_sums));
}
