// What this machine lets the process use.
#pragma once

#include <pthread.h>

namespace byhand::cpu {

// Processors in the affinity mask, cut to the cgroup's quota rounded up; at least 1.
int usable_cpus();

// The processor that runs the calling thread; -1 where the system does not tell.
int current_cpu();

// Lets `thread` run wherever the calling thread may, but not on `cpu`. False, and nothing changes, where that
// leaves no processor.
bool keep_off(pthread_t thread, int cpu);

}  // namespace byhand::cpu
