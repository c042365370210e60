// Game of Life on a torus: two dimensions, and two arrays that change their places in each step.
#include "check.h"

#include <utility>

__global__ void live(const int* now, int* next, int width, int height) {
  const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
#ifdef FAULT_2
  if (x > width || y >= height) return;
#else
  if (x >= width || y >= height) return;
#endif
  int neighbours = 0;
  for (int dy = -1; dy <= 1; ++dy)
    for (int dx = -1; dx <= 1; ++dx)
      if (dx != 0 || dy != 0)
        neighbours += now[(y + dy + height) % height * width + (x + dx + width) % width];  // FAULT_1: race in live
  const int cell = y * width + x;
  next[cell] = neighbours == 3 || (neighbours == 2 && now[cell]);  // FAULT_1: other; FAULT_2: race in live; FAULT_2: other
}

int main() {
  constexpr int width = 20, height = 13;
  std::vector<int> cells(width * height);
  const int glider[5][2] = {{1, 0}, {2, 1}, {0, 2}, {1, 2}, {2, 2}};
  for (const auto& [x, y] : glider) cells[y * width + x] = 1;
  int *now = to_device(cells), *next = device_array<int>(cells.size());
  const dim3 block(8, 8), grid((width + block.x - 1) / block.x, (height + block.y - 1) / block.y);
  for (int step = 0; step < 8; ++step) {
#ifdef FAULT_1
    live<<<grid, block>>>(now, now, width, height);
#else
    live<<<grid, block>>>(now, next, width, height);
    std::swap(now, next);
#endif
  }
  const std::vector<int> end = to_host(now, cells.size());  // the glider has moved by two cells each way
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x)
      REQUIRE(end[y * width + x] == cells[(y + height - 2) % height * width + (x + width - 2) % width]);
  CHECK(cudaFree(now));
  CHECK(cudaFree(next));
}
