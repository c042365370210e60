// A fibre is a function that runs on a stack of its own and gives up control only when it asks to. Every CUDA
// thread of a block runs as one.
#pragma once

#include <stddef.h>
#include <stdint.h>

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

namespace simt {

class Fibre {
 public:
  Fibre();
  Fibre(const Fibre&) = delete;
  Fibre& operator=(const Fibre&) = delete;

  // Begins `entry` anew at the next call of resume(). `entry` must end with leave_for_good().
  void start(void (*entry)());
  // Runs the fibre until it calls leave() or leave_for_good(). Not to be called from a fibre.
  void resume();
  // Returns from resume(). The fibre goes on from here when it is resumed. To be called by the fibre itself.
  void leave();
  [[noreturn]] void leave_for_good();

  // Whether an address lies on the fibre's stack, or in the guard below it, where only a stack that is too
  // large leads. Every access to the guard fails. It is large, because a large array reaches far below the
  // stack.
  bool owns(uintptr_t address) const { return address - bottom_ < kStackBytes; }
  bool overflows(uintptr_t address) const { return bottom_ - kGuardBytes <= address && address < bottom_; }

 private:
  static constexpr uintptr_t kStackBytes = 256 << 10, kGuardBytes = 16 << 20;

  uintptr_t bottom_;
#if defined(__x86_64__)
  void *here_ = nullptr, *caller_ = nullptr;  // stack pointers
#else
  ucontext_t here_{}, caller_{};
#endif
  void* shadow_stack_ = nullptr;  // of AddressSanitizer
};

}  // namespace simt
