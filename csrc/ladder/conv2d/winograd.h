// Winograd's algorithm for 4 outputs of a filter of 5 taps, from 8 inputs: y = A' ((G g) * (B d)), where d
// holds the inputs, g the taps, and * multiplies value by value. It takes 8 multiplications instead of 20.
// Two dimensions apply each matrix to the columns and then to the rows. docs/winograd.md derives the matrices
// from the points 0, 1, -1, 2, -2, 1/2, -1/2 and infinity.
#pragma once

#include "ladder/vec.h"

constexpr int kOutputs = 4, kInputs = 8;

constexpr float kG[8][5] = {{-1, 0, 0, 0, 0},
                            {-2.0f / 9, -2.0f / 9, -2.0f / 9, -2.0f / 9, -2.0f / 9},
                            {-2.0f / 9, 2.0f / 9, -2.0f / 9, 2.0f / 9, -2.0f / 9},
                            {1.0f / 90, 1.0f / 45, 2.0f / 45, 4.0f / 45, 8.0f / 45},
                            {1.0f / 90, -1.0f / 45, 2.0f / 45, -4.0f / 45, 8.0f / 45},
                            {32.0f / 45, 16.0f / 45, 8.0f / 45, 4.0f / 45, 2.0f / 45},
                            {32.0f / 45, -16.0f / 45, 8.0f / 45, -4.0f / 45, 2.0f / 45},
                            {0, 0, 0, 0, 1}};
constexpr float kB[8][8] = {
    {-1, 0, 5.25f, 0, -5.25f, 0, 1, 0},        {0, 1, 1, -4.25f, -4.25f, 1, 1, 0},
    {0, -1, 1, 4.25f, -4.25f, -1, 1, 0},       {0, 0.5f, 0.25f, -2.5f, -1.25f, 2, 1, 0},
    {0, -0.5f, 0.25f, 2.5f, -1.25f, -2, 1, 0}, {0, 2, 4, -2.5f, -5, 0.5f, 1, 0},
    {0, -2, 4, 2.5f, -5, -0.5f, 1, 0},         {0, -1, 0, 5.25f, 0, -5.25f, 0, 1}};
constexpr float kTransposedA[4][8] = {{1, 1, 1, 1, 1, 1, 1, 0},
                                      {0, 1, -1, 2, -2, 0.5f, -0.5f, 0},
                                      {0, 1, 1, 4, 4, 0.25f, 0.25f, 0},
                                      {0, 1, -1, 8, -8, 0.125f, -0.125f, 1}};

// Multiplies a matrix by a vector whose values, floats or Vecs, lie `stride` apart. Multiplications by 0 are
// left out.
template <int kRows, int kColumns, class T>
inline void multiply(const float (&matrix)[kRows][kColumns], const T* from, int stride, T* to,
                     int to_stride) {
  UNROLL
  for (int r = 0; r < kRows; ++r) {
    T sum = {};
    UNROLL
    for (int k = 0; k < kColumns; ++k)
      if (matrix[r][k] != 0) sum += matrix[r][k] * from[k * stride];
    to[r * to_stride] = sum;
  }
}
