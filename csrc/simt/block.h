// The scheduler: runs the blocks of a grid one after the other, and the threads of a block in turns. A thread
// runs until it waits at a barrier or for its warp, or until it ends.
#pragma once

#include <stdint.h>

#include <unordered_map>
#include <vector>

#include "simt/fibre.h"
#include "simt/include/simt_api.h"
#include "simt/report.h"

namespace simt {

inline constexpr unsigned kWarp = 32, kMaxThreads = 1024;

// A thread that has called __threadfence() and then changes a word atomically releases what it did, and what
// it knew of its warp, before the fence: a thread that reads the word atomically later is ordered after that.
struct Release {
  unsigned order;  // the number of this release in the launch
  uint32_t epoch;
  uint16_t thread;
  uint32_t known[kWarp];
};
using Releases = std::unordered_map<uint32_t, std::vector<Release>>;  // of one word, for each block
struct Acquired {
  const Releases* word;
  unsigned order;  // all releases of the word up to this number
};

struct ThreadState {
  enum class Status { kReady, kAtBarrier, kAtWarpOperation, kAtActiveMask, kEnded };

  Fibre fibre;
  Status status;
  Extent index;
  // Waiting: where, and for what.
  Line line;
  Vote vote;
  bool predicate;
  WarpOp op;
  const char* name;
  unsigned mask;
  uint64_t value, result;
  int lane, width;
  bool is_signed;

  uint32_t fence_epoch;  // of the last __threadfence(), 0 if there was none
  uint32_t fence_known[kWarp];
  unsigned accesses;  // since it last let others run
  std::vector<Acquired> acquired;
};

// What a thread knows of its warp. known[i][j] is the time of lane j up to which everything that lane j did
// is ordered before what lane i does next. known[i][i] is lane i's own time, from 1.
struct Warp {
  uint32_t known[kWarp][kWarp];
};

struct Block {
  uint32_t number;  // in the grid
  Extent index;
  unsigned threads;
  uint32_t epoch;                  // the number of barriers that the block has passed, plus 1
  std::vector<Acquired> acquired;  // by all threads, at the last barrier
};

struct Running {
  const char* kernel;  // null: the host runs
  bool in_thread;
  Thread thread;
};
Running what_runs();

// True while the emulator itself works. The program and the emulator share functions of the standard library,
// and the linker may choose copies that report their accesses.
extern bool in_emulator;
class InEmulator {
 public:
  InEmulator() { in_emulator = true; }
  ~InEmulator() { in_emulator = false; }
  InEmulator(const InEmulator&) = delete;
  InEmulator& operator=(const InEmulator&) = delete;
};

// A copy that runs while the host goes on has a number, as a launch has.
void count_copy();
// The number of the launch, from 1. The block and the thread that run are null on the host.
uint32_t launch_number();
const Block* current_block();
ThreadState* current_thread();
unsigned current_thread_number();
uint32_t current_clock();
// Whether lane's actions up to `clock` are ordered before those of the current thread, which is in its warp.
bool warp_knows(unsigned lane, uint32_t clock);
Place place_of_launch();
// Whether the current thread has acquired a release of the word at this address.
bool has_acquired(uintptr_t address);
Extent block_index_of(uint32_t number);
Extent thread_index_of(unsigned number);

[[noreturn]] void report_stack_overflow();

// Lets other threads run, if a thread has made this many accesses since the last time: it may wait in a loop
// for a word that another thread must write.
void let_others_run();

}  // namespace simt
