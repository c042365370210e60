// The memory that kernels can see: where it lies, what is allocated, and its shadow words. The functions of
// the host use it, and shadow.h checks the accesses of threads.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <map>
#include <optional>
#include <string>

#include "simt/report.h"

namespace simt {

inline constexpr size_t kWordBytes = 4;

// One access to a word.
struct Record {
  uint32_t launch = 0;  // 0: none
  uint32_t block = 0, epoch = 0, clock = 0;
  Place place{};
  uint16_t thread = 0;
  uint8_t bytes = 0;  // a bit for each byte of the word
  bool atomic : 1 = false;
  bool is_split : 1 = false;  // shadow.cc keeps records of each byte of this word
};

// The last write, and two reads. If two reads are not ordered, a later write is not ordered after one of
// them, or the writer is a reader itself. So two are enough. Two atomic writes need not be ordered either.
struct Word {
  Record write, atomic_write, reads[2];
};
static_assert(sizeof(Word) == 96, "a shadow word takes 24 times the memory of its word");

// The low four bits of a state tell which bytes of a word are initialised, the high four which are allocated.
inline constexpr unsigned kInitialized = 0x0f, kAllocated = 0xf0;

struct Region {
  enum class Kind { kShared, kDynamicShared, kHeap, kVariable, kManagedVariable, kConstant };
  Kind kind;
  uintptr_t begin, end;
  Word* words;
  uint8_t* states;
};

struct Allocation {
  size_t bytes;
  size_t room;  // the address space that it takes, with a gap behind it
  Memory kind;
  bool freed;
  Line line;
  Place freed_at;
};

struct Memories {
  Region shared, dynamic, device, managed, constant, read_only, heap;
  std::map<uintptr_t, Allocation> allocations;  // also freed ones, until their addresses are used again
  size_t in_use = 0;
  uint32_t waited_for = 0;  // the last launch that the host has waited for
};
Memories& memories();

// Returns null if the address is in no region.
const Region* region_of(uintptr_t address);
bool is_shared(const Region& region);
// Whether the host must not use memory of this kind.
bool is_device(Memory kind);
// The allocation that an address of the heap lies in or behind, or null. It may have been freed.
const std::pair<const uintptr_t, Allocation>* allocation_at(uintptr_t address);

std::string bytes_text(size_t bytes);
// Describes an address by its allocation or its variable.
std::string place_in(const Region& region, uintptr_t address);
// Reports a use of memory that is not allocated.
[[noreturn]] void report_missing(const Region& region, uintptr_t address, const std::string& message,
                                 Place place);

// ---- called by the scheduler

void begin_launch_memory(size_t dynamic_shared);
void begin_block_memory();
// Reports a finding if the last block has used more shared memory than a block has.
void check_shared_size();

// ---- called by the functions of the host

// Returns null if there is no room.
void* allocate(size_t bytes, Memory kind, Line line);
// Returns false if the address is not the first byte of memory that is allocated. Freed memory is a finding.
bool release(void* address, const char* function, Line line);
size_t bytes_in_use();
// The size of the device's memory: SIMT_MEMORY bytes if the environment has this variable, otherwise 16 GiB.
size_t memory_bytes();
// The kind of memory that an address belongs to, or nothing if it is the host's or is not allocated.
std::optional<Memory> kind_of(const void* address);
const char* allocating_function(Memory kind);
// The host waits for the device: it may touch again what kernels and copies have used.
void host_waits();

// Returns who owns a range of memory: the host, the device or, for managed memory, both. A range of the
// device that is not allocated is a finding.
enum class Owner { kHost, kDevice, kBoth };
Owner owner_of(const void* address, size_t bytes, const char* function, Line line);
// Whether the range is in the memory of kernels, which has shadow words. Pinned memory is, although it is the
// host's.
bool has_shadow(const void* address);
// Schedules must agree on the bytes that the host sees.
void add_to_results(const void* data, size_t bytes);
void set_initialized(void* address, size_t bytes);
// Copies which bytes are initialised.
void copy_initialized(void* to, const void* from, size_t bytes);

}  // namespace simt
