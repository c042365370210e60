#include "bindings/gil.h"

#include <unistd.h>

namespace byhand::bindings {

GilRelease::~GilRelease() {
  try {
    PyEval_RestoreThread(state_);
  } catch (...) {  // Python unwinds the stack of this thread, as pthread_exit does
    for (;;) pause();
  }
}

}  // namespace byhand::bindings
