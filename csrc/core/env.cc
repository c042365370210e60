#include "core/env.h"

#include <charconv>
#include <cstdlib>
#include <cstring>

#include "core/check.h"

namespace byhand::env {
namespace {

const char* get(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr && *value != '\0' ? value : nullptr;
}

int thread_count(const char* name, const char* text, const char* end, int most) {
  int value = 0;
  const auto [stop, error] = std::from_chars(text, end, value);
  require(error == std::errc() && stop == end && value >= 1 && value <= most, "environment variable ", name,
          " must be a whole number of 1 to ", most, ", got \"", text, "\"");
  return value;
}

}  // namespace

int num_threads(int most) {
  if (const char* text = get("BYHAND_NUM_THREADS"))
    return thread_count("BYHAND_NUM_THREADS", text, text + std::strlen(text), most);
  // OpenMP allows a list, one number a nesting level; the outermost is ours.
  if (const char* text = get("OMP_NUM_THREADS"))
    return thread_count("OMP_NUM_THREADS", text, text + std::strcspn(text, ","), most);
  return 0;
}

std::string isa() {
  const char* text = get("BYHAND_ISA");
  return text ? text : "";
}

}  // namespace byhand::env
