#include "cpu/runtime/machine.h"

#include <sched.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <string>
#include <thread>

namespace byhand::cpu {
namespace {

int affinity_cpus() {
  cpu_set_t set;  // 1024 processors; a larger machine refuses it, and gets the count of the standard library
  if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
  return static_cast<int>(std::thread::hardware_concurrency());
}

// Processors' worth of time that the two files of a cgroup v1 folder allow; infinity where they set no limit.
double quota_v1(const std::string& folder) {
  double quota = -1, period = 0;
  std::ifstream(folder + "/cpu.cfs_quota_us") >> quota;
  std::ifstream(folder + "/cpu.cfs_period_us") >> period;
  return quota > 0 && period > 0 ? quota / period : INFINITY;
}

// The same for cgroup v2: cpu.max holds "QUOTA PERIOD" or "max PERIOD".
double quota_v2(const std::string& folder) {
  std::ifstream file(folder + "/cpu.max");
  std::string quota;
  double period = 0;
  if (!(file >> quota >> period) || quota == "max" || period <= 0) return INFINITY;
  return std::strtod(quota.c_str(), nullptr) / period;
}

// The tightest limit on the way from this process's cgroup to the root; an outer group binds an inner one.
template <class Quota>
double tightest(const std::string& root, std::string path, Quota quota) {
  double limit = INFINITY;
  for (;;) {
    limit = std::min(limit, quota(root + path));
    if (path.empty() || path == "/") return limit;
    path.resize(path.rfind('/'));
  }
}

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
  const double quota = std::ceil(cgroup_cpus());
  const int cpus = affinity_cpus();
  return std::max(1, quota < cpus ? static_cast<int>(quota) : cpus);
}

int current_cpu() { return sched_getcpu(); }

bool keep_off(pthread_t thread, int cpu) {
  cpu_set_t set;
  if (cpu < 0 || cpu >= CPU_SETSIZE || sched_getaffinity(0, sizeof set, &set) != 0) return false;
  CPU_CLR(cpu, &set);
  return CPU_COUNT(&set) > 0 && pthread_setaffinity_np(thread, sizeof set, &set) == 0;
}

}  // namespace byhand::cpu
