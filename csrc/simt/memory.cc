#include "simt/memory.h"

#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <algorithm>

#include "simt/block.h"

// The linker collects the variables of the program that are __device__, __managed__, __constant__ or const in
// a section each, and defines these symbols. They are weak, because a program may have no such variable. The
// dynamic shared memory. An `extern __shared__` array outside of functions is another name of it.
extern "C" {
alignas(256) char simt_dynamic_memory[227 << 10];
[[gnu::weak]] extern char __start_simt_device[], __stop_simt_device[];
[[gnu::weak]] extern char __start_simt_managed[], __stop_simt_managed[];
[[gnu::weak]] extern char __start_simt_constant[], __stop_simt_constant[];
[[gnu::weak]] extern char __start_simt_const[], __stop_simt_const[];
}

namespace simt {
namespace {

constexpr size_t kMostDynamicShared = sizeof simt_dynamic_memory;
constexpr size_t kStaticShared = 48 << 10;
constexpr unsigned char kPoison = 0xff;  // four such bytes are a NaN, and -1 as an integer
constexpr size_t kPage = 4096;

// The addresses of the heap. Memory is given at rising addresses, so that freed memory is found for a long
// time. After kFirstLap bytes of addresses, the search for room starts from the front again, because shadow
// memory needs page tables, which the system does not take back. If there is no room, the lap is doubled.
constexpr size_t kLargestHeap = size_t{64} << 30, kFirstLap = size_t{1} << 30, kGap = kPage;
size_t heap_bytes, lap_bytes;
uintptr_t next_address;

size_t dynamic_bytes;

template <class T>
T* reserve(size_t count) {
  void* const memory = mmap(nullptr, count * sizeof(T), PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return memory == MAP_FAILED ? nullptr : static_cast<T*>(memory);
}

// Sets reserved memory to zero. The system takes back the pages that lie in it.
template <class T>
void clear(T* memory, size_t count) {
  char *const begin = reinterpret_cast<char*>(memory), *const end = begin + count * sizeof(T);
  char* const first = begin + (-reinterpret_cast<uintptr_t>(begin) & (kPage - 1));
  char* const last = end - (reinterpret_cast<uintptr_t>(end) & (kPage - 1));
  if (first >= last) {
    memset(begin, 0, count * sizeof(T));
    return;
  }
  memset(begin, 0, static_cast<size_t>(first - begin));
  madvise(first, static_cast<size_t>(last - first), MADV_DONTNEED);
  memset(last, 0, static_cast<size_t>(end - last));
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

Region make_heap() {
  for (heap_bytes = kLargestHeap; heap_bytes > (size_t{1} << 28); heap_bytes /= 2) {
    char* const memory = reserve<char>(heap_bytes);
    Word* const words = reserve<Word>(heap_bytes / kWordBytes);
    uint8_t* const states = reserve<uint8_t>(heap_bytes / kWordBytes);
    if (memory && words && states) {
      const uintptr_t begin = reinterpret_cast<uintptr_t>(memory);
      next_address = begin + kGap;
      lap_bytes = std::min(heap_bytes, kFirstLap);
      return {Region::Kind::kHeap, begin, begin + heap_bytes, words, states};
    }
    if (memory) munmap(memory, heap_bytes);
    if (words) munmap(words, heap_bytes / kWordBytes * sizeof(Word));
    if (states) munmap(states, heap_bytes / kWordBytes);
  }
  fputs("simt: the system gives no address space for the memory of the device\n", stderr);
  abort();
}

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

// Returns an address of `room` bytes of the heap that no living allocation uses, or 0.
uintptr_t find_room(size_t room) {
  Memories& m = memories();
  for (;;) {
    for (int lap = 0; lap < 2; ++lap) {
      while (next_address + room <= m.heap.begin + lap_bytes) {
        const uintptr_t address = next_address;
        auto i = m.allocations.upper_bound(address);
        if (i != m.allocations.begin() && std::prev(i)->first + std::prev(i)->second.room > address) --i;
        while (i != m.allocations.end() && i->second.freed && i->first < address + room)
          i = m.allocations.erase(i);
        if (i == m.allocations.end() || i->first >= address + room) {
          next_address = address + room;
          return address;
        }
        next_address = i->first + i->second.room;
      }
      next_address = m.heap.begin + kGap;
    }
    if (lap_bytes == heap_bytes) return 0;
    lap_bytes = std::min(heap_bytes, 2 * lap_bytes);
  }
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

}  // namespace

// It is never destroyed, because the program may free memory in the destructor of a global variable.
Memories& memories() {
  static Memories& m = *new Memories{
      make_shared(),
      make_region(Region::Kind::kDynamicShared, simt_dynamic_memory, simt_dynamic_memory + kMostDynamicShared,
                  0),
      make_region(Region::Kind::kVariable, __start_simt_device, __stop_simt_device,
                  kAllocated | kInitialized),
      make_region(Region::Kind::kManagedVariable, __start_simt_managed, __stop_simt_managed,
                  kAllocated | kInitialized),
      make_region(Region::Kind::kConstant, __start_simt_constant, __stop_simt_constant,
                  kAllocated | kInitialized),
      make_region(Region::Kind::kConstant, __start_simt_const, __stop_simt_const, kAllocated | kInitialized),
      make_heap(),
      {}};
  return m;
}

const Region* region_of(uintptr_t address) {
  const Memories& m = memories();
  for (const Region* r : {&m.heap, &m.shared, &m.dynamic, &m.device, &m.managed, &m.constant, &m.read_only})
    if (address >= r->begin && address < r->end) return r;
  return nullptr;
}

bool is_shared(const Region& r) {
  return r.kind == Region::Kind::kShared || r.kind == Region::Kind::kDynamicShared;
}
bool is_device(Memory kind) { return kind == Memory::kDevice || kind == Memory::kPool; }

const std::pair<const uintptr_t, Allocation>* allocation_at(uintptr_t address) {
  const auto& all = memories().allocations;
  const auto i = all.upper_bound(address);
  return i == all.begin() ? nullptr : &*std::prev(i);
}

std::string bytes_text(size_t bytes) { return std::to_string(bytes) + (bytes == 1 ? " byte" : " bytes"); }

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
    case Region::Kind::kManagedVariable:
      return "of the __managed__ " + variable_at(address);
    default:
      return (&r == &memories().read_only ? "of the const " : "of the __constant__ ") + variable_at(address);
  }
}

void report_missing(const Region& r, uintptr_t address, const std::string& message, Place place) {
  const auto* const i = r.kind == Region::Kind::kHeap ? allocation_at(address) : nullptr;
  if (!i || !i->second.freed || address - i->first >= i->second.bytes)
    report({"out-of-bounds", message, place});
  report({"use-after-free",
          message + " It was freed on line " + std::to_string(i->second.freed_at.text().line) + ".", place});
}

// ---- called by the scheduler

void* dynamic_shared() { return simt_dynamic_memory; }

void begin_launch_memory(size_t bytes) {
  // Another thread of the system, which may launch this kernel, has other thread_local variables.
  Region& shared = memories().shared;
  const uintptr_t here = reinterpret_cast<uintptr_t>(&one_thread_local);
  static const uintptr_t offset = here - reinterpret_cast<uintptr_t>(thread_locals().begin);
  const uintptr_t begin = here - offset;
  shared.end += begin - shared.begin, shared.begin = begin;
  uint8_t* const states = memories().dynamic.states;
  memset(states, 0, (dynamic_bytes + kWordBytes - 1) / kWordBytes);  // those of the last launch
  memset(states, kAllocated, bytes / kWordBytes);
  if (bytes % kWordBytes)
    states[bytes / kWordBytes] = static_cast<uint8_t>(((1u << bytes % kWordBytes) - 1) << 4);
  dynamic_bytes = bytes;
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
                " of __shared__ variables. A block has " + bytes_text(kStaticShared) +
                " at most. More is possible with dynamic shared memory and cudaFuncSetAttribute.",
            place_of_launch()});
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

// ---- called by the functions of the host

void* allocate(size_t bytes, Memory kind, Line line) {
  Memories& m = memories();
  constexpr size_t kAlign = 256;
  if (bytes > memory_bytes() || m.in_use > memory_bytes() - bytes) return nullptr;
  // Between two allocations lies as much room as the larger one of them takes, so that an index that is too
  // large does not hit the next one.
  const size_t room = 2 * ((std::max(bytes, kGap) + kAlign - 1) / kAlign * kAlign);
  const uintptr_t address = find_room(room);
  if (address == 0) return nullptr;
  m.allocations[address] = {bytes, room, kind, false, line, {}};
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
            Place(line)});
  a.freed = true, a.freed_at = Place(line);
  m.in_use -= a.bytes;
  const size_t first = (i->first - m.heap.begin) / kWordBytes,
               words = (a.bytes + kWordBytes - 1) / kWordBytes;
  clear(m.heap.states + first, words);
  clear(m.heap.words + first, words);
  clear(static_cast<char*>(address), a.bytes);
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
  if (r->kind == Region::Kind::kManagedVariable) return Memory::kManaged;
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
