// Packing copies an operand into the order in which the tiles read it.
#include "cpu/gemm/product.h"

namespace byhand::cpu {

using ops::Matrix;

void pack(const GemmKernels& k, const Matrix& m, float* to, int64_t width, int64_t panel) {
  if (m.column_stride == 1) return k.pack_rows(m.data, m.row_stride, m.rows, m.columns, to, width, panel);
  if (m.row_stride == 1) return k.pack_columns(m.data, m.column_stride, m.rows, m.columns, to, width, panel);
  for (int64_t p = 0; p < m.columns; ++p)
    for (int64_t i = 0; i < m.rows; ++i)
      to[i / width * panel + p * width + i % width] = m.data[i * m.row_stride + p * m.column_stride];
}

}  // namespace byhand::cpu
