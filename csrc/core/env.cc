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

// Returns the value of `text` if it is a whole number of at least 1, otherwise 0. A number beyond INT_MAX
// becomes INT_MAX.
int positive_number(std::string_view text) {
  int value = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || stop != text.data() + text.size()) return 0;
  if (error == std::errc::result_out_of_range && text[0] != '-') return INT_MAX;
  return std::max(value, 0);
}

// Returns the first number of OMP_NUM_THREADS. OpenMP allows blanks, and a list with one number per nesting
// level. The first number belongs to the outermost level.
std::string_view first_level(std::string_view text) {
  text = text.substr(0, text.find(','));
  const size_t begin = text.find_first_not_of(" \t"), end = text.find_last_not_of(" \t");
  return begin == text.npos ? "" : text.substr(begin, end - begin + 1);
}

}  // namespace

int num_threads(int most) {
  if (const char* text = get(kOwn)) {
    const int count = positive_number(text);
    require(count >= 1 && count <= most, "environment variable ", kOwn, " must be a whole number from 1 to ",
            most, ", got \"", text, "\"; unset it to use every processor");
    return count;
  }
  const char* const text = get("OMP_NUM_THREADS");
  return text ? std::min(positive_number(first_level(text)), most) : 0;
}

std::string isa() {
  const char* text = get("BYHAND_ISA");
  return text ? text : "";
}

}  // namespace byhand::env
