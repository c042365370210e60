#include "simt/shadow.h"

#include <algorithm>
#include <array>
#include <string>
#include <unordered_map>

#include "simt/block.h"
#include "simt/memory.h"

namespace simt {
namespace {

const char* verb(Access access) {
  return access == Access::kRead ? "reads" : access == Access::kWrite ? "writes" : "changes";
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

void check_races(const Region& r, Word& word, const Record& now, Access access, uintptr_t address) {
  const bool atomic = now.atomic;
  const auto races = [&](const Record& other) {
    if (is_shared(r) && other.block != current_block()->number) return false;  // each block has its own
    return (other.bytes & now.bytes) && !(atomic && other.atomic) && !is_ordered(other);
  };
  for (const Record* write : {&word.write, &word.atomic_write})
    if (races(*write) && !(write->atomic && has_acquired(address))) {
      if (access != Access::kRead || !write->atomic) report_race(r, address, *write, true, access, now.place);
      if (!doubtful.region) doubtful = {&r, address, *write, now.place};
    }
  if (access != Access::kRead) {
    for (const Record& read : word.reads)
      if (races(read)) report_race(r, address, read, false, access, now.place);
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

// A shadow word has room for one write and two reads. If threads use different bytes of a word in a launch,
// each byte has a shadow word here. The number of such words is limited, because they are large.
using ByteWords = std::array<Word, kWordBytes>;
constexpr size_t kMostSplitWords = 1 << 18;
std::unordered_map<const Word*, ByteWords>& split_words() {
  static auto& all = *new std::unordered_map<const Word*, ByteWords>;
  return all;
}

ByteWords& split(Word& word) {
  ByteWords& parts = split_words()[&word];
  for (unsigned i = 0; i < kWordBytes; ++i) {
    const auto part_of = [i](const Record& r) {
      Record part = r;
      part.bytes &= static_cast<uint8_t>(1u << i);
      return part;
    };
    parts[i] = {
        part_of(word.write), part_of(word.atomic_write), {part_of(word.reads[0]), part_of(word.reads[1])}};
  }
  for (Record* r : {&word.write, &word.reads[0]}) r->is_split = r->launch == launch_number();
  return parts;
}

void check_word(const Region& r, Word& word, uint8_t bytes, Access access, uintptr_t address, Place place) {
  Record now{launch_number(),
             current_block()->number,
             current_block()->epoch,
             current_clock(),
             place,
             static_cast<uint16_t>(current_thread_number()),
             bytes,
             access == Access::kAtomic};
  const auto is_split = [&](const Record& old) { return old.launch == now.launch && old.is_split; };
  const auto differs = [&](const Record& old) { return old.launch == now.launch && old.bytes != bytes; };
  const bool was_split = is_split(word.write) || is_split(word.reads[0]);
  if (!was_split) {
    const bool must_split =
        access == Access::kRead ? differs(word.reads[0]) || differs(word.reads[1]) : differs(word.write);
    if (!must_split || split_words().size() >= kMostSplitWords)
      return check_races(r, word, now, access, address);
  }
  ByteWords& parts = was_split ? split_words()[&word] : split(word);
  for (unsigned i = 0; i < kWordBytes; ++i) {
    if (!(bytes >> i & 1)) continue;
    now.bytes = static_cast<uint8_t>(1u << i);
    check_races(r, parts[i], now, access, address);
  }
  if (access == Access::kRead) return;
  now.bytes = bytes, now.is_split = true;
  word.write = now;  // for check_host_access
}

[[noreturn]] void report_bounds(const Region& r, uintptr_t address, size_t bytes, Access access,
                                Place place) {
  report_missing(r, address,
                 std::string(in_kernel() ? "A thread " : "The host ") + verb(access) + " " +
                     bytes_text(bytes) + " " + place_in(r, address) + ".",
                 place);
}

// A copy of a structure reads its padding, too, which nobody has written. So bytes that are not initialised
// are a finding only if too many of them lie side by side for padding: half of what is read, or 8.
void check_initialized(const Region& r, uintptr_t address, size_t bytes, Access access, Place place) {
  const size_t too_many = std::clamp<size_t>(bytes / 2, 1, 8);
  size_t missing = 0;
  for (uintptr_t at = address; at < address + bytes; ++at) {
    const uintptr_t offset = at - r.begin;
    missing = r.states[offset / kWordBytes] >> offset % kWordBytes & 1 ? 0 : missing + 1;
    if (missing == too_many)
      report(
          {"uninitialized",
           "A thread " + std::string(verb(access)) + " a word " + place_in(r, at + 1 - missing) +
               ", which nobody has written" +
               (is_shared(r) ? " yet in this block. If another thread writes it, a barrier is missing" : "") +
               ".",
           place});
  }
}

void check_device_access(const Region& r, uintptr_t address, size_t bytes, Access access, bool natural,
                         Place place) {
  if (access != Access::kRead) report_doubtful_read();
  if (r.kind == Region::Kind::kConstant && access != Access::kRead)
    report({"constant-write",
            "A kernel " + std::string(verb(access)) +
                " a __constant__ variable. Only the host may, with cudaMemcpyToSymbol.",
            place});
  // Values of 16 bytes may be structures of two numbers. For them, the compiler calls check_alignment.
  if (natural) check_alignment(address, std::min<size_t>(bytes, 8), place);
  if (address + bytes > r.end) report_bounds(r, address, bytes, access, place);
  bool is_checked = false;
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
    if (access != Access::kWrite && !is_checked && (state & mask) != mask) {
      check_initialized(r, address, bytes, access, place);
      is_checked = true;
    }
    if (access != Access::kRead) state |= mask;
    if (r.kind != Region::Kind::kConstant) check_word(r, r.words[word], mask, access, at, place);
    at += last - first;
  }
}

// The host may use its own memory, and managed and pinned memory that no kernel or copy uses meanwhile.
void check_host_access(const Region& r, uintptr_t address, size_t bytes, Access access, Place place) {
  if (is_shared(r)) return;  // the initial value of a variable in the section
  const auto* const i = r.kind == Region::Kind::kHeap ? allocation_at(address) : nullptr;
  if (r.kind != Region::Kind::kManagedVariable && (!i || is_device(i->second.kind)))
    report({"device-pointer",
            "The host " + std::string(verb(access)) + " memory of the device, " + place_in(r, address) +
                ". Copy it with cudaMemcpy" +
                (r.kind == Region::Kind::kHeap ? "." : "ToSymbol or cudaMemcpyFromSymbol."),
            place});
  const auto runs = [&](const Record& other, uintptr_t at) {
    if (other.launch > memories().waited_for)
      report({"host-too-early",
              "The host " + std::string(verb(access)) + " memory " + place_in(r, at) +
                  ". A kernel or a copy that uses it on line " + std::to_string(other.place.text().line) +
                  " may still run. Call cudaDeviceSynchronize() first.",
              place});
  };
  for (uintptr_t at = address; at < address + bytes; ++at) {
    const uintptr_t offset = at - r.begin;
    if (at >= r.end || !(r.states[offset / kWordBytes] >> (4 + offset % kWordBytes) & 1))
      report_bounds(r, at, bytes - (at - address), access, place);
    const Word& word = r.words[offset / kWordBytes];
    runs(word.write, at);
    if (access != Access::kRead)
      for (const Record& read : word.reads) runs(read, at);
  }
  if (access == Access::kRead) add_to_results(reinterpret_cast<const void*>(address), bytes);
}

// Reports an access to memory that is no memory of the device.
[[noreturn]] void report_foreign(uintptr_t address, size_t bytes, Access access, Place place) {
  if (current_thread()->fibre.overflows(reinterpret_cast<uintptr_t>(__builtin_frame_address(0))))
    report_stack_overflow();
  if (address < 4096)
    report(
        {"null-pointer", "A thread " + std::string(verb(access)) + " memory through a null pointer.", place});
  const std::string variable = variable_at(address);
  const bool is_variable = variable != kUnknownVariable;
  // An index that is too large, or negative, leads to memory beside a region.
  constexpr uintptr_t kNear = 4096;
  const Memories& m = memories();
  for (const Region* r : {&m.shared, &m.dynamic, &m.device, &m.managed, &m.constant, &m.read_only})
    if (!is_variable && r->begin != r->end && address - (r->begin - kNear) < r->end - r->begin + 2 * kNear)
      report({"out-of-bounds",
              "A thread " + std::string(verb(access)) + " " + bytes_text(bytes) + " " +
                  (address < r->begin ? bytes_text(r->begin - address) + " before the first"
                                      : bytes_text(address - r->end) + " behind the last") +
                  " of the " +
                  (is_shared(*r)      ? "__shared__"
                   : r == &m.device   ? "__device__"
                   : r == &m.managed  ? "__managed__"
                   : r == &m.constant ? "__constant__"
                                      : "const") +
                  " variables.",
              place});
  report({"host-pointer",
          "A thread " + std::string(verb(access)) + " " + bytes_text(bytes) + " at " + hexadecimal(address) +
              ", which is " +
              (is_variable ? "in the host's " + variable
                           : "memory of the host or "
                             "of another thread") +
              ". A kernel may use memory of cudaMalloc, its own variables, and __device__, "
              "__constant__ and __shared__ ones.",
          place});
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

void check_alignment(uintptr_t address, size_t alignment, Place place) {
  if (address % alignment == 0) return;
  if (const Region* const r = region_of(address))
    report({"misaligned",
            "A thread uses an address " + place_in(*r, address) +
                ". For this type, the address must be a multiple of " + std::to_string(alignment) + " bytes.",
            place});
}

void plain_access(const void* pointer, size_t bytes, size_t alignment, bool writes, Line line) {
  const uintptr_t address = reinterpret_cast<uintptr_t>(pointer);
  check_alignment(address, alignment, Place(line));
  check_access(address, bytes, writes ? Access::kWrite : Access::kRead, false, Place(line));
}

void report_doubtful_read() {
  if (doubtful.region)
    report_race(*doubtful.region, doubtful.address, doubtful.other, true, Access::kRead, doubtful.place);
}

void forgive_reads(uintptr_t address, size_t bytes) {
  if (doubtful.region && doubtful.address - address < bytes) doubtful = {};
  const Region* const r = region_of(address);
  if (!r || !r->words) return;
  const auto forgive = [](Word& word) {
    for (Record& read : word.reads)
      if (read.launch == launch_number() && read.block == current_block()->number &&
          read.thread == current_thread_number())
        read.atomic = true;
  };
  for (uintptr_t at = address; at < address + bytes && at < r->end; at += kWordBytes) {
    Word& word = r->words[(at - r->begin) / kWordBytes];
    forgive(word);
    if (const auto parts = split_words().find(&word); parts != split_words().end())
      for (Word& part : parts->second) forgive(part);
  }
}

void forget_bytes() { split_words().clear(); }

void note_copy(const void* pointer, size_t bytes, Access access, Line line) {
  const uintptr_t address = reinterpret_cast<uintptr_t>(pointer);
  const Region* const r = region_of(address);
  if (is_device(*kind_of(pointer))) return;  // the host never touches it
  for (uintptr_t at = address; at < address + bytes; ++at) {
    Word& word = r->words[(at - r->begin) / kWordBytes];
    Record& record = access == Access::kRead ? word.reads[0] : word.write;
    record = {};
    record.launch = launch_number(), record.place = Place(line);
  }
}

}  // namespace simt
