// The thread pool: one function to run tasks on it, and the number of threads.
#pragma once

#include <cstdint>
#include <memory>
#include <type_traits>

namespace byhand::cpu {

inline constexpr int kMaxThreads = 256;

// The number of threads that a call uses: the number that was set, at most one per usable processor. More
// would only take turns: 256 threads on 2 processors make a step of training 9 times slower.
int num_threads();
int wanted_threads();             // the number that was set
void set_num_threads(int count);  // from 1 to kMaxThreads, else std::invalid_argument
int default_num_threads();        // what the environment, the affinity mask and the cgroup allow
// For tests, which want threads to interleave on any machine: the most threads that a call uses.
void set_thread_limit(int limit);

// Whether work of about `ns` on one thread is done sooner by several.
bool worth_sharing(double ns);

// A reference to a callable of one int64_t; the callable must outlive it.
class TaskRef {
 public:
  template <class F, class = std::enable_if_t<!std::is_same_v<std::remove_cvref_t<F>, TaskRef>>>
  TaskRef(F&& f)
      : object_(const_cast<void*>(static_cast<const void*>(std::addressof(f)))),
        call_([](void* object, int64_t i) { (*static_cast<std::remove_reference_t<F>*>(object))(i); }) {}
  void operator()(int64_t i) const { call_(object_, i); }

 private:
  void* object_;
  void (*call_)(void*, int64_t);
};

// Runs task(0) ... task(count - 1), each exactly once, in any order and on any thread, and returns when all
// have ended. The calling thread works too. An exception of a task is thrown again here, after the others
// have ended.
//
// `ns_per_task`: about how long one task takes on one thread. Work too short to share is done by the calling
// thread alone; so is every call from inside a task, and every call while another Python thread has the pool.
//
// A task owns what it writes, and what it computes depends on its number alone: results are then the same
// bits for any number of threads.
void parallel_for(int64_t count, double ns_per_task, TaskRef task);

}  // namespace byhand::cpu
