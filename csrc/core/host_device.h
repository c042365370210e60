// BYHAND_HOST_DEVICE marks a function that can be called on the CPU, and on a GPU in CUDA files.
#pragma once

#ifdef __CUDACC__
#define BYHAND_HOST_DEVICE __host__ __device__
#else
#define BYHAND_HOST_DEVICE
#endif
