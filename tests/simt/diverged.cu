// Warps whose lanes go different ways and meet again, locks that one lane takes for its warp, and declarations as
// they stand in older programs.
#include "check.h"

struct Complex {
  float re, im;
  __device__ Complex& operator+=(Complex other) {
    re += other.re, im += other.im;
    return *this;
  }
  __device__ float operator[](int i) const { return i == 0 ? re : im; }
};

__device__ int counter = 0x7fffffff;  // the next addition wraps around
__device__ int taken;

__global__ void meet(int* out) {
  static __shared__ int sums[2];
  if (threadIdx.x < 2) sums[threadIdx.x] = 0;
  __syncthreads();
  int v = threadIdx.x;
  if (threadIdx.x % 2 == 0) v = __shfl_sync(0x55555555u, v, 0);
  __syncwarp();
  const unsigned odd = __ballot_sync(0xffffffffu, threadIdx.x % 3 == 0);
  if (threadIdx.x % 3 == 0) v += __popc(__activemask() & odd) > 0 ? __shfl_sync(odd, v, 0) : 0;
  __syncwarp();
  out[threadIdx.x] = v;
  atomicAdd(&counter, 1);
}

// One lane takes the lock for all lanes of its warp.
__global__ void add_together(int* data) {
  if (threadIdx.x == 0)
    while (atomicCAS(&taken, 0, 1) != 0) {
    }
  if (threadIdx.x == 0) __threadfence();
  __syncwarp();
  data[threadIdx.x] += 1;
  __syncwarp();
  __threadfence();
  __syncwarp();
  if (threadIdx.x == 0) atomicExch(&taken, 0);
}

// All threads call __threadfence(), and after a barrier one of them counts the block.
__global__ void sum_of_blocks(const float* x, float* parts, unsigned* arrived, float* total) {
  extern __shared__ __align__(sizeof(double)) unsigned char memory[];
  auto* const last = reinterpret_cast<bool*>(memory);
  parts[blockIdx.x * blockDim.x + threadIdx.x] = 2 * x[blockIdx.x * blockDim.x + threadIdx.x];
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) *last = atomicAdd(arrived, 1u) == gridDim.x - 1;
  __syncthreads();
  if (!*last || threadIdx.x != 0) return;
  Complex sum{0, 0};
  for (unsigned i = 0; i < gridDim.x * blockDim.x; ++i) sum += Complex{parts[i], 1};
  *total = sum[0] + __mul24(-2, 3) + static_cast<float>(__umul24(0x1000002u, 3));
}

int main() {
  int *out, *data;
  CHECK(cudaMalloc(&out, 32 * sizeof(int)));
  CHECK(cudaMalloc(&data, 32 * sizeof(int)));
  CHECK(cudaMemset(data, 0, 32 * sizeof(int)));
  meet<<<1, 32>>>(out);
  CHECK(cudaGetLastError());
  add_together<<<4, 32>>>(data);
  CHECK(cudaGetLastError());
  int host[32];
  CHECK(cudaMemcpy(host, data, sizeof host, cudaMemcpyDeviceToHost));
  for (int value : host)
    if (value != 4) return 1;

  float ones[64], *x, *parts, *total, result;
  unsigned* arrived;
  for (float& one : ones) one = 1;
  CHECK(cudaMalloc(&x, sizeof ones));
  CHECK(cudaMalloc(&parts, sizeof ones));
  CHECK(cudaMalloc(&total, sizeof(float)));
  CHECK(cudaMalloc(&arrived, sizeof(unsigned)));
  CHECK(cudaMemset(arrived, 0, sizeof(unsigned)));
  CHECK(cudaMemcpy(x, ones, sizeof ones, cudaMemcpyHostToDevice));
  sum_of_blocks<<<4, 16, sizeof(double)>>>(x, parts, arrived, total);
  CHECK(cudaGetLastError());
  CHECK(cudaMemcpy(&result, total, sizeof result, cudaMemcpyDeviceToHost));
  return result == 128 - 6 + 6 ? 0 : 2;
}
