// The thread pool: one function to run tasks on it, and the number of threads.
#pragma once

#include <cstdint>
#include <memory>
#include <type_traits>

namespace byhand::cpu {

inline constexpr int kMaxThreads = 256;

// The largest number of threads that a call uses: the number that was set, but at most one per usable
// processor. More threads would only take turns: 256 threads on 2 processors make a training step 9 times
// slower.
int num_threads();
int wanted_threads();             // the number that was set
void set_num_threads(int count);  // throws std::invalid_argument if not from 1 to kMaxThreads
int default_num_threads();        // the number that the environment sets, otherwise usable_cpus()
// For tests, whose threads must interleave on any machine: replaces the number of usable processors as the
// upper limit of num_threads().
void set_thread_limit(int limit);

// Returns true if several threads would probably be faster at work that takes one thread about `ns`. Asking
// has no effect on later answers. If an operator gets the answer false, it still passes the work to
// parallel_for, which also records the durations of calls.
bool worth_sharing(double ns);
// Returns the number of threads among which an operator should divide such work: num_threads(), or 1 if
// sharing does not pay.
int threads_for(double ns);

// A reference to a callable with one int64_t argument. The callable must outlive the reference.
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
// tasks have ended. The calling thread works too. If a task throws an exception, parallel_for throws the same
// exception when no task runs any more. Whether it still runs the tasks that had not begun by then depends on
// the number of threads.
//
// `ns_per_task` is the approximate duration of one task on one thread. The calling thread works alone if the
// work is too short to share, if the call comes from inside a task, or if another thread is using the pool.
//
// No two tasks may write to the same memory, and what a task computes must depend on its number alone. Then
// results have the same bits for any number of threads.
void parallel_for(int64_t count, double ns_per_task, TaskRef task);

}  // namespace byhand::cpu
