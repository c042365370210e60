// The processors that this machine lets the process use, and their caches.
#pragma once

#include <pthread.h>

#include <cstdint>

namespace byhand::cpu {

// The number of processors that this process may use: the number in its affinity mask, but at most the
// cgroup's quota rounded up, and at least 1. Mask and quota are read once, by the first call, which is made
// when byhand is imported. macOS has neither, so there it is the number of all processors.
int usable_cpus();

// The number of the processor that runs the calling thread, or -1 if the system does not tell.
int current_cpu();

// The size in bytes of the L2 cache that a core uses, perhaps together with others. 0 if the system does not
// tell.
int64_t l2_bytes();

// Stores the current affinity mask of the process, which is that of its main thread, for keep_off.
void note_affinity();

// Lets `thread` run on every processor of the stored mask except `cpu`. If the mask has no other processor,
// lets it run on `cpu`, too. The mask of the calling thread has no influence: a program may pin it to one
// processor, but its workers should run on the others.
void keep_off(pthread_t thread, int cpu);

}  // namespace byhand::cpu
