// Functions for bits, conversions, mathematics, loads with a cache hint and atomic changes, with known results.
#include "check.h"

#include <climits>
#include <cmath>

__device__ __managed__ int mistakes = 0;
__managed__ unsigned long long checks[2];

#define EXPECT(condition) expect((condition), __LINE__)
__device__ void expect(bool condition, int line) {
  atomicAdd(&checks[0], 1ull);
  if (condition) return;
  atomicAdd(&mistakes, 1);
  printf("wrong result in line %d\n", line);
}
__device__ bool is_near(double a, double b) { return fabs(a - b) <= 2e-6 * fabs(b); }

__global__ void bits() {
  EXPECT(__brev(1u) == 0x80000000u && __brev(0x12345678u) == 0x1e6a2c48u);
  EXPECT(__brevll(1ull) == 0x8000000000000000ull && __brevll(3ull << 32) == 0xc0000000ull);
  EXPECT(__clz(0) == 32 && __clz(1) == 31 && __clz(-1) == 0 && __clzll(1) == 63 && __clzll(0) == 64);
  EXPECT(__ffs(0) == 0 && __ffs(8) == 4 && __ffsll(1ll << 40) == 41);
  EXPECT(__popc(0xf0f0u) == 8 && __popcll(~0ull) == 64);
  EXPECT(__byte_perm(0x33221100u, 0x77665544u, 0x7210u) == 0x77221100u);
  EXPECT(__funnelshift_l(0x80000000u, 1u, 1) == 3u && __funnelshift_r(0u, 1u, 1) == 0x80000000u);
  EXPECT(__umulhi(0x80000000u, 6u) == 3u && __mulhi(-1, 1) == -1);
  EXPECT(__umul64hi(1ull << 63, 6ull) == 3ull && __mul64hi(-1ll, 1ll) == -1ll);
  EXPECT(__mul24(-3, 5) == -15 && __umul24(0xff000003u, 5u) == 15u);
}

__global__ void conversions() {
  EXPECT(__float2int_rn(2.5f) == 2 && __float2int_rz(-2.7f) == -2 && __float2int_rd(-2.1f) == -3);
  EXPECT(__float2int_ru(2.1f) == 3 && __float2int_rz(1e20f) == INT_MAX && __float2int_rz(-1e20f) == INT_MIN);
  EXPECT(__float2int_rn(NAN) == 0 && __float2uint_rz(-1.0f) == 0u && __float2uint_rz(4e9f) == 4000000000u);
  EXPECT(__double2int_rn(3.5) == 4 && __double2ll_rz(-1e30) == LLONG_MIN && __float2ull_rn(2e19f) == ULLONG_MAX);
  EXPECT(__int2float_rn(16777217) == 16777216.0f && __uint2float_rn(3u) == 3.0f && __double2float_rn(0.1) == 0.1f);
  EXPECT(__float_as_int(1.0f) == 0x3f800000 && __uint_as_float(0x40000000u) == 2.0f);
}

__global__ void mathematics(float two) {
  EXPECT(is_near(rsqrtf(two), sqrt(0.5)) && is_near(__frsqrt_rn(two), sqrt(0.5)) && rsqrt(4.0) == 0.5);
  EXPECT(is_near(__expf(two), exp(2.0)) && is_near(__logf(two), log(2.0)) && __log2f(two) == 1.0f);
  EXPECT(is_near(__powf(two, 3.0f), 8.0) && is_near(__exp10f(two), 100.0) && __fdividef(two, 4.0f) == 0.5f);
  float s = 0.0f, c = 0.0f;
  __sincosf(two, &s, &c);
  EXPECT(s == __sinf(two) && c == __cosf(two) && is_near(__tanf(two), tan(2.0)));
  EXPECT(__fmaf_rn(two, 3.0f, 1.0f) == 7.0f && __fma_rn(2.0, 3.0, 1.0) == 7.0 && __fadd_rn(two, 1.0f) == 3.0f);
  EXPECT(__ddiv_rn(1.0, 4.0) == 0.25 && __dsqrt_rn(9.0) == 3.0 && __frcp_rn(two) == 0.5f);
  EXPECT(__saturatef(two) == 1.0f && __saturatef(-two) == 0.0f && __saturatef(NAN) == 0.0f);
  EXPECT(is_near(normcdff(0.0f), 0.5) && is_near(normcdff(1.959964f), 0.975) && sinpif(0.5f) == 1.0f);
  EXPECT(fabsf(cospif(0.5f)) < 1e-6f && is_near(rcbrtf(8.0f), 0.5) && is_near(norm3df(two, 3.0f, 6.0f), 7.0));
  EXPECT(min(3, 4) == 3 && max(3u, 4) == 4u && min(1.5f, two) == 1.5f && max(1.0, two) == 2.0 && fminf(two, NAN) == two);
}

template <class T>
__device__ void change_atomically(T* x) {
  const T old = atomicAdd(x, 5);
  EXPECT(old == T(1) && *x == T(6));
  EXPECT(atomicExch(x, 9) == T(6) && atomicMin(x, 3) == T(9) && atomicMax(x, 7) == T(3) && *x == T(7));
  EXPECT(atomicCAS(x, 7, 8) == T(7) && atomicCAS(x, 7, 1) == T(8) && *x == T(8));
}
__global__ void atomics(int* i, unsigned* u, unsigned long long* l, float* f, double* d) {
  change_atomically(i);
  change_atomically(u);
  change_atomically(l);
  atomicAdd(f, 0.5f);
  atomicAdd(d, 0.25);
  atomicAdd_block(i, 1);
  EXPECT(atomicExch(f, 4.0f) == 1.5f && atomicExch(d, 4.0) == 1.25 && *i == 9);
}

__global__ void hints(const float* x, float4* y) {
  const float sum = __ldca(x) + __ldcg(x + 1) + __ldcs(x + 2) + __ldlu(x + 3) + __ldcv(x + 4);
#ifdef FAULT_1
  const float4 v = __ldg(reinterpret_cast<const float4*>(x + 2));  // FAULT_1: misaligned in hints
#elif defined FAULT_2
  const float4 v = __ldg(reinterpret_cast<const float4*>(x) + 2);  // FAULT_2: out-of-bounds in hints
#else
  const float4 v = __ldg(reinterpret_cast<const float4*>(x));
#endif
  __stcs(&y[0], v);
  __stcg(&y[1].x, sum);
#ifdef FAULT_3
  __stwt(&y[1].x + threadIdx.x + 4, sum);  // FAULT_3: out-of-bounds in hints
#else
  __stwt(&y[1].y, sum);
#endif
}

int main() {
  bits<<<1, 2>>>();
  conversions<<<1, 2>>>();
  mathematics<<<1, 2>>>(2.0f);
  const std::vector<int> ones(1, 1);
  atomics<<<1, 1>>>(to_device(ones), to_device(std::vector<unsigned>(1, 1)),
                    to_device(std::vector<unsigned long long>(1, 1)), to_device(std::vector<float>(1, 1)),
                    to_device(std::vector<double>(1, 1)));
  float* const x = to_device(std::vector<float>{1, 2, 3, 4, 5, 6, 7, 8});
  float4* const y = device_array<float4>(2);
  hints<<<1, 1>>>(x, y);
  const std::vector<float4> back = to_host(y, 1);
  REQUIRE(back[0].x == 1.0f && back[0].w == 4.0f);
#ifdef FAULT_4
  bits<<<1, 1>>>();
#endif
  REQUIRE(mistakes == 0 && checks[0] > 50);  // FAULT_4: host-too-early
  size_t bytes = 0, pitch = 0;
  CHECK(cudaGetSymbolSize(&bytes, checks));
  REQUIRE(bytes == 16);
  float* rows = nullptr;
  CHECK(cudaMallocPitch(&rows, &pitch, 100, 3));
  REQUIRE(pitch >= 100 && pitch % 512 == 0);
  CHECK(cudaFree(rows));
}
