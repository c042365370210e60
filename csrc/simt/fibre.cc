#include "simt/fibre.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) && !defined(__SANITIZE_ADDRESS__)
#define __SANITIZE_ADDRESS__ 1  // as GCC does
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

#if defined(__x86_64__)
// simt_switch(from, to) stores the registers that a call must preserve on the stack, stores the stack pointer
// at `from`, and goes on where the stack `to` was left. glibc's swapcontext does the same, but with two
// system calls, which take ten times as long.
extern "C" void simt_switch(void** from, void* to);
asm(R"(
.text
.globl simt_switch
.hidden simt_switch
.type simt_switch, @function
simt_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size simt_switch, .-simt_switch
)");
#endif

namespace simt {
namespace {

// AddressSanitizer must know which stack is in use.
void* caller_stack;  // the stack of the scheduler, which resumes all fibres
size_t caller_stack_bytes;

void begin_switch([[maybe_unused]] void** shadow, [[maybe_unused]] const void* bottom,
                  [[maybe_unused]] size_t bytes) {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(shadow, bottom, bytes);
#endif
}

void end_switch([[maybe_unused]] void* shadow, [[maybe_unused]] bool in_fibre) {
#if defined(__SANITIZE_ADDRESS__)
  const void* bottom;
  size_t bytes;
  __sanitizer_finish_switch_fiber(shadow, &bottom, &bytes);
  if (in_fibre) caller_stack = const_cast<void*>(bottom), caller_stack_bytes = bytes;
#endif
}

void (*first_function)();  // of the fibre that is resumed for the first time

void first() {
  end_switch(nullptr, true);
  first_function();
}

}  // namespace

Fibre::Fibre() {
  // The guard takes addresses, but no memory.
  void* const memory =
      mmap(nullptr, kGuardBytes + kStackBytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) abort();
  bottom_ = reinterpret_cast<uintptr_t>(memory) + kGuardBytes;
  if (mprotect(reinterpret_cast<void*>(bottom_), kStackBytes, PROT_READ | PROT_WRITE) != 0) abort();
}

void Fibre::start(void (*entry)()) {
  first_function = entry;  // all fibres of a block begin with the same function
#if defined(__x86_64__)
  // The stack of a fibre that was left, from low to high addresses: six registers, the address at which it
  // goes on, and room that keeps the stack aligned.
  void** top = reinterpret_cast<void**>(bottom_ + kStackBytes) - 8;
  memset(top, 0, 8 * sizeof(void*));
  top[6] = reinterpret_cast<void*>(&first);
  here_ = top;
#else
  getcontext(&here_);
  here_.uc_stack.ss_sp = reinterpret_cast<void*>(bottom_);
  here_.uc_stack.ss_size = kStackBytes;
  here_.uc_link = nullptr;
  makecontext(&here_, &first, 0);
#endif
}

void Fibre::resume() {
  void* shadow = nullptr;
  begin_switch(&shadow, reinterpret_cast<void*>(bottom_), kStackBytes);
#if defined(__x86_64__)
  simt_switch(&caller_, here_);
#else
  swapcontext(&caller_, &here_);
#endif
  end_switch(shadow, false);
}

void Fibre::leave() {
  begin_switch(&shadow_stack_, caller_stack, caller_stack_bytes);
#if defined(__x86_64__)
  simt_switch(&here_, caller_);
#else
  swapcontext(&here_, &caller_);
#endif
  end_switch(shadow_stack_, true);
}

void Fibre::leave_for_good() {
  begin_switch(nullptr, caller_stack, caller_stack_bytes);
#if defined(__x86_64__)
  simt_switch(&here_, caller_);
#else
  swapcontext(&here_, &caller_);
#endif
  abort();  // nobody resumes a fibre that has ended
}

}  // namespace simt
