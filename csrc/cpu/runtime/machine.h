// What this machine lets the process use.
#pragma once

namespace byhand::cpu {

// Processors in the affinity mask, cut to the cgroup's quota rounded up; at least 1.
int usable_cpus();

}  // namespace byhand::cpu
