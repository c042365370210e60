// The largest number of blocks of a launch, for kernels whose blocks take several parts of the work.
#pragma once

#include <cstdint>

namespace byhand::cuda {

// 4096 blocks fill every GPU. Tests choose a small number, because an emulated GPU would need minutes for
// more than 4096 blocks.
inline int64_t most_blocks = 4096;

}  // namespace byhand::cuda
