// dim3, int2, float4 and the other vectors of CUDA, with their make_ functions.
#pragma once

#include <simt_api.h>

struct uint3 {
  unsigned x, y, z;
};
struct dim3 {
  unsigned x = 1, y = 1, z = 1;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
  constexpr dim3(uint3 v) : x(v.x), y(v.y), z(v.z) {}
  constexpr operator uint3() const { return {x, y, z}; }
};
__device__ inline uint3 make_uint3(unsigned x, unsigned y, unsigned z) { return {x, y, z}; }

// SIMT_VECTORS(name, T, bytes of T) defines the vectors of 1, 2, 3 and 4 values. Vectors of 2 and 4 are
// aligned to their size, but to no more than 16 bytes.
#define SIMT_VECTORS(name, T, b2, b4)                                   \
  struct name##1 { T x; };                                              \
  struct alignas(b2) name##2 { T x, y; };                               \
  struct alignas(b4) name##4 { T x, y, z, w; };                         \
  __device__ inline name##1 make_##name##1(T x) { return {x}; }         \
  __device__ inline name##2 make_##name##2(T x, T y) { return {x, y}; } \
  __device__ inline name##4 make_##name##4(T x, T y, T z, T w) { return {x, y, z, w}; }
#define SIMT_VECTOR3(name, T)    \
  struct name##3 { T x, y, z; }; \
  __device__ inline name##3 make_##name##3(T x, T y, T z) { return {x, y, z}; }

SIMT_VECTORS(char, signed char, 2, 4)
SIMT_VECTOR3(char, signed char)
SIMT_VECTORS(uchar, unsigned char, 2, 4)
SIMT_VECTOR3(uchar, unsigned char)
SIMT_VECTORS(short, short, 4, 8)
SIMT_VECTOR3(short, short)
SIMT_VECTORS(ushort, unsigned short, 4, 8)
SIMT_VECTOR3(ushort, unsigned short)
SIMT_VECTORS(int, int, 8, 16)
SIMT_VECTOR3(int, int)
SIMT_VECTORS(uint, unsigned, 8, 16)
SIMT_VECTORS(long, long, 16, 16)
SIMT_VECTOR3(long, long)
SIMT_VECTORS(ulong, unsigned long, 16, 16)
SIMT_VECTOR3(ulong, unsigned long)
SIMT_VECTORS(longlong, long long, 16, 16)
SIMT_VECTOR3(longlong, long long)
SIMT_VECTORS(ulonglong, unsigned long long, 16, 16)
SIMT_VECTOR3(ulonglong, unsigned long long)
SIMT_VECTORS(float, float, 8, 16)
SIMT_VECTOR3(float, float)
SIMT_VECTORS(double, double, 16, 16)
SIMT_VECTOR3(double, double)

#undef SIMT_VECTORS
#undef SIMT_VECTOR3
