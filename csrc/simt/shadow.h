// Checks of accesses: every access of a thread, or of the host, is compared with what shadow memory knows of
// earlier ones.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "simt/report.h"

namespace simt {

enum class Access { kRead, kWrite, kAtomic };

// Checks an access of the current thread, or of the host, and records it. `natural` means that the compiler
// expects the address to be a multiple of the size. Reports a finding and ends the program if
// something is wrong.
void check_access(uintptr_t address, size_t bytes, Access access, bool natural, Place place);
// Reports an address that the current thread uses, if it is in the memory of the device and is not a multiple
// of the alignment.
void check_alignment(uintptr_t address, size_t alignment, Place place);

// A thread may read a word that others change atomically, if it then calls atomicCAS for the word: the
// exchange fails if the word has changed meanwhile. Such a read is doubtful until the thread calls atomicCAS,
// or does anything else that others see.
void forgive_reads(uintptr_t address, size_t bytes);
void report_doubtful_read();

// To be called at the start of a launch.
void forget_bytes();

// Records what a copy, which counts as a launch, does with memory while the host goes on.
void note_copy(const void* address, size_t bytes, Access access, Line line);

}  // namespace simt
