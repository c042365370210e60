// Errors. Bad input throws std::invalid_argument, which becomes a ValueError in Python. The message names the
// argument, shows its value and says what is expected.
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>

namespace byhand {

// Throws a message made of all the parts.
template <class... Parts>
[[noreturn]] void fail(const Parts&... parts) {
  std::ostringstream message;
  (message << ... << parts);
  throw std::invalid_argument(message.str());
}

// The same, unless the condition holds.
template <class... Parts>
void require(bool condition, const Parts&... parts) {
  if (!condition) [[unlikely]]
    fail(parts...);
}

}  // namespace byhand
