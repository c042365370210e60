#include "cpu/runtime/machine.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <string>
#include <thread>

#if defined(__linux__)
#include <sched.h>
#include <unistd.h>
#endif

namespace byhand::cpu {

#if defined(__linux__)

namespace {

struct Affinity {
  cpu_set_t set;  // has room for 1024 processors
  bool known;  // false if the system does not tell the mask, as on a machine with more than 1024 processors
};

// Returns the current affinity mask of the process, that is, of its main thread. It may differ from the mask
// of the calling thread, which may be pinned to one processor.
Affinity process_affinity() {
  Affinity a{};
  a.known = sched_getaffinity(getpid(), sizeof a.set, &a.set) == 0;
  return a;
}

Affinity workers_affinity{};

int affinity_cpus() {
  const Affinity affinity = process_affinity();
  return affinity.known ? CPU_COUNT(&affinity.set) : static_cast<int>(std::thread::hardware_concurrency());
}

// Returns the limit that a cgroup v1 folder sets, as a number of processors: quota / period. Returns infinity
// if it sets none.
double quota_v1(const std::string& folder) {
  double quota = -1, period = 0;
  std::ifstream(folder + "/cpu.cfs_quota_us") >> quota;
  std::ifstream(folder + "/cpu.cfs_period_us") >> period;
  return quota > 0 && period > 0 ? quota / period : INFINITY;
}

// Returns the limit that a cgroup v2 folder sets, in the same form. The file cpu.max holds "QUOTA PERIOD" or
// "max PERIOD".
double quota_v2(const std::string& folder) {
  std::ifstream file(folder + "/cpu.max");
  std::string quota;
  double period = 0;
  if (!(file >> quota >> period) || quota == "max" || period <= 0) return INFINITY;
  return std::strtod(quota.c_str(), nullptr) / period;
}

// Returns the lowest limit of the cgroup at `path` and of all groups above it, whose limits apply to it, too.
template <class Quota>
double tightest(const std::string& root, std::string path, Quota quota) {
  double limit = INFINITY;
  for (;;) {
    limit = std::min(limit, quota(root + path));
    if (path.empty() || path == "/") return limit;
    path.resize(path.rfind('/'));
  }
}

// Returns the number of processors that the cgroups of this process allow, or infinity.
double cgroup_cpus() {
  double limit = INFINITY;
  std::ifstream file("/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {  // ID:CONTROLLERS:PATH
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos || line.size() <= second + 1 || line[second + 1] != '/') continue;
    const std::string controllers = line.substr(first + 1, second - first - 1),
                      path = line.substr(second + 1);
    if (controllers.empty()) limit = std::min(limit, tightest("/sys/fs/cgroup", path, quota_v2));
    if (("," + controllers + ",").find(",cpu,") != std::string::npos)
      limit = std::min(limit, tightest("/sys/fs/cgroup/cpu", path, quota_v1));
  }
  return limit;
}

}  // namespace

int usable_cpus() {
  static const int count = [] {
    const double quota = std::ceil(cgroup_cpus());
    const int cpus = affinity_cpus();
    return std::max(1, quota < cpus ? static_cast<int>(quota) : cpus);
  }();
  return count;
}

int current_cpu() { return sched_getcpu(); }

void note_affinity() { workers_affinity = process_affinity(); }

void keep_off(pthread_t thread, int cpu) {
  if (!workers_affinity.known) return;
  cpu_set_t set = workers_affinity.set;
  if (cpu >= 0 && cpu < CPU_SETSIZE) CPU_CLR(cpu, &set);
  const bool any = CPU_COUNT(&set) > 0;
  // If the system refuses, the worker stays where it was. This costs only time.
  pthread_setaffinity_np(thread, sizeof set, any ? &set : &workers_affinity.set);
}

#else

// macOS has neither affinity masks nor cgroups. It does not tell which processor runs a thread either.
int usable_cpus() {
  static const int count = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  return count;
}

int current_cpu() { return -1; }

void note_affinity() {}

void keep_off(pthread_t, int) {}

#endif

int64_t l2_bytes() {
#if defined(_SC_LEVEL2_CACHE_SIZE)
  static const int64_t bytes = std::max<int64_t>(0, sysconf(_SC_LEVEL2_CACHE_SIZE));
  return bytes;
#else
  return 0;
#endif
}

}  // namespace byhand::cpu
