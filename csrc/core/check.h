// Errors. Bad input throws std::invalid_argument, which becomes a ValueError in Python. The message names the
// argument, shows its value and says what is expected.
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>

namespace byhand {

// Throws std::invalid_argument. Its message is all parts, one after the other.
template <class... Parts>
[[noreturn]] void fail(const Parts&... parts) {
  std::ostringstream message;
  (message << ... << parts);
  throw std::invalid_argument(message.str());
}

// Calls fail(parts...) if the condition is false.
template <class... Parts>
void require(bool condition, const Parts&... parts) {
  if (!condition) [[unlikely]]
    fail(parts...);
}

}  // namespace byhand
