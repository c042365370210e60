#include "core/scratch.h"

#include <algorithm>
#include <cstdlib>
#include <new>
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

Block make_block(size_t size) {
  size = (std::max(size, kSmallestBlock) + kAlignment - 1) / kAlignment * kAlignment;
  char* data = static_cast<char*>(std::aligned_alloc(kAlignment, size));
  if (data == nullptr) throw std::bad_alloc();
  return {data, size};
}

// A block never moves in memory while a frame is open. When the last frame closes, several blocks are
// replaced by one block of their total size, so that the next call finds a single block. A block that would
// make this total larger than kMostKept is freed and does not count.
struct Stack {
  std::vector<Block> blocks;
  size_t block = 0;  // the index of the block in use
  size_t used = 0;   // the number of bytes in use of that block
  int frames = 0;

  ~Stack() { clear(); }
  void clear() {
    for (const Block& b : blocks) std::free(b.data);
    blocks.clear();
  }
};

thread_local Stack stack;

}  // namespace

ScratchFrame::ScratchFrame() : block_(stack.block), used_(stack.used) { ++stack.frames; }

ScratchFrame::~ScratchFrame() {
  stack.block = block_;
  stack.used = used_;
  if (--stack.frames > 0) return;
  if (stack.blocks.size() == 1 && stack.blocks[0].size <= kMostKept) return;
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

void* ScratchFrame::allocate_bytes(int64_t count, size_t size) {
  size_t bytes;
  if (count < 0 || __builtin_mul_overflow(static_cast<size_t>(count), size, &bytes) ||
      bytes > PTRDIFF_MAX / 2)
    throw std::bad_alloc();
  bytes = (bytes + kAlignment - 1) / kAlignment * kAlignment;
  while (stack.block < stack.blocks.size() && stack.used + bytes > stack.blocks[stack.block].size) {
    ++stack.block;
    stack.used = 0;
  }
  if (stack.block == stack.blocks.size()) stack.blocks.push_back(make_block(bytes));
  char* data = stack.blocks[stack.block].data + stack.used;
  stack.used += bytes;
  return data;
}

}  // namespace byhand
