// A struct of pointers that is passed by value, and an array of structs.
#include "check.h"

struct Particle {
  float3 position, speed;
};
struct Scene {
  Particle* particles;
  const float* masses;
  float* energies;
  int count;
};

__host__ __device__ float energy(const Particle& p, float mass) {
  return 0.5f * mass * (p.speed.x * p.speed.x + p.speed.y * p.speed.y + p.speed.z * p.speed.z);
}

__global__ void move(Scene scene, float seconds) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= scene.count) return;
  Particle& p = scene.particles[i];
  p.position = make_float3(p.position.x + seconds * p.speed.x, p.position.y + seconds * p.speed.y,
                           p.position.z + seconds * p.speed.z);
  scene.energies[i] = energy(p, scene.masses[i]);  // FAULT_1: host-pointer in move; FAULT_2: null-pointer in move; FAULT_4: use-after-free in move
}

#ifdef FAULT_3
__global__ void move_by_pointer(const Scene* scene, float) {
  if (threadIdx.x >= scene->count) return;  // FAULT_3: host-pointer in move_by_pointer
}
#endif

int main() {
  constexpr int n = 70;
  std::vector<Particle> particles(n);
  std::vector<float> masses(n);
  for (int i = 0; i < n; ++i) {
    particles[i] = {{static_cast<float>(i), 0.0f, 1.0f}, {1.0f, static_cast<float>(i), 2.0f}};
    masses[i] = static_cast<float>(1 + i % 3);
  }
  Scene scene{to_device(particles), to_device(masses), device_array<float>(n), n};
#ifdef FAULT_1
  scene.masses = masses.data();
#elif defined FAULT_2
  scene.energies = nullptr;
#elif defined FAULT_4
  CHECK(cudaFree(const_cast<float*>(scene.masses)));
#endif
#ifdef FAULT_3
  move_by_pointer<<<3, 32>>>(&scene, 0.5f);
#else
  move<<<3, 32>>>(scene, 0.5f);
#endif
  const std::vector<float> energies = to_host(scene.energies, n);
  const std::vector<Particle> moved = to_host(scene.particles, n);
  for (int i = 0; i < n; ++i) {
    REQUIRE(energies[i] == energy(particles[i], masses[i]));
    REQUIRE(moved[i].position.y == 0.5f * static_cast<float>(i));
  }
  CHECK(cudaFree(scene.particles));
  CHECK(cudaFree(const_cast<float*>(scene.masses)));
  CHECK(cudaFree(scene.energies));
}
