#include "core/scratch.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <new>
#include <thread>
#include <vector>

namespace byhand {
namespace {

constexpr size_t kAlignment = kCacheLineBytes;
constexpr size_t kSmallestBlock = size_t{1} << 20;  // the minimum size of a block, in bytes
constexpr size_t kMostKept = size_t{64} << 20;      // the largest number of bytes that a thread keeps

struct Block {
  char* data;
  size_t size;
};

std::atomic<size_t> total{0}, peak{0};  // the number of bytes of all blocks, now and at most

Block make_block(size_t size) {
  size = (std::max(size, kSmallestBlock) + kAlignment - 1) / kAlignment * kAlignment;
  char* data = static_cast<char*>(std::aligned_alloc(kAlignment, size));
  if (data == nullptr) throw std::bad_alloc();
  const size_t now = total.fetch_add(size, std::memory_order_relaxed) + size;
  size_t before = peak.load(std::memory_order_relaxed);
  while (now > before && !peak.compare_exchange_weak(before, now, std::memory_order_relaxed)) {
  }
  return {data, size};
}

void free_block(const Block& b) {
  std::free(b.data);
  total.fetch_sub(b.size, std::memory_order_relaxed);
}

// A block never moves in memory while a frame is open. When the last frame closes, several blocks are
// replaced by one block of their total size, so that the next call finds a single block. A block that would
// make this total larger than kMostKept is freed and does not count.
struct Stack {
  std::vector<Block> blocks;
  size_t block = 0;  // the index of the block in use
  size_t used = 0;   // the number of bytes in use of that block
  int frames = 0;

  // Locked by the thread that owns the stack while it has an open frame, and by release_scratch.
  std::atomic<bool> locked{false};
  std::atomic<bool> owned{true};  // by a thread that lives
  Stack* next = nullptr;

  bool try_lock() { return !locked.exchange(true, std::memory_order_acquire); }
  void lock() {
    while (!try_lock()) std::this_thread::yield();  // release_scratch is freeing the blocks
  }
  void unlock() { locked.store(false, std::memory_order_release); }

  void clear() {
    for (const Block& b : blocks) free_block(b);
    blocks.clear();
  }
};

// A list of all stacks, for release_scratch. Stacks are never removed from it: if a thread ends, a new one
// takes its stack over. So the list needs no lock, which a thread might hold while another one forks.
std::atomic<Stack*> stacks{nullptr};

Stack* take_stack() {
  for (Stack* s = stacks.load(std::memory_order_acquire); s != nullptr; s = s->next)
    if (!s->owned.exchange(true, std::memory_order_acquire)) return s;
  Stack* const made = new Stack;
  made->next = stacks.load(std::memory_order_relaxed);
  while (
      !stacks.compare_exchange_weak(made->next, made, std::memory_order_release, std::memory_order_relaxed)) {
  }
  return made;
}

// Gives the stack of a thread back when the thread ends. No frame may be opened in the thread afterwards.
struct Owner {
  Stack& stack = *take_stack();

  ~Owner() {
    stack.lock();
    stack.clear();
    stack.unlock();
    stack.owned.store(false, std::memory_order_release);
  }
};

// A pointer without a constructor is faster to read than an object with one, which may need to be made first.
constinit thread_local Stack* own = nullptr;

Stack& own_stack() {
  if (own == nullptr) {
    thread_local Owner owner;
    own = &owner.stack;
  }
  return *own;
}

// Replaces the blocks of a stack without frames by one block.
void join_blocks(Stack& stack) {
  size_t kept = 0;
  for (const Block& b : stack.blocks)
    if (b.size <= kMostKept - kept) kept += b.size;
  stack.clear();
  if (kept == 0) return;
  try {
    stack.blocks.push_back(make_block(kept));
  } catch (const std::bad_alloc&) {  // the next allocation tries again and reports the error
  }
}

}  // namespace

size_t release_scratch() {
  size_t bytes = 0;
  for (Stack* s = stacks.load(std::memory_order_acquire); s != nullptr; s = s->next) {
    if (!s->try_lock()) continue;
    for (const Block& b : s->blocks) bytes += b.size;
    s->clear();
    s->unlock();
  }
  return bytes;
}

size_t scratch_peak() {
  return peak.exchange(total.load(std::memory_order_relaxed), std::memory_order_relaxed);
}

ScratchFrame::ScratchFrame() {
  Stack& stack = own_stack();
  if (stack.frames++ == 0) stack.lock();
  block_ = stack.block, used_ = stack.used;
}

ScratchFrame::~ScratchFrame() {
  Stack& stack = own_stack();
  stack.block = block_;
  stack.used = used_;
  if (--stack.frames > 0) return;
  if (stack.blocks.size() > 1 || (stack.blocks.size() == 1 && stack.blocks[0].size > kMostKept))
    join_blocks(stack);
  stack.unlock();
}

void* ScratchFrame::allocate_bytes(int64_t count, size_t size) {
  size_t bytes;
  if (count < 0 || __builtin_mul_overflow(static_cast<size_t>(count), size, &bytes) ||
      bytes > PTRDIFF_MAX / 2)
    throw std::bad_alloc();
  Stack& stack = own_stack();
  bytes = (bytes + kAlignment - 1) / kAlignment * kAlignment;
  while (stack.block < stack.blocks.size() && stack.used + bytes > stack.blocks[stack.block].size) {
    ++stack.block;
    stack.used = 0;
  }
  if (stack.block == stack.blocks.size()) {
    stack.blocks.reserve(stack.blocks.size() + 1);  // before there is a block that could be lost
    stack.blocks.push_back(make_block(bytes));
  }
  char* data = stack.blocks[stack.block].data + stack.used;
  stack.used += bytes;
  return data;
}

}  // namespace byhand
