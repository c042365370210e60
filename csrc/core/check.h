// Errors. Bad input throws std::invalid_argument, which Python sees as ValueError; the message names the
// argument, its value and what would be right.
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>

namespace byhand {

template <class... Parts>
[[noreturn]] void fail(const Parts&... parts) {
  std::ostringstream message;
  (message << ... << parts);
  throw std::invalid_argument(message.str());
}

template <class... Parts>
void require(bool condition, const Parts&... parts) {
  if (!condition) [[unlikely]]
    fail(parts...);
}

}  // namespace byhand
