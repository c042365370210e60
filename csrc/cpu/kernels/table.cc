// Every kernel of this instruction set, put into its table.
#include "cpu/kernels/fill.h"

namespace byhand::cpu::BYHAND_ISA {

void fill_table(KernelTable& table) {
  fill_gemm(table.gemm);
  fill_conv2d(table.conv2d);
  fill_conv2d_dots(table.conv2d_dots);
  fill_winograd_products(table.winograd);
  fill_winograd_rows(table.winograd_rows);
  fill_reduce(table.reduce);
  fill_pool2d(table.pool2d);
  fill_activation(table.activation);
  fill_softmax(table.softmax);
  fill_count_correct(table.count_correct);
  fill_squared_error(table.squared_error);
  fill_batch_norm(table.batch_norm);
  fill_dropout(table.dropout);
  fill_optimizer(table.optimizer);
  fill_gather(table.gather);
  fill_peak(table.peak);
}

}  // namespace byhand::cpu::BYHAND_ISA
