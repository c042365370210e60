// All atomic functions, in global and in shared memory, and a function that is made of atomicCAS.
#include "check.h"

// Multiplies, as the CUDA C++ Programming Guide makes other functions of atomicCAS. The first read need not be atomic,
// because the exchange fails if the value has changed since.
__device__ double atomic_multiply(double* address, double factor) {
  unsigned long long* const bits = reinterpret_cast<unsigned long long*>(address);
  unsigned long long old = *bits, assumed;  // FAULT_1: race in multiply
  do {
    assumed = old;
#ifdef FAULT_1
    *address = factor * __longlong_as_double(static_cast<long long>(assumed));  // FAULT_1: other
#else
    old = atomicCAS(bits, assumed,  // FAULT_3: race in multiply
                    static_cast<unsigned long long>(__double_as_longlong(
                        factor * __longlong_as_double(static_cast<long long>(assumed)))));
#endif
  } while (assumed != old);
  return __longlong_as_double(static_cast<long long>(old));
}
__global__ void multiply(double* product) {
  atomic_multiply(product, 1 + threadIdx.x % 2);
#ifdef FAULT_3
  if (*product == 0.0) *product = 1.0;  // FAULT_3: other
#endif
}

__global__ void all_of_them(int* i, unsigned* u, unsigned long long* l, float* f, double* d) {
  const int t = threadIdx.x;
  __shared__ int in_block;
  if (t == 0) in_block = 0;
  __syncthreads();
  atomicAdd(&in_block, t);
  __syncthreads();
  atomicAdd(&i[0], in_block);
  atomicSub(&i[1], 2);
  atomicMin(&i[2], -t);
  atomicMax(&i[3], t * 7 % 32);
  atomicExch(&i[4], 5);  // FAULT_2: race in all_of_them
  atomicCAS(&i[5], 0, 9);
  atomicAnd(&u[0], ~(1u << t));
  atomicOr(&u[1], 1u << t);
  atomicXor(&u[2], 3u);
  atomicInc(&u[3], 9u);
  atomicDec(&u[4], 9u);
  atomicAdd(&l[0], 1ull << 33);
  atomicMax(&l[1], 1ull * t);
  atomicAdd(f, 0.5f);
  atomicAdd(d, 0.25);
#ifdef FAULT_2
  if (t == 0) i[4] = 6;  // FAULT_2: other
#endif
}

int main() {
  int* const i = to_device(std::vector<int>{0, 0, 0, 0, 0, 0});
  unsigned* const u = to_device(std::vector<unsigned>{0xffffffffu, 0, 0, 0, 0});
  unsigned long long* const l = to_device(std::vector<unsigned long long>{0, 0});
  float* const f = to_device(std::vector<float>{0.0f});
  double* const d = to_device(std::vector<double>{0.0});
  all_of_them<<<1, 32>>>(i, u, l, f, d);
  REQUIRE((to_host(i, 6) == std::vector<int>{496 * 32, -64, -31, 31, 5, 9}));
  REQUIRE((to_host(u, 5) == std::vector<unsigned>{0, 0xffffffffu, 0, 2, 8}));
  REQUIRE((to_host(l, 2) == std::vector<unsigned long long>{32ull << 33, 31}));
  REQUIRE(to_host(f, 1)[0] == 16.0f && to_host(d, 1)[0] == 8.0);
  CHECK(cudaMemcpy(d, std::vector<double>{1.0}.data(), sizeof(double), cudaMemcpyHostToDevice));
  multiply<<<2, 10>>>(d);
  REQUIRE(to_host(d, 1)[0] == 1024.0);
  CHECK(cudaFree(i));
  CHECK(cudaFree(u));
  CHECK(cudaFree(l));
  CHECK(cudaFree(f));
  CHECK(cudaFree(d));
}
