// Structures: padding that nobody writes, alignment that is smaller than the size, and a structure of vectors.
#include "check.h"

struct Particle {
  char kind;       // 3 bytes of padding follow
  float mass;
  double x, y;
  short charge;    // 6 bytes of padding follow
};
struct Pair {
  double value;  // a pair has 16 bytes, but needs only an address that is a multiple of 8
  int index;     // 4 bytes of padding follow
};
struct Small {
  char a;  // 1 byte of padding follows
  short b;
};

__global__ void fill(Particle* particles, Small* small, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  particles[i].kind = static_cast<char>(i % 3);
  particles[i].mass = 1.0f;
  particles[i].x = i;
#ifndef FAULT_1
  particles[i].y = 2.0 * i;
#endif
  particles[i].charge = static_cast<short>(i);
  small[i].a = 1;
  small[i].b = static_cast<short>(i);
}

__global__ void reverse(const Particle* from, Particle* to, const Small* small, Small* small_to, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  to[n - 1 - i] = from[i];  // FAULT_1: uninitialized in reverse
  const Small s = small[i];
  small_to[n - 1 - i] = s;
}

// The first 8 bytes are a header, so no pair lies at a multiple of 16.
__global__ void largest(const unsigned char* bytes, Pair* result) {
  __shared__ Pair best[32];
#ifdef FAULT_2
  const Pair own = reinterpret_cast<const Pair*>(bytes + 4)[threadIdx.x];  // FAULT_2: misaligned in largest
#else
  const Pair own = reinterpret_cast<const Pair*>(bytes + 8)[threadIdx.x];
#endif
  best[threadIdx.x].value = own.value;
  best[threadIdx.x].index = own.index;
  __syncthreads();
  for (int half = 16; half > 0; half /= 2) {
    if (threadIdx.x < half && best[threadIdx.x + half].value > best[threadIdx.x].value)
      best[threadIdx.x] = best[threadIdx.x + half];
    __syncthreads();
  }
  if (threadIdx.x == 0) *result = best[0];
}

// A kernel may leave the last value of a vector alone.
__global__ void positions(float* xyzw, float* lengths) {
  float* const own = xyzw + 4 * threadIdx.x;
#ifdef FAULT_3
  own[0] = own[1] = static_cast<float>(threadIdx.x);
#else
  own[0] = own[1] = own[2] = static_cast<float>(threadIdx.x);
#endif
  const float4 v = *reinterpret_cast<const float4*>(own);  // FAULT_3: uninitialized in positions
  lengths[threadIdx.x] = sqrtf(v.x * v.x + v.y * v.y + v.z * v.z);
}

int main() {
  constexpr int n = 40;
  Particle *const particles = device_array<Particle>(n), *const reversed = device_array<Particle>(n);
  Small *const small = device_array<Small>(n), *const small_reversed = device_array<Small>(n);
  fill<<<2, 32>>>(particles, small, n);
  reverse<<<2, 32>>>(particles, reversed, small, small_reversed, n);
  const std::vector<Particle> back = to_host(reversed, n);
  const std::vector<Small> small_back = to_host(small_reversed, n);
  for (int i = 0; i < n; ++i) {
    const Particle& p = back[n - 1 - i];
    REQUIRE(p.kind == i % 3 && p.mass == 1.0f && p.x == i && p.y == 2 * i && p.charge == i);
    REQUIRE(small_back[n - 1 - i].a == 1 && small_back[n - 1 - i].b == i);
  }

  std::vector<unsigned char> bytes(8 + 32 * sizeof(Pair));
  for (int i = 0; i < 32; ++i) {
    const Pair pair{static_cast<double>(7 * i % 32), i};
    memcpy(&bytes[8 + i * sizeof(Pair)], &pair, sizeof pair);
  }
  unsigned char* const d_bytes = to_device(bytes);
  Pair* const d_best = device_array<Pair>(1);
  largest<<<1, 32>>>(d_bytes, d_best);
  const Pair best = to_host(d_best, 1)[0];
  REQUIRE(best.value == 31.0 && 7 * best.index % 32 == 31);

  float *const xyzw = device_array<float>(4 * 32), *const lengths = device_array<float>(32);
  positions<<<1, 32>>>(xyzw, lengths);
  REQUIRE(to_host(lengths, 32)[2] == sqrtf(12.0f));
  CHECK(cudaFree(particles));
  CHECK(cudaFree(reversed));
  CHECK(cudaFree(small));
  CHECK(cudaFree(small_reversed));
  CHECK(cudaFree(d_bytes));
  CHECK(cudaFree(d_best));
  CHECK(cudaFree(xyzw));
  CHECK(cudaFree(lengths));
}
