// Shadow memory: what is known of each word of memory that kernels can see.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <optional>

#include "simt/report.h"

namespace simt {

enum class Access { kRead, kWrite, kAtomic };

// Checks an access of the current thread, or of the host, and records it. `natural` means that the compiler
// expects the address to be a multiple of the size. Reports a finding and ends the program if something is
// wrong.
void check_access(uintptr_t address, size_t bytes, Access access, bool natural, Place place);

// ---- called by the scheduler

// A thread may read a word that others change atomically, if it then calls atomicCAS for the word: the
// exchange fails if the word has changed meanwhile. Such a read is doubtful until the thread calls atomicCAS,
// or does anything else that others see.
void forgive_reads(uintptr_t address, size_t bytes);
void report_doubtful_read();

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
// Records what a copy, which counts as a launch, does with memory while the host goes on.
void note_copy(const void* address, size_t bytes, Access access, Line line);
void set_initialized(void* address, size_t bytes);
// Copies which bytes are initialised.
void copy_initialized(void* to, const void* from, size_t bytes);

}  // namespace simt
