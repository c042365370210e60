#include "simt/shadow.h"

#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <algorithm>
#include <map>
#include <string>

#include "simt/block.h"

// The linker collects the variables of the program that are __device__ or __constant__ in a section each, and
// defines these symbols. They are weak, because a program may have no such variable.
// The dynamic shared memory. An `extern __shared__` array outside of functions is another name of it.
extern "C" {
alignas(256) char simt_dynamic_memory[227 << 10];
[[gnu::weak]] extern char __start_simt_device[], __stop_simt_device[];
[[gnu::weak]] extern char __start_simt_constant[], __stop_simt_constant[];
}

namespace simt {
namespace {

constexpr size_t kWordBytes = 4;
constexpr size_t kMostDynamicShared = sizeof simt_dynamic_memory;
constexpr size_t kStaticShared = 48 << 10;
constexpr unsigned char kPoison = 0xff;  // four such bytes are a NaN, and -1 as an integer

// One access to a word.
struct Record {
  uint32_t launch = 0;  // 0: none
  uint32_t block = 0, epoch = 0, clock = 0;
  uint16_t thread = 0;
  uint8_t bytes = 0;  // a bit for each byte of the word
  bool atomic = false;
  Place place{};
};

// The last write, and two reads. If two reads are not ordered, a later write is not ordered after one of
// them, or the writer is a reader itself. So two are enough. Two atomic writes need not be ordered either.
struct Word {
  Record write, atomic_write, reads[2];
};

// The low four bits tell which bytes of a word are initialised, the high four which are allocated.
constexpr unsigned kInitialized = 0x0f, kAllocated = 0xf0;

struct Region {
  enum class Kind { kShared, kDynamicShared, kHeap, kVariable, kConstant };
  Kind kind;
  uintptr_t begin, end;
  Word* words;
  uint8_t* states;
};

struct Allocation {
  size_t bytes;
  Memory kind;
  bool freed;
  Line line;
  Place freed_at;
};

template <class T>
T* reserve(size_t count) {
  void* const memory = mmap(nullptr, count * sizeof(T), PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return memory == MAP_FAILED ? nullptr : static_cast<T*>(memory);
}

Region make_region(Region::Kind kind, char* begin, char* end, uint8_t state) {
  const size_t words = (static_cast<size_t>(end - begin) + kWordBytes - 1) / kWordBytes;
  Region r{kind, reinterpret_cast<uintptr_t>(begin), reinterpret_cast<uintptr_t>(end), nullptr, nullptr};
  if (words == 0) return r;
  r.words = reserve<Word>(words);
  r.states = reserve<uint8_t>(words);
  if (!r.words || !r.states) abort();
  if (state) memset(r.states, state, words);
  return r;
}

// The memory of the device lies in one range of addresses, which is large, because no address is used twice.
size_t heap_bytes = size_t{64} << 30;

Region make_heap() {
  for (; heap_bytes > (size_t{1} << 28); heap_bytes /= 2) {
    char* const memory = reserve<char>(heap_bytes);
    Word* const words = reserve<Word>(heap_bytes / kWordBytes);
    uint8_t* const states = reserve<uint8_t>(heap_bytes / kWordBytes);
    if (memory && words && states)
      return {Region::Kind::kHeap, reinterpret_cast<uintptr_t>(memory),
              reinterpret_cast<uintptr_t>(memory) + heap_bytes, words, states};
    if (memory) munmap(memory, heap_bytes);
    if (words) munmap(words, heap_bytes / kWordBytes * sizeof(Word));
    if (states) munmap(states, heap_bytes / kWordBytes);
  }
  fputs("simt: the system gives no address space for the memory of the device\n", stderr);
  abort();
}

size_t dynamic_bytes;

// A __shared__ variable is a thread_local one, because all threads of a block run in one thread of the
// system, and because the system keeps the thread_local variables of a program together. (GCC puts no static
// variable of a function template into a section of ours.)
struct ThreadLocals {
  char* begin = nullptr;
  size_t bytes = 0;
};
thread_local volatile char one_thread_local;
ThreadLocals thread_locals() {
  one_thread_local = 0;  // now the system has allocated them
  ThreadLocals found;
  const auto visit = [](dl_phdr_info* info, size_t, void* data) {
    const auto here = reinterpret_cast<uintptr_t>(&simt_dynamic_memory);
    size_t bytes = 0;
    bool is_ours = false;
    for (int i = 0; i < info->dlpi_phnum; ++i) {
      const ElfW(Phdr) & part = info->dlpi_phdr[i];
      if (part.p_type == PT_TLS) bytes = part.p_memsz;
      if (part.p_type == PT_LOAD && here - (info->dlpi_addr + part.p_vaddr) < part.p_memsz) is_ours = true;
    }
    if (!is_ours) return 0;
    *static_cast<ThreadLocals*>(data) = {static_cast<char*>(info->dlpi_tls_data), bytes};
    return 1;
  };
  dl_iterate_phdr(visit, &found);
  return found.begin ? found : ThreadLocals{};
}

Region make_shared() {
  const ThreadLocals variables = thread_locals();
  return make_region(Region::Kind::kShared, variables.begin, variables.begin + variables.bytes, kAllocated);
}

struct Memories {
  Region shared = make_shared();
  Region dynamic = make_region(Region::Kind::kDynamicShared, simt_dynamic_memory,
                               simt_dynamic_memory + kMostDynamicShared, 0);
  Region device = make_region(Region::Kind::kVariable, __start_simt_device, __stop_simt_device,
                              kAllocated | kInitialized);
  Region constant = make_region(Region::Kind::kConstant, __start_simt_constant, __stop_simt_constant,
                                kAllocated | kInitialized);
  Region heap = make_heap();
  std::map<uintptr_t, Allocation> allocations;
  uintptr_t next = heap.begin + kGap;
  size_t in_use = 0;
  uint32_t waited_for = 0;  // the last launch that the host has waited for

  static constexpr size_t kGap = 4096;
};
Memories& memories() {
  static Memories m;
  return m;
}

const Region* region_of(uintptr_t address) {
  const Memories& m = memories();
  for (const Region* r : {&m.heap, &m.shared, &m.dynamic, &m.device, &m.constant})
    if (address >= r->begin && address < r->end) return r;
  return nullptr;
}

const char* verb(Access access) {
  return access == Access::kRead ? "reads" : access == Access::kWrite ? "writes" : "changes";
}

std::string bytes_text(size_t bytes) { return std::to_string(bytes) + (bytes == 1 ? " byte" : " bytes"); }

// Whether the host must not use the memory.
bool is_device(Memory kind) { return kind == Memory::kDevice || kind == Memory::kPool; }

// The allocation that an address of the heap lies in or behind, or null. It may have been freed.
const std::pair<const uintptr_t, Allocation>* allocation_at(uintptr_t address) {
  const auto& all = memories().allocations;
  const auto i = all.upper_bound(address);
  return i == all.begin() ? nullptr : &*std::prev(i);
}

// Describes an address of the heap by its allocation.
std::string place_in_heap(uintptr_t address) {
  const auto* const i = allocation_at(address);
  if (!i) return "at " + hexadecimal(address) + ", where nothing is allocated";
  const size_t offset = address - i->first, bytes = i->second.bytes;
  const std::string what = "the " + bytes_text(bytes) + " that " + allocating_function(i->second.kind) +
                           " gave on line " + std::to_string(i->second.line.number);
  if (offset < bytes) return "at byte " + std::to_string(offset) + " of " + what;
  return bytes_text(offset - bytes) + " behind the end of " + what;
}

std::string place_in(const Region& r, uintptr_t address) {
  switch (r.kind) {
    case Region::Kind::kHeap:
      return place_in_heap(address);
    case Region::Kind::kShared:
      return "of the shared " + variable_at(address - r.begin);
    case Region::Kind::kDynamicShared:
      return "at byte " + std::to_string(address - r.begin) + " of the dynamic shared memory, which has " +
             bytes_text(dynamic_bytes);
    case Region::Kind::kVariable:
      return "of the __device__ " + variable_at(address);
    default:
      return "of the __constant__ " + variable_at(address);
  }
}

bool is_shared(const Region& r) {
  return r.kind == Region::Kind::kShared || r.kind == Region::Kind::kDynamicShared;
}

// Whether another thread's action is ordered before what the current thread does now.
bool is_ordered(const Record& r) {
  if (r.launch != launch_number()) return true;
  const Block& block = *current_block();
  const unsigned thread = current_thread_number();
  if (r.block == block.number) {
    if (r.thread == thread || r.epoch < block.epoch) return true;
    if (r.thread / kWarp == thread / kWarp && warp_knows(r.thread % kWarp, r.clock)) return true;
  }
  const auto covers = [&](const Acquired& a) {
    const auto releases = a.word->find(r.block);
    return releases != a.word->end() &&
           std::any_of(releases->second.rbegin(), releases->second.rend(), [&](const Release& done) {
             if (done.order > a.order) return false;
             const bool same_warp = r.thread / kWarp == done.thread / kWarp;
             return r.epoch < done.epoch || (same_warp && r.clock <= done.known[r.thread % kWarp]);
           });
  };
  const auto& own = current_thread()->acquired;
  return std::any_of(block.acquired.begin(), block.acquired.end(), covers) ||
         std::any_of(own.begin(), own.end(), covers);
}

[[noreturn]] void report_race(const Region& r, uintptr_t address, const Record& other, bool wrote,
                              Access access, Place place) {
  Finding f;
  f.kind = "race";
  const bool one_block = other.block == current_block()->number;
  f.message = "A thread " + std::string(verb(access)) + " a word " + place_in(r, address) +
              ", which another thread " + (wrote ? "wrote" : "read") + ". " +
              (!one_block ? "The two threads are in different blocks, which nothing orders."
               : other.thread / kWarp == current_thread_number() / kWarp
                   ? "Neither __syncthreads() nor __syncwarp() stands between the two."
                   : "No __syncthreads() stands between the two.");
  f.place = place;
  f.other = wrote ? (other.atomic ? "changed it atomically" : "wrote it") : "read it";
  f.other_place = other.place;
  f.other_thread = {block_index_of(other.block), thread_index_of(other.thread)};
  report(f);
}

// The doubtful read of the thread that runs. There is none while threads take turns.
struct DoubtfulRead {
  const Region* region = nullptr;
  uintptr_t address = 0;
  Record other;
  Place place;
};
DoubtfulRead doubtful;

void check_races(const Region& r, Word& word, uint8_t bytes, Access access, uintptr_t address, Place place) {
  const bool atomic = access == Access::kAtomic;
  const auto races = [&](const Record& other) {
    if (is_shared(r) && other.block != current_block()->number) return false;  // each block has its own
    return (other.bytes & bytes) && !(atomic && other.atomic) && !is_ordered(other);
  };
  for (const Record* write : {&word.write, &word.atomic_write})
    if (races(*write) && !(write->atomic && has_acquired(address))) {
      if (access != Access::kRead || !write->atomic) report_race(r, address, *write, true, access, place);
      if (!doubtful.region) doubtful = {&r, address, *write, place};
    }
  const Record now{launch_number(),
                   current_block()->number,
                   current_block()->epoch,
                   current_clock(),
                   static_cast<uint16_t>(current_thread_number()),
                   bytes,
                   atomic,
                   place};
  if (access != Access::kRead) {
    for (const Record& read : word.reads)
      if (races(read)) report_race(r, address, read, false, access, place);
    const bool other_thread = word.write.block != now.block || word.write.thread != now.thread;
    if (!atomic || word.write.launch != now.launch)
      word.atomic_write = {};
    else if (word.write.atomic && other_thread)
      word.atomic_write = word.write;
    word.write = now;
    return;
  }
  for (Record& read : word.reads)
    if (read.launch != now.launch || (read.block == now.block && read.thread == now.thread) ||
        is_ordered(read)) {
      read = now;
      return;
    }
  // Two reads that are not ordered are kept. A read of another block replaces one of two of the same block.
  if (word.reads[0].block == word.reads[1].block && now.block != word.reads[1].block) word.reads[1] = now;
}

// Reports a use of memory that is not allocated.
[[noreturn]] void report_missing(const Region& r, uintptr_t address, const std::string& message,
                                 Place place) {
  const auto* const i = r.kind == Region::Kind::kHeap ? allocation_at(address) : nullptr;
  if (!i || !i->second.freed || address - i->first >= i->second.bytes)
    report({"out-of-bounds", message, place, "", {}, {}});
  report({"use-after-free",
          message + " It was freed on line " + std::to_string(i->second.freed_at.text().line) + ".",
          place,
          "",
          {},
          {}});
}

[[noreturn]] void report_bounds(const Region& r, uintptr_t address, size_t bytes, Access access,
                                Place place) {
  report_missing(r, address,
                 std::string(in_kernel() ? "A thread " : "The host ") + verb(access) + " " +
                     bytes_text(bytes) + " " + place_in(r, address) + ".",
                 place);
}

void check_device_access(const Region& r, uintptr_t address, size_t bytes, Access access, bool natural,
                         Place place) {
  if (access != Access::kRead) report_doubtful_read();
  if (r.kind == Region::Kind::kConstant && access != Access::kRead)
    report({"constant-write",
            "A kernel " + std::string(verb(access)) +
                " a __constant__ variable. Only the host may, with cudaMemcpyToSymbol.",
            place,
            "",
            {},
            {}});
  // Clang copies a float4 with memcpy, which needs no alignment, so that only GCC's code shows a wrong one.
  if (natural && address % bytes != 0)
    report({"misaligned",
            "A thread " + std::string(verb(access)) + " " + bytes_text(bytes) + " " + place_in(r, address) +
                ". The address is no multiple of " + std::to_string(bytes) + ".",
            place,
            "",
            {},
            {}});
  if (address + bytes > r.end) report_bounds(r, address, bytes, access, place);
  for (uintptr_t at = address; at < address + bytes;) {
    const size_t word = (at - r.begin) / kWordBytes;
    const uintptr_t first = (at - r.begin) % kWordBytes;
    const uintptr_t last = std::min<uintptr_t>(kWordBytes, first + (address + bytes - at));
    const uint8_t mask = static_cast<uint8_t>((1u << last) - (1u << first));
    uint8_t& state = r.states[word];
    if ((state >> 4 & mask) != mask) {
      uintptr_t bad = at;
      while (state >> (4 + (bad - r.begin) % kWordBytes) & 1) ++bad;
      report_bounds(r, bad, bytes - (bad - address), access, place);
    }
    if (access != Access::kWrite && (state & mask) != mask)
      report({"uninitialized",
              "A thread " + std::string(verb(access)) + " a word " + place_in(r, at) +
                  ", which nobody has written" +
                  (is_shared(r) ? " yet in this block. If another thread writes it, a "
                                  "barrier is missing"
                                : "") +
                  ".",
              place,
              "",
              {},
              {}});
    if (access != Access::kRead) state |= mask;
    if (r.kind != Region::Kind::kConstant) check_races(r, r.words[word], mask, access, at, place);
    at += last - first;
  }
}

// The host may use its own memory, and managed and pinned memory that no kernel or copy uses meanwhile.
void check_host_access(const Region& r, uintptr_t address, size_t bytes, Access access, Place place) {
  if (r.kind == Region::Kind::kHeap) {
    const auto* const i = allocation_at(address);
    if (i && !is_device(i->second.kind)) {
      for (uintptr_t at = address; at < address + bytes; ++at) {
        const size_t word = (at - r.begin) / kWordBytes;
        if (!(r.states[word] >> (4 + (at - r.begin) % kWordBytes) & 1))
          report_bounds(r, at, bytes - (at - address), access, place);
        const auto runs = [&](const Record& other) {
          if (other.launch > memories().waited_for)
            report({"host-too-early",
                    "The host " + std::string(verb(access)) + " memory " + place_in_heap(at) +
                        ". A kernel or a copy that uses it on line " +
                        std::to_string(other.place.text().line) +
                        " may still run. Call cudaDeviceSynchronize() first.",
                    place,
                    "",
                    {},
                    {}});
        };
        runs(r.words[word].write);
        if (access != Access::kRead)
          for (const Record& read : r.words[word].reads) runs(read);
      }
      if (access == Access::kRead) add_to_results(reinterpret_cast<const void*>(address), bytes);
      return;
    }
  }
  if (is_shared(r)) return;  // the initial value of a variable in the section
  report({"device-pointer",
          "The host " + std::string(verb(access)) + " memory of the device, " + place_in(r, address) +
              ". Copy it with cudaMemcpy" +
              (r.kind == Region::Kind::kHeap ? "." : "ToSymbol or cudaMemcpyFromSymbol."),
          place,
          "",
          {},
          {}});
}

// Reports an access to memory that is no memory of the device.
[[noreturn]] void report_foreign(uintptr_t address, size_t bytes, Access access, Place place) {
  if (current_thread()->fibre.overflows(reinterpret_cast<uintptr_t>(__builtin_frame_address(0))))
    report_stack_overflow();
  if (address < 4096)
    report({"null-pointer",
            "A thread " + std::string(verb(access)) + " memory through a null pointer.",
            place,
            "",
            {},
            {}});
  const std::string variable = variable_at(address);
  const bool is_variable = variable != kUnknownVariable;
  // An index that is too large, or negative, leads to memory beside a region.
  constexpr uintptr_t kNear = 4096;
  const Memories& m = memories();
  for (const Region* r : {&m.shared, &m.dynamic, &m.device, &m.constant})
    if (!is_variable && r->begin != r->end && address - (r->begin - kNear) < r->end - r->begin + 2 * kNear)
      report({"out-of-bounds",
              "A thread " + std::string(verb(access)) + " " + bytes_text(bytes) + " " +
                  (address < r->begin ? bytes_text(r->begin - address) + " before the first"
                                      : bytes_text(address - r->end) + " behind the last") +
                  " of the " +
                  (is_shared(*r)    ? "__shared__"
                   : r == &m.device ? "__device__"
                                    : "__constant__") +
                  " variables.",
              place,
              "",
              {},
              {}});
  report({"host-pointer",
          "A thread " + std::string(verb(access)) + " " + bytes_text(bytes) + " at " + hexadecimal(address) +
              ", which is " +
              (is_variable ? "in the host's " + variable
                           : "memory of the host or "
                             "of another thread") +
              ". A kernel may use memory of cudaMalloc, its own variables, and __device__, "
              "__constant__ and __shared__ ones.",
          place,
          "",
          {},
          {}});
}

}  // namespace

void check_access(uintptr_t address, size_t bytes, Access access, bool natural, Place place) {
  if (in_emulator) return;
  if (ThreadState* const thread = current_thread()) {
    if (thread->fibre.owns(address)) return;
    if (++thread->accesses > (1u << 20)) let_others_run();
    const InEmulator inside;
    if (const Region* const r = region_of(address))
      return check_device_access(*r, address, bytes, access, natural, place);
    report_foreign(address, bytes, access, place);
  }
  if (in_kernel()) return;  // the emulator itself
  if (const Region* const r = region_of(address)) check_host_access(*r, address, bytes, access, place);
}

void report_doubtful_read() {
  if (doubtful.region)
    report_race(*doubtful.region, doubtful.address, doubtful.other, true, Access::kRead, doubtful.place);
}

void forgive_reads(uintptr_t address, size_t bytes) {
  if (doubtful.region && doubtful.address - address < bytes) doubtful = {};
  const Region* const r = region_of(address);
  if (!r || !r->words) return;
  for (uintptr_t at = address; at < address + bytes && at < r->end; at += kWordBytes)
    for (Record& read : r->words[(at - r->begin) / kWordBytes].reads)
      if (read.launch == launch_number() && read.block == current_block()->number &&
          read.thread == current_thread_number())
        read.atomic = true;
}

void* dynamic_shared() { return simt_dynamic_memory; }

void begin_launch_memory(size_t bytes) {
  dynamic_bytes = bytes;
  // Another thread of the system, which may launch this kernel, has other thread_local variables.
  Region& shared = memories().shared;
  const uintptr_t begin = reinterpret_cast<uintptr_t>(thread_locals().begin);
  shared.end += begin - shared.begin, shared.begin = begin;
  Region& r = memories().dynamic;
  memset(r.states, 0, kMostDynamicShared / kWordBytes);
  for (size_t i = 0; i < bytes; ++i) r.states[i / kWordBytes] |= static_cast<uint8_t>(16 << i % kWordBytes);
}

// The variables of all kernels lie side by side, so a kernel is judged by those that its blocks have used.
void check_shared_size() {
  const Region& r = memories().shared;
  if (r.end - r.begin <= kStaticShared) return;
  const size_t words = (r.end - r.begin) / kWordBytes;
  const size_t used = static_cast<size_t>(
      std::count_if(r.states, r.states + words, [](uint8_t s) { return s & kInitialized; }));
  if (used * kWordBytes > kStaticShared)
    report({"shared-size",
            "The blocks of this kernel use " + bytes_text(used * kWordBytes) +
                " of __shared__ "
                "variables. A block has " +
                bytes_text(kStaticShared) +
                " at most. More is possible with dynamic shared "
                "memory and cudaFuncSetAttribute.",
            place_of_launch(),
            "",
            {},
            {}});
}

void begin_block_memory() {
  Memories& m = memories();
  check_shared_size();
  // Only what the last block has written is overwritten, because the host may have thread_local variables,
  // too.
  for (uintptr_t at = m.shared.begin; at < m.shared.end; at += kWordBytes) {
    uint8_t& state = m.shared.states[(at - m.shared.begin) / kWordBytes];
    if (state & kInitialized)
      memset(reinterpret_cast<void*>(at), kPoison, std::min(kWordBytes, m.shared.end - at));
    state = kAllocated;
  }
  memset(simt_dynamic_memory, kPoison, dynamic_bytes);
  for (size_t i = 0; i < (dynamic_bytes + kWordBytes - 1) / kWordBytes; ++i)
    m.dynamic.states[i] &= kAllocated;
}

void* allocate(size_t bytes, Memory kind, Line line) {
  Memories& m = memories();
  constexpr size_t kAlign = 256;
  if (bytes > memory_bytes() || m.in_use > memory_bytes() - bytes) return nullptr;
  // Between two allocations lies as much room as the larger one of them takes, so that an index that is too
  // large does not hit the next one.
  const size_t room = (std::max(bytes, Memories::kGap) + kAlign - 1) / kAlign * kAlign;
  if (m.next + 2 * room + Memories::kGap > m.heap.end) return nullptr;
  const uintptr_t address = m.next;
  m.next += 2 * room;
  m.allocations[address] = {bytes, kind, false, line, {}};
  m.in_use += bytes;
  const size_t first = (address - m.heap.begin) / kWordBytes;
  const uint8_t state = static_cast<uint8_t>(kAllocated | (is_device(kind) ? 0 : kInitialized));
  memset(m.heap.states + first, state, bytes / kWordBytes);
  if (bytes % kWordBytes) {
    const unsigned mask = (1u << bytes % kWordBytes) - 1;
    m.heap.states[first + bytes / kWordBytes] = static_cast<uint8_t>(state & (mask << 4 | mask));
  }
  if (is_device(kind)) memset(reinterpret_cast<void*>(address), kPoison, bytes);
  return reinterpret_cast<void*>(address);
}

bool release(void* address, const char* function, Line line) {
  Memories& m = memories();
  const auto i = m.allocations.find(reinterpret_cast<uintptr_t>(address));
  if (i == m.allocations.end()) return false;
  Allocation& a = i->second;
  if (a.freed)
    report({"double-free",
            std::string(function) + " is called for memory that was freed on line " +
                std::to_string(a.freed_at.text().line) + ".",
            Place(line),
            "",
            {},
            {}});
  a.freed = true, a.freed_at = Place(line);
  m.in_use -= a.bytes;
  memset(m.heap.states + (i->first - m.heap.begin) / kWordBytes, 0, (a.bytes + kWordBytes - 1) / kWordBytes);
  madvise(address, a.bytes, MADV_DONTNEED);
  return true;
}

size_t bytes_in_use() { return memories().in_use; }

size_t memory_bytes() {
  const char* const text = getenv("SIMT_MEMORY");
  return text ? strtoull(text, nullptr, 10) : size_t{16} << 30;
}

std::optional<Memory> kind_of(const void* pointer) {
  const uintptr_t address = reinterpret_cast<uintptr_t>(pointer);
  const Region* const r = region_of(address);
  if (!r || is_shared(*r)) return {};
  if (r->kind != Region::Kind::kHeap) return Memory::kDevice;
  const auto* const i = allocation_at(address);
  if (!i || i->second.freed || address - i->first >= i->second.bytes) return {};
  return i->second.kind;
}

const char* allocating_function(Memory kind) {
  static const char* const names[] = {"cudaMalloc", "cudaMallocManaged", "cudaMallocHost", "cudaMallocAsync"};
  return names[static_cast<int>(kind)];
}

void host_waits() { memories().waited_for = launch_number(); }

bool has_shadow(const void* pointer) {
  const Region* const r = region_of(reinterpret_cast<uintptr_t>(pointer));
  return r && !is_shared(*r);
}

Owner owner_of(const void* pointer, size_t bytes, const char* function, Line line) {
  if (!has_shadow(pointer)) return Owner::kHost;
  const uintptr_t address = reinterpret_cast<uintptr_t>(pointer);
  const Region* const r = region_of(address);
  for (size_t i = 0; i < bytes;) {
    const uintptr_t at = address + i;
    const size_t in_word = (at - r->begin) % kWordBytes, count = std::min(kWordBytes - in_word, bytes - i);
    const unsigned mask = (1u << (in_word + count)) - (1u << in_word);
    const unsigned state = at < r->end ? r->states[(at - r->begin) / kWordBytes] >> 4 : 0;
    if ((state & mask) != mask)
      report_missing(*r, at,
                     std::string(function) + " covers " + bytes_text(bytes) + ", and byte " +
                         std::to_string(i) + " of them lies " + place_in(*r, at) + ".",
                     Place(line));
    i += count;
  }
  const Memory kind = *kind_of(pointer);
  return is_device(kind) ? Owner::kDevice : kind == Memory::kManaged ? Owner::kBoth : Owner::kHost;
}

void note_copy(const void* pointer, size_t bytes, Access access, Line line) {
  const uintptr_t address = reinterpret_cast<uintptr_t>(pointer);
  const Region* const r = region_of(address);
  for (uintptr_t at = address; at < address + bytes; ++at) {
    Word& word = r->words[(at - r->begin) / kWordBytes];
    Record& record = access == Access::kRead ? word.reads[0] : word.write;
    record = {};
    record.launch = launch_number(), record.place = Place(line);
  }
}

void set_initialized(void* pointer, size_t bytes) {
  const uintptr_t address = reinterpret_cast<uintptr_t>(pointer);
  const Region* const r = region_of(address);
  for (uintptr_t at = address; r && at < address + bytes; ++at)
    r->states[(at - r->begin) / kWordBytes] |= static_cast<uint8_t>(1 << (at - r->begin) % kWordBytes);
}

void copy_initialized(void* to, const void* from, size_t bytes) {
  const uintptr_t target = reinterpret_cast<uintptr_t>(to), source = reinterpret_cast<uintptr_t>(from);
  const Region *const t = region_of(target), *const s = region_of(source);
  for (size_t i = 0; i < bytes; ++i) {
    const uintptr_t from_byte = source + i - s->begin, to_byte = target + i - t->begin;
    if (s->states[from_byte / kWordBytes] >> from_byte % kWordBytes & 1)
      t->states[to_byte / kWordBytes] |= static_cast<uint8_t>(1 << to_byte % kWordBytes);
    else
      t->states[to_byte / kWordBytes] &= static_cast<uint8_t>(~(1 << to_byte % kWordBytes));
  }
}

}  // namespace simt
