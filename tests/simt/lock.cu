// A lock that threads wait for in a loop, and a flag that hands data from one warp to another.
#include "check.h"

struct Account {
  int lock;
  int balance;
  int payments;
};

__device__ void acquire(int* lock) {
  while (atomicCAS(lock, 0, 1) != 0) {
  }
  __threadfence();
}
__device__ void release(int* lock) {
#ifndef FAULT_1
  __threadfence();
#endif
  atomicExch(lock, 0);
}

__global__ void pay(Account* account, int amount) {
#ifndef FAULT_3
  acquire(&account->lock);
#endif
  account->balance += amount;  // FAULT_1: race in pay; FAULT_1: other; FAULT_3: race in pay; FAULT_3: other
  ++account->payments;
#if !defined FAULT_2 && !defined FAULT_3
  release(&account->lock);
#endif
}

// The first warp writes values and raises a flag. The second one waits for the flag.
__global__ void hand_over(const int* x, int* y) {
  __shared__ int box[32];
  __shared__ int is_full;
  const int lane = threadIdx.x % 32;
  if (threadIdx.x == 0) is_full = 0;
  __syncthreads();
  if (threadIdx.x < 32) {
    box[lane] = 2 * x[lane];  // FAULT_5: other
#ifndef FAULT_5
    __threadfence_block();
#endif
    __syncwarp();
#ifdef FAULT_4
    if (lane == 0) *static_cast<volatile int*>(&is_full) = 1;  // FAULT_4: race in hand_over
#else
    if (lane == 0) {
#ifndef FAULT_5
      __threadfence_block();
#endif
      atomicExch(&is_full, 1);
    }
#endif
  } else {
#ifdef FAULT_4
    while (*static_cast<volatile int*>(&is_full) == 0) {  // FAULT_4: other
    }
#else
    while (atomicAdd(&is_full, 0) == 0) {
    }
#endif
    __threadfence_block();
    y[lane] = box[lane];  // FAULT_5: race in hand_over
  }
}

int main() {
  Account* const d_account = to_device(std::vector<Account>{{0, 100, 0}});
  pay<<<4, 40>>>(d_account, 5);  // FAULT_2: hang in pay
  const Account account = to_host(d_account, 1)[0];
  REQUIRE(account.balance == 900 && account.payments == 160);
  std::vector<int> x(32);
  for (int i = 0; i < 32; ++i) x[i] = i * i;
  int *const d_x = to_device(x), *const d_y = device_array<int>(32);
  hand_over<<<1, 64>>>(d_x, d_y);
  const std::vector<int> y = to_host(d_y, 32);
  for (int i = 0; i < 32; ++i) REQUIRE(y[i] == 2 * x[i]);
  CHECK(cudaFree(d_account));
  CHECK(cudaFree(d_x));
  CHECK(cudaFree(d_y));
}
