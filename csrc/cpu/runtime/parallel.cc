#include "cpu/runtime/parallel.h"

#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <exception>
#include <mutex>
#include <thread>

#include "core/check.h"
#include "core/env.h"
#include "core/scratch.h"
#include "cpu/runtime/blocking.h"
#include "cpu/runtime/machine.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace byhand::cpu {
namespace {

// Terms:
//   worker       a thread of the pool, which sleeps or spins between two calls;
//   participant  the calling thread, or a worker that takes tasks of its call;
//   line         a cache line, here always the one that holds the pool's state (Pool::state_);
//   far, near    two cores are far from each other if a line that one of them has written takes kFarNs or
//                longer, on average, to reach the other; otherwise they are near.
// The duration of a call is an estimate for one thread. Most estimates by fma_ns are longer than the true
// times, because fma_ns assumes half of the slowest peak that we know.

// Waking a sleeping worker takes 5 to 50 us. Handing work to a worker that is spinning takes less than 1 us.
// So one thread is faster if the estimate for a call is below kWorthWakingNs while workers sleep, or below
// kWorthSharingNs while they spin.
constexpr double kWorthWakingNs = 20'000, kWorthSharingNs = 8'000;

// kFarNs is the border between near and far cores, in nanoseconds: a line arrives from a near core after 20
// to 60 ns. It takes 100 to 180 ns if the two cores share no cache, as happens in virtual machines. Calls
// with an estimate below kWorthSharingFarNs are short, the other calls are long. Two threads on far cores
// lose more than they gain by sharing short calls. For example, the calls of a step of softmax regression are
// estimated at 16 to 50 us (half of that with AVX-512). The step takes 60 us with two threads on near cores,
// 150 us with two threads on far cores and 77 us with one thread. So two threads on far cores share a short
// call in two cases only: within kBetweenLongCallsNs after a long call; and in kProbes of every kProbeCycle
// short calls, to measure the distance again. The rule applies to two threads only, because it has not been
// measured with more threads.
constexpr int64_t kFarNs = 80, kBetweenLongCallsNs = 1'000'000;
constexpr double kWorthSharingFarNs = 60'000;
constexpr uint32_t kProbes = 48, kProbeCycle = 2048;

// The number of times that a worker looks for a job before it sleeps. On Zen, 4000 times take about 50 us,
// which is as long as the gap between two kernels of a training step. On CPUs whose `pause` instruction is
// slower, they take longer. A larger number would take the core from other programs.
constexpr int kSpins = 4000;
// A worker that was woken less than this number of nanoseconds ago is certainly still spinning.
constexpr int64_t kAwakeNs = 30'000;

void spin_pause() {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// The rounding and denormal mode of the caller. Its workers take it over, because otherwise the bits of a
// result would depend on the thread that computed it.
#if defined(__x86_64__)
using FloatMode = unsigned;
FloatMode float_mode() { return _mm_getcsr(); }
void set_float_mode(FloatMode mode) { _mm_setcsr(mode); }
#elif defined(__aarch64__)
using FloatMode = uint64_t;
FloatMode float_mode() {
  FloatMode mode;
  asm volatile("mrs %0, fpcr" : "=r"(mode));
  return mode;
}
void set_float_mode(FloatMode mode) { asm volatile("msr fpcr, %0" : : "r"(mode)); }
#else
struct FloatMode {};
FloatMode float_mode() { return {}; }
void set_float_mode(FloatMode) {}
#endif

int64_t now_ns() {
  return std::chrono::nanoseconds(std::chrono::steady_clock::now().time_since_epoch()).count();
}

thread_local bool inside_task = false;

// The number of tasks of a range that have been started. Each counter has a cache line of its own, so that
// counting in one range does not delay counting in another.
struct alignas(kCacheLineBytes) Taken {
  std::atomic<int64_t> count{0};
};

// One call of parallel_for. Each participant has a range of the tasks. Two calls with the same number of
// tasks give each thread the same range. So what a thread wrote in one call is in its cache when it runs the
// same tasks of the next call. A thread that has finished its range takes tasks from the ranges of the other
// participants.
struct Job {
  TaskRef task;
  int64_t count;
  int participants;  // the number of participants: the caller and the workers 0 ... participants - 2
  FloatMode mode;
  Taken* taken;  // one counter per range
  std::mutex error_mutex{};
  std::exception_ptr error{};

  // Runs tasks until none is left. Returns the number of tasks that this participant ran.
  int64_t work(int participant) {
    inside_task = true;
    int64_t done = 0;
    for (int i = 0; i < participants; ++i) {
      const int owner = (participant + i) % participants;
      const Range range = split(count, participants, owner);
      for (int64_t t;
           (t = range.begin + taken[owner].count.fetch_add(1, std::memory_order_relaxed)) < range.end; ++done)
        run(t);
    }
    inside_task = false;
    return done;
  }

  void run(int64_t i) {
    try {
      task(i);
    } catch (...) {
      const std::lock_guard lock(error_mutex);
      if (!error) error = std::current_exception();
    }
  }
};

// The workers, and the one job that they work on. The 32 bits of `state_` describe this job: bits 0 to 15
// count the workers that are in the job, bit 16 says whether the job is open, and the upper 15 bits are the
// number of the job. For example, 0x70002 is job 3, which is open and has two workers. A worker joins only an
// open job, and the caller closes the job before it waits. So a worker that wakes up late delays nobody.
class Pool {
 public:
  // Returns true if at least this number of workers is spinning or working.
  bool awake(int workers) const { return awake_.load(std::memory_order_relaxed) >= workers; }

  // Returns true if the last call below kWorthWakingNs came less than kAwakeNs ago. If calls go on at this
  // rate, a worker that is woken now is still spinning when the next call comes.
  bool worth_waking() const {
    return now_ns() - last_call_below_waking_.load(std::memory_order_relaxed) < kAwakeNs;
  }

  // Returns true if the caller and the worker are too far apart to share a call of `ns` (see kFarNs).
  bool too_far(double ns) const {
    return ns < kWorthSharingFarNs && far() &&
           now_ns() - last_long_call_.load(std::memory_order_relaxed) >= kBetweenLongCallsNs &&
           short_calls_.load(std::memory_order_relaxed) % kProbeCycle >= kProbes;
  }

  // Records a call of `ns`, shared or not, for worth_waking and too_far.
  void note(double ns) {
    if (ns < kWorthWakingNs) last_call_below_waking_.store(now_ns(), std::memory_order_relaxed);
    if (!far()) return;
    if (ns < kWorthSharingFarNs)
      short_calls_.fetch_add(1, std::memory_order_relaxed);
    else
      last_long_call_.store(now_ns(), std::memory_order_relaxed);
  }

  // Runs the tasks. If another thread is using the pool, runs none of them and returns false.
  bool run(int64_t count, int threads, TaskRef task) {
    const std::unique_lock lock(run_mutex_, std::try_to_lock);
    if (!lock.owns_lock()) return false;
    const int helpers = start_workers(static_cast<int>(std::min<int64_t>(threads, count)) - 1);
    Job job{task, count, helpers + 1, float_mode(), taken_};
    for (int i = 0; i <= helpers; ++i) taken_[i].count.store(0, std::memory_order_relaxed);
    leave_this_cpu(helpers);
    job_ = &job;
    state_.store((state_.load(std::memory_order_relaxed) & kNumber) + kOneJob + kOpen,
                 std::memory_order_release);
    state_.notify_all();
    const bool alone = job.work(0) == count;
    close_and_wait(helpers == 1 && !alone);
    if (job.error) std::rethrow_exception(job.error);
    return true;
  }

 private:
  bool far() const { return line_ns_.load(std::memory_order_relaxed) >= kFarNs * kMeanOf; }

  static constexpr int64_t kMeanOf = 8;  // the weight of a new time in the moving mean is 1 / kMeanOf
  // The parts of `state_`.
  static constexpr uint32_t kWorkers = 0xffff;
  static constexpr uint32_t kOpen = 0x10000;
  static constexpr uint32_t kOneJob = 0x20000;
  static constexpr uint32_t kNumber = ~(kWorkers | kOpen);

  // Starts workers until there are `wanted`. Returns `wanted`, or fewer if the system refuses a thread.
  int start_workers(int wanted) {
    if (workers_ >= wanted) return wanted;
    note_affinity();  // not earlier, because a forked process may have been given other processors
    sigset_t all, before;
    sigfillset(&all);  // workers block all signals, so that the program's own threads receive them
    pthread_sigmask(SIG_SETMASK, &all, &before);
    try {
      for (; workers_ < wanted; ++workers_) {
        std::thread thread([this, index = workers_] { worker(index); });
        handles_[workers_] = thread.native_handle();
        kept_off_[workers_] = kNowhere;
        thread.detach();
      }
    } catch (const std::exception&) {  // no thread or no memory is left: go on with fewer workers
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    return workers_;
  }

  // The system may wake a worker on the caller's own processor although another one is idle. The two then
  // take turns there for tens of milliseconds. So the workers of this call are kept off the caller's
  // processor. If the caller has moved since its last call, they are kept off its new processor instead.
  // Setting the affinity of a new worker also replaces the affinity that the worker inherits from the thread
  // that started it.
  void leave_this_cpu(int helpers) {
    const int cpu = current_cpu();
    for (int i = 0; i < helpers; ++i) {
      if (kept_off_[i] == cpu) continue;
      keep_off(handles_[i], cpu);
      kept_off_[i] = cpu;
    }
  }

  // Closes the job and waits until all workers have left it. `times_line` is true if there is one worker and
  // it ran tasks. The worker's core wrote `state_` last, when the worker joined or left the job. So fetching
  // `state_` takes as long as the line takes from that core to this one. This time, less the time for reading
  // the clock, enters the mean.
  void close_and_wait(bool times_line) {
    const int64_t first = now_ns(), before = now_ns();
    uint32_t state = state_.fetch_and(~kOpen, std::memory_order_acq_rel) & ~kOpen;
    if (times_line) {
      const int64_t ns = std::clamp<int64_t>((now_ns() - before) - (before - first), 0, 2 * kFarNs);
      const int64_t sum = line_ns_.load(std::memory_order_relaxed);
      line_ns_.store(sum + ns - sum / kMeanOf, std::memory_order_relaxed);
    }
    for (int spins = 0; (state & kWorkers) != 0; state = state_.load(std::memory_order_acquire)) {
      if (++spins < kSpins)
        spin_pause();
      else
        state_.wait(state, std::memory_order_acquire);
    }
  }

  [[noreturn]] void worker(int index) {
    uint32_t last = 0;  // the number of the job that this worker joined last
    awake_.fetch_add(1, std::memory_order_relaxed);
    for (int spins = 0;;) {
      uint32_t state = state_.load(std::memory_order_acquire);
      if ((state & kOpen) == 0 || (state & kNumber) == last) {
        if (++spins < kSpins) {
          spin_pause();
        } else {
          awake_.fetch_sub(1, std::memory_order_relaxed);
          state_.wait(state, std::memory_order_acquire);
          awake_.fetch_add(1, std::memory_order_relaxed);
          spins = 0;  // even if the job is over already, the next one may come soon
        }
        continue;
      }
      // Join the job. If it has been closed since `state` was read, the exchange fails.
      if (!state_.compare_exchange_strong(state, state + 1, std::memory_order_acq_rel)) continue;
      last = state & kNumber;
      spins = 0;
      Job& job = *job_;
      if (index + 1 < job.participants) {
        const FloatMode own = float_mode();
        set_float_mode(job.mode);
        job.work(index + 1);
        set_float_mode(own);
      }
      if (((state_.fetch_sub(1, std::memory_order_acq_rel) - 1) & (kWorkers | kOpen)) == 0)
        state_.notify_all();
    }
  }

  std::mutex run_mutex_;
  int workers_ = 0;  // the number of workers, which live as long as the process
  pthread_t handles_[kMaxThreads];
  static constexpr int kNowhere = -2;  // no processor yet; -1 is an unknown one
  int kept_off_[kMaxThreads];          // the processor that each worker is kept off
  std::atomic<int> awake_{0};          // the number of workers that do not sleep
  std::atomic<int64_t> last_call_below_waking_{0}, last_long_call_{0};
  std::atomic<int64_t> line_ns_{0};  // kMeanOf times the mean time that a line takes
  std::atomic<uint32_t> short_calls_{0};
  std::atomic<uint32_t> state_{0};
  Job* job_ = nullptr;
  Taken taken_[kMaxThreads];
};

// The pool is never destroyed, because workers may still sleep in it while the process ends.
std::atomic<Pool*> pool{nullptr};
std::atomic<int> wanted{0};  // 0 until it is set
std::atomic<int> limit{0};   // 0 until it is set to usable_cpus() or by set_thread_limit

Pool& the_pool() {
  static std::once_flag once;
  std::call_once(once, [] {
    pool = new Pool;
    // A forked child has only the thread that forked. It gets a new pool, whose workers start when they are
    // needed.
    pthread_atfork(nullptr, nullptr, [] {
      pool = new Pool;
      inside_task = false;
    });
  });
  return *pool;
}

}  // namespace

int default_num_threads() {
  const int from_environment = env::num_threads(kMaxThreads);
  return from_environment > 0 ? from_environment : std::min(usable_cpus(), kMaxThreads);
}

int wanted_threads() {
  int count = wanted.load(std::memory_order_relaxed);
  if (count == 0) wanted = count = default_num_threads();
  return count;
}

int num_threads() {
  int most = limit.load(std::memory_order_relaxed);
  if (most == 0) limit = most = usable_cpus();
  return std::min(wanted_threads(), most);
}

void set_thread_limit(int most) {
  require(most >= 1 && most <= kMaxThreads, "limit must be from 1 to ", kMaxThreads, ", got ", most);
  limit = most;
}

void set_num_threads(int count) {
  require(count >= 1 && count <= kMaxThreads, "n must be a whole number from 1 to ", kMaxThreads, ", got ",
          count);
  wanted = count;
}

namespace {

// Returns false if a call of `ns` stays on one thread, whatever the state of the pool is.
bool could_be_shared(double ns) { return ns >= kWorthSharingNs && !inside_task && num_threads() > 1; }

}  // namespace

bool worth_sharing(double ns) {
  if (!could_be_shared(ns)) return false;
  const Pool& p = the_pool();
  if (num_threads() == 2 && p.too_far(ns)) return false;
  return ns >= kWorthWakingNs || p.awake(num_threads() - 1) || p.worth_waking();
}

int threads_for(double ns) { return worth_sharing(ns) ? num_threads() : 1; }

void parallel_for(int64_t count, double ns_per_task, TaskRef task) {
  const double ns = static_cast<double>(count) * ns_per_task;
  const bool shared = count > 1 && worth_sharing(ns);
  if (could_be_shared(ns)) the_pool().note(ns);
  if (shared && the_pool().run(count, num_threads(), task)) return;
  for (int64_t i = 0; i < count; ++i) task(i);
}

}  // namespace byhand::cpu
