#include "core/env.h"

#include <algorithm>
#include <charconv>
#include <climits>
#include <cstdlib>
#include <string_view>

#include "core/check.h"

namespace byhand::env {
namespace {

constexpr const char* kOwn = "BYHAND_NUM_THREADS";

const char* get(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr && *value != '\0' ? value : nullptr;
}

int thread_count(const char* name, std::string_view text, int most) {
  int value = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool whole = stop == text.data() + text.size() && !text.empty();
  if (whole && error == std::errc::result_out_of_range && text[0] != '-') value = INT_MAX;
  require(whole && value >= 1, "environment variable ", name, " must be a whole number of at least 1, got \"",
          text, "\"");
  require(value <= most || std::string_view(name) != kOwn, "environment variable ", name, " must be at most ",
          most, ", got \"", text, "\"");
  return std::min(value, most);
}

// OpenMP allows a list, one number a nesting level, and blanks; the outermost level is ours.
std::string_view first_level(std::string_view text) {
  text = text.substr(0, text.find(','));
  const size_t begin = text.find_first_not_of(" \t"), end = text.find_last_not_of(" \t");
  return begin == text.npos ? "" : text.substr(begin, end - begin + 1);
}

}  // namespace

int num_threads(int most) {
  if (const char* text = get(kOwn)) return thread_count(kOwn, text, most);
  if (const char* text = get("OMP_NUM_THREADS"))
    return thread_count("OMP_NUM_THREADS", first_level(text), most);
  return 0;
}

std::string isa() {
  const char* text = get("BYHAND_ISA");
  return text ? text : "";
}

}  // namespace byhand::env
