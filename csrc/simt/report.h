// Findings. The first one is printed, and the program ends.
#pragma once

#include <stdint.h>

#include <string>

#include "simt/include/simt_api.h"

namespace simt {

// Where something happened in the program: at an instruction, or on a line. A place is small, because shadow
// memory has a lot of them.
class Place {
 public:
  Place() = default;
  explicit Place(const void* instruction);
  explicit Place(Line line);

  // "file.cu:12", and the function if it is known.
  struct Text {
    std::string file, function;
    int line = 0;
  };
  Text text() const;

 private:
  static constexpr uint32_t kIsLine = 1u << 31;
  // 0: unknown. With kIsLine: the number of a line, otherwise the offset of an instruction in the program.
  uint32_t id_ = 0;
};

struct Thread {
  Extent block, thread;
};

struct Finding {
  std::string kind;     // a word, such as "race"
  std::string message;  // whole sentences
  Place place;
  std::string other{};  // what the other thread did, such as "wrote it"
  Place other_place{};
  Thread other_thread{};
};

// Prints the finding to stderr, and as JSON to the file that SIMT_JSON names, and ends the program with the
// exit status 86. If a kernel runs, the finding names it with its block and thread.
[[noreturn]] void report(const Finding& finding);

// "variable x, byte 12", from the symbols of the program. A thread_local variable is named by its offset
// among those of the program.
std::string variable_at(uintptr_t address);
inline constexpr const char* kUnknownVariable = "memory";

std::string to_string(Extent extent);
std::string hexadecimal(uintptr_t address);

inline constexpr int kFindingStatus = 86;

}  // namespace simt
