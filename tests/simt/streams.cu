// Two streams, each with its half of the work, and events that take the time and order the streams.
#include "check.h"

__global__ void scale(float* x, float factor, int n) {
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x)
    x[i] *= factor;  // FAULT_1: out-of-bounds in scale
}

int main() {
  constexpr int n = 128, half = n / 2;
  cudaStream_t streams[2];
  cudaEvent_t begin, end;
  CHECK(cudaEventCreate(&begin));
  CHECK(cudaEventCreateWithFlags(&end, cudaEventDefault));
  float *host = nullptr, *device = nullptr;
  CHECK(cudaHostAlloc(&host, n * sizeof(float), cudaHostAllocDefault));
  CHECK(cudaMalloc(&device, n * sizeof(float)));
  for (int i = 0; i < n; ++i) host[i] = static_cast<float>(i);
  CHECK(cudaEventRecord(begin));
  for (int s = 0; s < 2; ++s) {
    CHECK(cudaStreamCreateWithFlags(&streams[s], cudaStreamNonBlocking));
#ifdef FAULT_1
    float* const part = device + s * n;  // the second half of what is allocated is at n / 2
#else
    float* const part = device + s * half;
#endif
    if (part < device + n)
      CHECK(cudaMemcpyAsync(part, host + s * half, half * sizeof(float), cudaMemcpyHostToDevice, streams[s]));
    scale<<<2, 16, 0, streams[s]>>>(part, 2.0f, half);
    CHECK(cudaMemcpyAsync(host + s * half, part, half * sizeof(float), cudaMemcpyDeviceToHost, streams[s]));
  }
  CHECK(cudaEventRecord(end, streams[0]));
  CHECK(cudaStreamWaitEvent(streams[1], end, 0));
  CHECK(cudaEventSynchronize(end));
#ifdef FAULT_2
  CHECK(cudaMemcpyAsync(host, device, n * sizeof(float), cudaMemcpyDeviceToHost, streams[1]));
  CHECK(cudaEventRecord(end, streams[1]));
  float sum = 0.0f;
  for (int i = 0; i < n; ++i) sum += host[i];  // FAULT_2: host-too-early
  REQUIRE(sum > 0.0f);
#else
  for (auto& stream : streams) CHECK(cudaStreamSynchronize(stream));
#endif
  for (int i = 0; i < n; ++i) REQUIRE(host[i] == 2.0f * static_cast<float>(i));
  float milliseconds = -1.0f;
  CHECK(cudaEventElapsedTime(&milliseconds, begin, end));
  REQUIRE(milliseconds >= 0.0f);
  for (auto& stream : streams) CHECK(cudaStreamDestroy(stream));
  CHECK(cudaEventDestroy(begin));
  CHECK(cudaEventDestroy(end));
  CHECK(cudaFreeHost(host));
  CHECK(cudaFree(device));
}
