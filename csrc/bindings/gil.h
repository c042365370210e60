// The GIL, Python's global lock: kernels run without it.
#pragma once

#include <pybind11/pybind11.h>

#include "ops/device.h"

namespace byhand::bindings {

// Releases the GIL for the lifetime of this object. Unlike pybind11's class, it is safe at the end of the
// process. If a daemon thread asks for the GIL while Python shuts down, Python before 3.14 ends this thread
// by unwinding its stack. If the unwinding left a destructor, C++ would call std::terminate. So this
// destructor stops the unwinding, and the thread sleeps until the process has ended.
class GilRelease {
 public:
  GilRelease() : state_(PyEval_SaveThread()) {}
  ~GilRelease();
  GilRelease(const GilRelease&) = delete;
  GilRelease& operator=(const GilRelease&) = delete;

 private:
  PyThreadState* state_;
};

// Calls work() without the GIL, so that other Python threads can run. `work` must not touch a Python object,
// not even a reference count.
template <class Work>
void without_gil(const Work& work) {
  const GilRelease release;
  work();
}

// The same, but keeps the GIL if the work takes the CPU only a few hundred nanoseconds, because releasing the
// GIL and taking it again would cost a good part of that time.
template <class Work>
void without_gil(const Device& device, double multiply_adds, const Work& work) {
  constexpr double kBrief = 10'000;
  if (multiply_adds < kBrief && &device == &cpu_device()) return work();
  without_gil(work);
}

}  // namespace byhand::bindings
