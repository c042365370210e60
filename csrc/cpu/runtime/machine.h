// The processors that this machine lets the process use.
#pragma once

#include <pthread.h>

namespace byhand::cpu {

// The number of processors that this process may use: those of its affinity mask, at most the cgroup's quota
// rounded up, at least 1. Both are read once, by the first call, which is made when byhand is imported.
int usable_cpus();

// The processor that runs the calling thread, or -1 if the system does not tell.
int current_cpu();

// Reads the affinity mask of the process, which is that of its main thread, for keep_off.
void note_affinity();

// Lets `thread` run on every processor of the noted mask except `cpu`, or on all of them if there is no
// other. The mask is not that of the calling thread: a caller may be pinned, but its helpers are not.
void keep_off(pthread_t thread, int cpu);

}  // namespace byhand::cpu
