#include "simt/block.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#include <algorithm>
#include <numeric>
#include <random>
#include <string>

#include "simt/memory.h"
#include "simt/shadow.h"

namespace simt {
namespace {

using Status = ThreadState::Status;

// The order in which threads and blocks take their turns. A correct program gives the same results in any
// order.
struct Schedule {
  enum class Kind { kForward, kReverse, kOddEven, kRandom } kind = Kind::kForward;
  std::mt19937 random;

  explicit Schedule(const char* name) {
    if (!name || !strcmp(name, "forward")) return;
    if (!strcmp(name, "reverse")) {
      kind = Kind::kReverse;
    } else if (!strcmp(name, "odd-even")) {
      kind = Kind::kOddEven;
    } else {
      kind = Kind::kRandom;
      random.seed(static_cast<unsigned>(strtoul(name, nullptr, 10)));
    }
  }

  void order(std::vector<unsigned>& numbers) {
    std::iota(numbers.begin(), numbers.end(), 0u);
    if (kind == Kind::kReverse) std::reverse(numbers.begin(), numbers.end());
    if (kind == Kind::kOddEven)
      std::stable_partition(numbers.begin(), numbers.end(), [](unsigned i) { return i % 2 == 1; });
    if (kind == Kind::kRandom) std::shuffle(numbers.begin(), numbers.end(), random);
  }
};

struct Machine {
  Schedule schedule{getenv("SIMT_SCHEDULE")};
  std::vector<ThreadState> threads = std::vector<ThreadState>(kMaxThreads);
  std::vector<Warp> warps = std::vector<Warp>(kMaxThreads / kWarp);
  std::vector<unsigned> order;

  uint32_t launches = 0;
  const Launch* launch = nullptr;  // null: the host runs
  void (*body)(void*) = nullptr;
  void* data = nullptr;
  Block block{};
  ThreadState* thread = nullptr;  // null: the host or the scheduler runs

  // The releases of each word that was changed atomically in this launch.
  std::unordered_map<uintptr_t, Releases> releases;
  unsigned release_count = 0;
};
Machine& machine() {
  static Machine& m = *new Machine;  // never destroyed, as memories()
  return m;
}

unsigned number_of(const ThreadState& t) { return static_cast<unsigned>(&t - machine().threads.data()); }
unsigned lane_of(const ThreadState& t) { return number_of(t) % kWarp; }
Warp& warp_of(const ThreadState& t) { return machine().warps[number_of(t) / kWarp]; }

Extent from_number(uint32_t i, Extent e) { return {i % e.x, i / e.x % e.y, i / e.x / e.y}; }
uint64_t volume(Extent e) { return uint64_t{e.x} * e.y * e.z; }

bool is_strict() {
  static const bool strict = getenv("SIMT_STRICT") != nullptr;
  return strict;
}

std::string line_text(Line line) { return std::string(line.file) + ":" + std::to_string(line.number); }
bool same_line(Line a, Line b) { return a.number == b.number && !strcmp(a.file, b.file); }

std::string mask_text(unsigned mask) { return hexadecimal(mask); }

std::string waits_for(const ThreadState& t) {
  const std::string who = "Thread " + to_string(t.index);
  if (t.status == Status::kEnded) return who + " has ended.";
  if (t.status == Status::kAtBarrier) return who + " waits at the barrier in " + line_text(t.line) + ".";
  if (t.status == Status::kReady) return who + " runs.";
  return who + " waits in " + t.name + " for the lanes of the mask " + mask_text(t.mask) + " in " +
         line_text(t.line) + ".";
}

// ---- switching

// Gives up control until the scheduler finds the thread ready.
void wait(ThreadState& t, Status status) {
  report_doubtful_read();
  t.status = status;
  t.accesses = 0;
  t.fibre.leave();
}

void finding_of(ThreadState& t, const char* kind, const std::string& message) {
  in_emulator = true;
  machine().thread = &t;
  report({kind, message, Place(t.line)});
}

void acquire(std::vector<Acquired>& all, const Acquired& more) {
  for (Acquired& a : all)
    if (a.word == more.word) {
      a.order = std::max(a.order, more.order);
      return;
    }
  all.push_back(more);
}

// ---- barriers of a block

// All threads wait or have ended, and some wait at a barrier. Opens it, or reports what is wrong.
void open_barrier(unsigned threads) {
  Machine& m = machine();
  ThreadState *first = nullptr, *ended = nullptr, *elsewhere = nullptr;
  for (unsigned i = 0; i < threads; ++i) {
    ThreadState& t = m.threads[i];
    if (t.status == Status::kEnded) {
      ended = &t;
    } else if (t.status == Status::kAtBarrier) {
      if (!first) first = &t;
      if (!same_line(t.line, first->line)) elsewhere = &t;
    } else {
      elsewhere = &t;
    }
  }
  if (elsewhere && elsewhere->status == Status::kAtBarrier)
    finding_of(*first, "divergent-barrier",
               "Not all threads of the block wait at the same barrier. " + waits_for(*elsewhere) + " " +
                   waits_for(*first));
  if (elsewhere)
    finding_of(*first, "deadlock",
               "No thread of the block can go on. " + waits_for(*first) + " " + waits_for(*elsewhere));
  if (ended && is_strict())
    finding_of(*first, "barrier-after-exit",
               "A barrier waits for all threads of the block, but " + std::string("t") +
                   waits_for(*ended).substr(1));
  int arrived = 0, agreed = 0;
  for (unsigned i = 0; i < threads; ++i)
    if (m.threads[i].status == Status::kAtBarrier) ++arrived, agreed += m.threads[i].predicate;
  // If every thread has called __threadfence() since the last barrier, a later release covers what all of
  // them did before this one.
  bool all_fenced = true;
  for (unsigned i = 0; i < threads; ++i)
    all_fenced &= m.threads[i].status != Status::kAtBarrier || m.threads[i].fence_epoch == m.block.epoch;
  ++m.block.epoch;
  for (unsigned i = 0; i < threads; ++i) {
    ThreadState& t = m.threads[i];
    if (all_fenced && t.status == Status::kAtBarrier) t.fence_epoch = m.block.epoch;
    for (const Acquired& a : t.acquired) acquire(m.block.acquired, a);
    t.acquired.clear();
    if (t.status != Status::kAtBarrier) continue;
    t.result = static_cast<uint64_t>(t.vote == Vote::kOr    ? agreed > 0
                                     : t.vote == Vote::kAnd ? agreed == arrived
                                                            : agreed);
    t.status = Status::kReady;
  }
}

// ---- warps

ThreadState* lane_state(const ThreadState& t, unsigned lane) {
  Machine& m = machine();
  const unsigned number = number_of(t) / kWarp * kWarp + lane;
  return number < m.block.threads ? &m.threads[number] : nullptr;
}

// The lane that a shuffle reads, or the lane itself if that would leave the segment of `width` lanes.
int source_lane(const ThreadState& t, int lane) {
  const int first = lane & ~(t.width - 1), last = first + t.width - 1;
  switch (t.op) {
    case WarpOp::kShuffle:
      return first + (t.lane & (t.width - 1));
    case WarpOp::kShuffleUp:
      return lane - t.lane < first ? lane : lane - t.lane;
    case WarpOp::kShuffleDown:
      return lane + t.lane > last ? lane : lane + t.lane;
    default:
      return (lane ^ t.lane) > last ? lane : lane ^ t.lane;
  }
}

uint64_t combine(const ThreadState& t, uint64_t a, uint64_t b) {
  const bool less = t.is_signed ? static_cast<int64_t>(a) < static_cast<int64_t>(b) : a < b;
  switch (t.op) {
    case WarpOp::kAdd:
      return a + b;
    case WarpOp::kMin:
      return less ? a : b;
    case WarpOp::kMax:
      return less ? b : a;
    case WarpOp::kAnd:
      return a & b;
    case WarpOp::kOr:
      return a | b;
    default:
      return a ^ b;
  }
}

// Computes the result of a thread. `mask` names the lanes that take part.
void compute(ThreadState& t, unsigned mask, const uint64_t (&values)[kWarp]) {
  const auto each = [&](auto function) {
    for (unsigned i = 0; i < kWarp; ++i)
      if (mask >> i & 1) function(i);
  };
  switch (t.op) {
    case WarpOp::kSync:
      return;
    case WarpOp::kShuffle:
    case WarpOp::kShuffleUp:
    case WarpOp::kShuffleDown:
    case WarpOp::kShuffleXor: {
      const int source = source_lane(t, static_cast<int>(lane_of(t)));
      const bool is_lane = 0 <= source && source < static_cast<int>(kWarp);
      if (!is_lane || !(mask >> source & 1))
        finding_of(t, "shuffle-lane",
                   std::string(t.name) + " reads lane " + std::to_string(source) +
                       (is_lane && t.mask >> source & 1 ? ", which has ended"
                                                        : ", which is not in the mask " + mask_text(t.mask)) +
                       ". Its value is undefined.");
      t.result = values[source];
      return;
    }
    case WarpOp::kBallot:
      t.result = 0;
      each([&](unsigned i) { t.result |= uint64_t{values[i] != 0} << i; });
      return;
    case WarpOp::kMatchAny:
      t.result = 0;
      each([&](unsigned i) { t.result |= uint64_t{values[i] == t.value} << i; });
      return;
    default: {
      bool first = true;
      each(
          [&](unsigned i) { t.result = first ? values[i] : combine(t, t.result, values[i]), first = false; });
    }
  }
}

// If all lanes of the mask have arrived or ended, computes their results and lets them go on. A lane that
// waits with another mask may arrive later, unless each of the two masks names the other lane, or nobody can
// run
// (`stuck`). A mask may name lanes that have ended: CUDA C++ Programming Guide, "Warp Shuffle Functions".
void complete_warp_operation(ThreadState& last, bool stuck) {
  unsigned mask = last.mask;  // of the lanes that take part
  uint64_t values[kWarp] = {};
  for (unsigned i = 0; i < kWarp; ++i) {
    if (!(mask >> i & 1)) continue;
    ThreadState* const t = lane_state(last, i);
    if (!t) {
      machine().thread = &last;
      finding_of(last, "warp-mask",
                 "The mask " + mask_text(last.mask) + " of " + last.name + " names lane " +
                     std::to_string(i) + ", but the warp has no such thread.");
    }
    if (t->status == Status::kEnded) {
      if (is_strict())
        finding_of(last, "warp-mask",
                   "The mask " + mask_text(last.mask) + " of " + last.name + " names lane " +
                       std::to_string(i) + ", but that thread has ended.");
      mask &= ~(1u << i);
      continue;
    }
    if (t->status != Status::kAtWarpOperation) return;
    if (t->mask != last.mask || t->op != last.op) {
      if (!stuck && !(t->mask >> lane_of(last) & 1)) return;
      finding_of(last, "warp-mask",
                 std::string("Lane ") + std::to_string(lane_of(last)) + " calls " + last.name +
                     " with the mask " + mask_text(last.mask) + ", which names lane " + std::to_string(i) +
                     ". But that lane waits in " + t->name + " with the mask " + mask_text(t->mask) + " in " +
                     line_text(t->line) + ".");
    }
    values[i] = t->value;
  }
  for (unsigned i = 0; i < kWarp; ++i)
    if (mask >> i & 1) {
      ThreadState& t = *lane_state(last, i);
      compute(t, mask, values);
      t.status = Status::kReady;
    }
  // __syncwarp orders memory. The other operations do not: CUDA C++ Programming Guide, "Warp Shuffle
  // Functions" and "Warp Vote Functions".
  if (last.op != WarpOp::kSync) return;
  for (unsigned i = 0; i < kWarp; ++i)
    for (unsigned j = 0; (mask >> i & 1) && j < kWarp; ++j)
      if ((mask >> j & 1) && i != j)
        for (const Acquired& a : lane_state(last, j)->acquired) acquire(lane_state(last, i)->acquired, a);
  Warp& warp = warp_of(last);
  uint32_t joined[kWarp] = {};
  for (unsigned i = 0; i < kWarp; ++i)
    for (unsigned j = 0; (mask >> i & 1) && j < kWarp; ++j) joined[j] = std::max(joined[j], warp.known[i][j]);
  for (unsigned i = 0; i < kWarp; ++i)
    if (mask >> i & 1) {
      std::copy_n(joined, kWarp, warp.known[i]);
      ++warp.known[i][i];
    }
}

// All lanes of a warp that wait in __activemask() on one line are the active ones.
bool answer_active_masks(unsigned threads) {
  Machine& m = machine();
  bool any = false;
  for (unsigned i = 0; i < threads; ++i) {
    if (m.threads[i].status != Status::kAtActiveMask) continue;
    ThreadState& t = m.threads[i];
    unsigned mask = 0;
    for (unsigned lane = 0; lane < kWarp; ++lane) {
      const ThreadState* const other = lane_state(t, lane);
      if (other && other->status == Status::kAtActiveMask && same_line(other->line, t.line))
        mask |= 1u << lane;
    }
    for (unsigned lane = 0; lane < kWarp; ++lane)
      if (mask >> lane & 1) {
        lane_state(t, lane)->result = mask;
        lane_state(t, lane)->status = Status::kReady;
      }
    any = true;
  }
  return any;
}

// ---- blocks

// A signal handler must not allocate memory, so the first alarm is only counted. The scheduler reports it
// when the thread lets others run. If the thread has not done so one second later, it computes without using
// memory, and the handler of the second alarm can report it.
volatile sig_atomic_t alarms = 0;

[[noreturn]] void report_hang() {
  report({"hang",
          "The kernel still runs after the longest time that --seconds gives. Some thread waits for ever, or "
          "the kernel is too large for an emulator.",
          place_of_launch()});
}

// What a fibre runs.
void entry() {
  Machine& m = machine();
  m.body(m.data);
  report_doubtful_read();
  ThreadState& own = *m.thread;
  own.status = Status::kEnded;
  for (unsigned lane = 0; lane < kWarp; ++lane)  // those that wait for this thread need not wait any longer
    if (ThreadState* const other = lane_state(own, lane);
        other && other->status == Status::kAtWarpOperation && (other->mask >> lane_of(own) & 1))
      complete_warp_operation(*other, false);
  own.fibre.leave_for_good();
}

void run_block(uint32_t number) {
  Machine& m = machine();
  m.block.number = number;
  m.block.index = from_number(number, m.launch->grid);
  m.block.threads = static_cast<unsigned>(volume(m.launch->block));
  m.block.epoch = 1;
  m.block.acquired.clear();
  begin_block_memory();
  const unsigned threads = m.block.threads;
  for (unsigned i = 0; i < threads; ++i) {
    ThreadState& t = m.threads[i];
    t.status = Status::kReady;
    t.index = from_number(i, m.launch->block);
    t.fence_epoch = t.accesses = 0;
    t.acquired.clear();
    t.fibre.start(&entry);
    for (unsigned j = 0; j < kWarp; ++j) m.warps[i / kWarp].known[i % kWarp][j] = i % kWarp == j;
  }
  m.order.resize(threads);
  m.schedule.order(m.order);
  for (unsigned ended = 0; ended < threads;) {
    bool ran = false;
    if (m.schedule.kind == Schedule::Kind::kRandom) m.schedule.order(m.order);
    for (const unsigned i : m.order) {
      ThreadState& t = m.threads[i];
      if (t.status != Status::kReady) continue;
      ran = true;
      m.thread = &t;
      t.fibre.resume();
      if (alarms > 0) report_hang();
      m.thread = nullptr;
      ended += t.status == Status::kEnded;
    }
    if (ran || ended == threads || answer_active_masks(threads)) continue;
    // Nobody can run. A lane whose mask names a thread that waits elsewhere never goes on.
    for (unsigned i = 0; i < threads; ++i) {
      ThreadState& t = m.threads[i];
      if (t.status != Status::kAtWarpOperation) continue;
      complete_warp_operation(t, true);  // reports different masks
      for (unsigned lane = 0; lane < kWarp; ++lane)
        if (const ThreadState* const other = lane_state(t, lane); (t.mask >> lane & 1) &&
                                                                  other->status != Status::kAtWarpOperation &&
                                                                  other->status != Status::kEnded)
          finding_of(t, "deadlock",
                     "No thread of the block can go on. " + waits_for(t) + " " + waits_for(*other));
    }
    open_barrier(threads);
  }
}

void on_alarm(int) {
  alarms = alarms + 1;
  if (alarms > 1) report_hang();
}

void on_fault(int, siginfo_t* info, void*) {
  Machine& m = machine();
  const uintptr_t address = reinterpret_cast<uintptr_t>(info->si_addr);
  if (m.thread && m.thread->fibre.overflows(address)) report_stack_overflow();
  signal(SIGSEGV, SIG_DFL);
  raise(SIGSEGV);
}

void install_handlers() {
  static bool installed = false;
  if (installed) return;
  installed = true;
  static char stack[64 << 10];
  const stack_t alternative{stack, 0, sizeof stack};
  sigaltstack(&alternative, nullptr);
  struct sigaction action{};
  action.sa_flags = SA_ONSTACK;
  action.sa_handler = &on_alarm;
  sigaction(SIGVTALRM, &action, nullptr);
  action.sa_flags = SA_ONSTACK | SA_SIGINFO;
  action.sa_sigaction = &on_fault;
  sigaction(SIGSEGV, &action, nullptr);
}

void set_alarm(long seconds) {
  alarms = 0;
  const itimerval timer{{1, 0}, {seconds, 0}};  // again each second
  setitimer(ITIMER_VIRTUAL, &timer, nullptr);
}

long seconds_per_launch() {
  const char* const text = getenv("SIMT_SECONDS");
  return text ? strtol(text, nullptr, 10) : 60;
}

}  // namespace

int run(const Launch& launch, void (*body)(void*), void* data) {
  Machine& m = machine();
  install_handlers();
  m.launch = &launch, m.body = body, m.data = data;
  ++m.launches;
  m.releases.clear();
  begin_launch_memory(launch.dynamic_shared);
  forget_bytes();
  set_alarm(seconds_per_launch());
  std::vector<unsigned> blocks(volume(launch.grid));
  m.schedule.order(blocks);
  for (const unsigned i : blocks) run_block(i);
  check_shared_size();
  set_alarm(0);
  m.launch = nullptr;
  return 0;
}

// ---- what a thread asks and calls

bool in_emulator = false;

void report_stack_overflow() {
  report({"stack-overflow", "A thread needs more than 256 KiB for its local variables.", place_of_launch()});
}
bool in_kernel() { return machine().launch != nullptr; }
void count_copy() { ++machine().launches; }
uint32_t launch_number() { return machine().launches; }
const Block* current_block() { return machine().thread ? &machine().block : nullptr; }
ThreadState* current_thread() { return machine().thread; }
unsigned current_thread_number() { return number_of(*machine().thread); }
uint32_t current_clock() {
  const ThreadState& t = *machine().thread;
  return warp_of(t).known[lane_of(t)][lane_of(t)];
}
bool warp_knows(unsigned lane, uint32_t clock) {
  const ThreadState& t = *machine().thread;
  return clock <= warp_of(t).known[lane_of(t)][lane];
}
Place place_of_launch() {
  const Launch* const launch = machine().launch;
  return launch ? Place(launch->line) : Place();
}

bool has_acquired(uintptr_t address) {
  Machine& m = machine();
  const auto releases = m.releases.find(address);
  if (releases == m.releases.end()) return false;
  const auto is_it = [&](const Acquired& a) { return a.word == &releases->second; };
  return std::any_of(m.thread->acquired.begin(), m.thread->acquired.end(), is_it) ||
         std::any_of(m.block.acquired.begin(), m.block.acquired.end(), is_it);
}
Extent block_index_of(uint32_t number) { return from_number(number, machine().launch->grid); }
Extent thread_index_of(unsigned number) { return from_number(number, machine().launch->block); }

Running what_runs() {
  const Machine& m = machine();
  if (!m.launch) return {nullptr, false, {}};
  return {m.launch->kernel, m.thread != nullptr, {m.block.index, m.thread ? m.thread->index : Extent{}}};
}

Extent thread_index() { return machine().thread ? machine().thread->index : Extent{}; }
Extent block_index() { return machine().block.index; }
Extent block_extent() { return machine().launch ? machine().launch->block : Extent{}; }
Extent grid_extent() { return machine().launch ? machine().launch->grid : Extent{}; }

void let_others_run() {
  if (ThreadState* const t = machine().thread) wait(*t, Status::kReady);
}

int block_barrier(Vote vote, bool predicate, Line line) {
  ThreadState& t = *machine().thread;
  t.vote = vote, t.predicate = predicate, t.line = line;
  wait(t, Status::kAtBarrier);
  return static_cast<int>(t.result);
}

void thread_fence() {
  ThreadState& t = *machine().thread;
  t.fence_epoch = machine().block.epoch;
  uint32_t* const known = warp_of(t).known[lane_of(t)];
  std::copy_n(known, kWarp, t.fence_known);
  ++known[lane_of(t)];
}

unsigned active_mask(Line line) {
  ThreadState& t = *machine().thread;
  t.line = line;
  wait(t, Status::kAtActiveMask);
  return static_cast<unsigned>(t.result);
}

uint64_t warp_operation(WarpOp op, unsigned mask, uint64_t value, int lane, int width, bool is_signed,
                        Line line, const char* name) {
  ThreadState& t = *machine().thread;
  t.op = op, t.mask = mask, t.value = value, t.lane = lane, t.width = width, t.is_signed = is_signed;
  t.line = line, t.name = name;
  if (!(mask >> lane_of(t) & 1))
    finding_of(t, "warp-mask",
               "Lane " + std::to_string(lane_of(t)) + " calls " + name + " with the mask " + mask_text(mask) +
                   ", which does not name the lane itself.");
  if (width < 1 || width > static_cast<int>(kWarp) || (width & (width - 1)) != 0)
    finding_of(t, "warp-mask",
               std::string("The width of ") + name + " must be 1, 2, 4, 8, 16 or 32, not " +
                   std::to_string(width) + ".");
  t.status = Status::kAtWarpOperation;
  complete_warp_operation(t, false);
  wait(t, t.status);
  return t.result;
}

void atomic_access(void* address, size_t bytes, Line line, bool compares) {
  Machine& m = machine();
  const uintptr_t word = reinterpret_cast<uintptr_t>(address);
  if (compares && m.thread) forgive_reads(word, bytes);
  // A thread may wait for another one in a loop of atomic functions. The others run before the access is
  // recorded, because the access itself follows at once.
  if (m.thread && (m.thread->accesses += 1u << 14) > (1u << 20)) let_others_run();
  check_access(word, bytes, Access::kAtomic, true, Place(line));
  if (!m.thread) return;
  const InEmulator inside;
  ThreadState& t = *m.thread;
  Releases& releases = m.releases[word];
  if (!releases.empty()) acquire(t.acquired, {&releases, m.release_count});
  if (t.fence_epoch) {
    Release release{m.release_count + 1, t.fence_epoch, static_cast<uint16_t>(number_of(t)), {}};
    std::copy_n(t.fence_known, kWarp, release.known);
    std::vector<Release>& of_block = releases[m.block.number];
    // A thread that waits in a loop releases the same again and again.
    const auto is_known = [&](const Release& r) {
      return r.thread == release.thread && r.epoch == release.epoch &&
             std::equal(r.known, r.known + kWarp, release.known);
    };
    if (std::any_of(of_block.begin(), of_block.end(), is_known)) return;
    ++m.release_count;
    of_block.push_back(release);
  }
}

void assertion_failed(const char* condition, const char* file, unsigned line) {
  report({"assertion", std::string("The assertion ") + condition + " does not hold.",
          Place(Line{file, static_cast<int>(line)})});
}

}  // namespace simt

// Chooses the schedule of all later launches: "forward", "reverse", "odd-even", or the seed of a random
// order. Tests find this function by its name.
extern "C" [[gnu::visibility("default")]] void simt_set_schedule(const char* name) {
  simt::machine().schedule = simt::Schedule(name);
}
