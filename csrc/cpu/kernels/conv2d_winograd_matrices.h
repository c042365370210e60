// Written by conv2d_winograd_matrices.py, which explains the formulas.
#pragma once

// clang-format off
namespace byhand::cpu::BYHAND_ISA {
namespace {

struct WinogradInput {  // B
  static constexpr int kColumns = 8;
  static constexpr float kValue[8][8] = {
      {-1, 0, 21.0f / 4, 0, -21.0f / 4, 0, 1, 0},
      {0, 1, 1, -17.0f / 4, -17.0f / 4, 1, 1, 0},
      {0, -1, 1, 17.0f / 4, -17.0f / 4, -1, 1, 0},
      {0, 1.0f / 2, 1.0f / 4, -5.0f / 2, -5.0f / 4, 2, 1, 0},
      {0, -1.0f / 2, 1.0f / 4, 5.0f / 2, -5.0f / 4, -2, 1, 0},
      {0, 2, 4, -5.0f / 2, -5, 1.0f / 2, 1, 0},
      {0, -2, 4, 5.0f / 2, -5, -1.0f / 2, 1, 0},
      {0, -1, 0, 21.0f / 4, 0, -21.0f / 4, 0, 1}};
};

struct WinogradWeight3 {  // G of 3 weights
  static constexpr int kColumns = 3;
  static constexpr float kValue[8][3] = {
      {-1, 0, 0},
      {-2.0f / 9, -2.0f / 9, -2.0f / 9},
      {-2.0f / 9, 2.0f / 9, -2.0f / 9},
      {1.0f / 90, 1.0f / 45, 2.0f / 45},
      {1.0f / 90, -1.0f / 45, 2.0f / 45},
      {32.0f / 45, 16.0f / 45, 8.0f / 45},
      {32.0f / 45, -16.0f / 45, 8.0f / 45},
      {0, 0, 1}};
};

struct WinogradOutput3 {  // A of 6 outputs
  static constexpr int kColumns = 6;
  static constexpr float kValue[8][6] = {
      {1, 0, 0, 0, 0, 0},
      {1, 1, 1, 1, 1, 1},
      {1, -1, 1, -1, 1, -1},
      {1, 2, 4, 8, 16, 32},
      {1, -2, 4, -8, 16, -32},
      {1, 1.0f / 2, 1.0f / 4, 1.0f / 8, 1.0f / 16, 1.0f / 32},
      {1, -1.0f / 2, 1.0f / 4, -1.0f / 8, 1.0f / 16, -1.0f / 32},
      {0, 0, 0, 0, 0, 1}};
};

struct WinogradWeight5 {  // G of 5 weights
  static constexpr int kColumns = 5;
  static constexpr float kValue[8][5] = {
      {-1, 0, 0, 0, 0},
      {-2.0f / 9, -2.0f / 9, -2.0f / 9, -2.0f / 9, -2.0f / 9},
      {-2.0f / 9, 2.0f / 9, -2.0f / 9, 2.0f / 9, -2.0f / 9},
      {1.0f / 90, 1.0f / 45, 2.0f / 45, 4.0f / 45, 8.0f / 45},
      {1.0f / 90, -1.0f / 45, 2.0f / 45, -4.0f / 45, 8.0f / 45},
      {32.0f / 45, 16.0f / 45, 8.0f / 45, 4.0f / 45, 2.0f / 45},
      {32.0f / 45, -16.0f / 45, 8.0f / 45, -4.0f / 45, 2.0f / 45},
      {0, 0, 0, 0, 1}};
};

struct WinogradOutput5 {  // A of 4 outputs
  static constexpr int kColumns = 4;
  static constexpr float kValue[8][4] = {
      {1, 0, 0, 0},
      {1, 1, 1, 1},
      {1, -1, 1, -1},
      {1, 2, 4, 8},
      {1, -2, 4, -8},
      {1, 1.0f / 2, 1.0f / 4, 1.0f / 8},
      {1, -1.0f / 2, 1.0f / 4, -1.0f / 8},
      {0, 0, 0, 1}};
};

}  // namespace
}  // namespace byhand::cpu::BYHAND_ISA
