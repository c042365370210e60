#include "simt/report.h"

#include <dlfcn.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <map>
#include <vector>

#include "simt/block.h"

namespace simt {
namespace {

std::string quoted(const std::string& text) {
  std::string json = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\')
      json += {'\\', c};
    else if (c == '\n')
      json += "\\n";
    else if (static_cast<unsigned char>(c) >= 0x20)
      json += c;
  }
  return json + "\"";
}

std::string triple(Extent e) {
  return "[" + std::to_string(e.x) + ", " + std::to_string(e.y) + ", " + std::to_string(e.z) + "]";
}

std::string where(const Place::Text& t) {
  if (t.file.empty()) return "unknown place";
  const std::string name = t.function.empty() ? "" : ", in " + t.function;
  return t.file + ":" + std::to_string(t.line) + name;
}

std::string json_place(const Place::Text& t) {
  return "\"file\": " + quoted(t.file) + ", \"line\": " + std::to_string(t.line) +
         ", \"function\": " + quoted(t.function);
}

// An argument of a command of the shell. Between single quotation marks, only they themselves are special.
std::string argument(const std::string& text) {
  std::string quoted_text = "'";
  for (const char c : text) quoted_text += c == '\'' ? "'\\''" : std::string(1, c);
  return quoted_text + "'";
}

// Removes the current folder from the front of a path, so that all findings name a file in the same way.
std::string shortened(const std::string& path) {
  char folder[4096];
  if (!getcwd(folder, sizeof folder)) return path;
  const std::string prefix = std::string(folder) + "/";
  return path.compare(0, prefix.size(), prefix) == 0 ? path.substr(prefix.size()) : path;
}

// The program, or the shared library, that an address belongs to.
struct Module {
  std::string file;
  uintptr_t base = 0;  // what the addresses in the file begin with
};
Module module_of(uintptr_t address) {
  Dl_info info{};
  void* extra = nullptr;
  if (!dladdr1(reinterpret_cast<void*>(address), &info, &extra, RTLD_DL_LINKMAP) || !extra) return {};
  const auto* const map = static_cast<const link_map*>(extra);
  if (map->l_name && *map->l_name) return {map->l_name, map->l_addr};
  char self[4096];
  const ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
  return {std::string(self, length > 0 ? static_cast<size_t>(length) : 0), map->l_addr};
}

}  // namespace

std::string variable_at(uintptr_t address) {
  const Module module = module_of(reinterpret_cast<uintptr_t>(&module_of));
  const std::string command = "nm -C -S --defined-only " + argument(module.file) + " 2>/dev/null";
  std::string found = kUnknownVariable;
  FILE* const pipe = popen(command.c_str(), "r");
  if (!pipe) return found;
  char line[4096], name[4096], digits[32], type;
  unsigned long long begin;
  while (fgets(line, sizeof line, pipe)) {
    // A symbol without a size, such as the end of a section, has one field less.
    if (sscanf(line, "%llx %31[0-9a-f] %c %4095[^\n]", &begin, digits, &type, name) != 4 ||
        strlen(digits) < 8 || strchr("tTwWrR", type))
      continue;
    const uintptr_t size = strtoull(digits, nullptr, 16);
    for (const uintptr_t base : {uintptr_t{0}, module.base})
      if (address - base - begin < size) {
        const char* const last = strrchr(name, ':');
        found = std::string("variable ") + (last ? last + 1 : name) + ", byte " +
                std::to_string(address - base - begin);
      }
  }
  pclose(pipe);
  return found;
}

std::string to_string(Extent e) {
  return "(" + std::to_string(e.x) + ", " + std::to_string(e.y) + ", " + std::to_string(e.z) + ")";
}

std::string hexadecimal(uintptr_t address) {
  char text[32];
  snprintf(text, sizeof text, "0x%llx", static_cast<unsigned long long>(address));
  return text;
}

// The lines that places name. They are never destroyed, because a finding may come at the very end.
static std::vector<Line>& lines() {
  static auto& all = *new std::vector<Line>;
  return all;
}

Place::Place(Line line) {
  static auto& ids = *new std::map<std::pair<const char*, int>, uint32_t>;
  uint32_t& id = ids[{line.file, line.number}];
  if (id == 0) {
    id = kIsLine | static_cast<uint32_t>(lines().size());
    lines().push_back(line);
  }
  id_ = id;
}

Place::Place(const void* instruction) {
  static const uintptr_t base = module_of(reinterpret_cast<uintptr_t>(&module_of)).base;
  const uintptr_t offset = reinterpret_cast<uintptr_t>(instruction) - base;
  if (offset < kIsLine) id_ = static_cast<uint32_t>(offset);
}

// addr2line, which belongs to every C++ compiler's tools, turns an address into a line.
Place::Text Place::text() const {
  if (id_ & kIsLine) {
    const Line line = lines()[id_ & ~kIsLine];
    return {shortened(line.file), "", line.number};
  }
  const Module module = module_of(reinterpret_cast<uintptr_t>(&module_of));
  if (!id_ || module.file.empty()) return {};
  const uintptr_t offset = id_ - 1;  // -1: of the call, not of the next line
  const std::string command =
      "addr2line -f -C -e " + argument(module.file) + " " + hexadecimal(offset) + " 2>/dev/null";
  Text text;
  FILE* const pipe = popen(command.c_str(), "r");
  if (!pipe) return text;
  char line[4096];
  for (int i = 0; i < 2 && fgets(line, sizeof line, pipe); ++i) {
    line[strcspn(line, "\n")] = 0;
    if (i == 0) {
      text.function = strcmp(line, "??") ? line : "";
    } else if (char* const colon = strrchr(line, ':'); colon && line[0] != '?') {
      text.line = atoi(colon + 1);
      text.file = shortened(std::string(line, colon));
    }
  }
  pclose(pipe);
  return text;
}

void report(const Finding& f) {
  static bool reporting = false;
  if (reporting) _exit(kFindingStatus);  // a signal arrived meanwhile
  reporting = in_emulator = true;
  fflush(stdout);
  const Place::Text at = f.place.text();
  const Running running = what_runs();
  std::string text = "simt: " + f.kind + ": " + f.message + "\n";
  std::string json = "{\"kind\": " + quoted(f.kind) + ", \"message\": " + quoted(f.message);
  if (running.kernel) {
    text += "  kernel  " + std::string(running.kernel) + "\n";
    json += ", \"kernel\": " + quoted(running.kernel);
    if (running.in_thread) {
      text += "  thread  " + to_string(running.thread.thread) + " of block " +
              to_string(running.thread.block) + "\n";
      json +=
          ", \"block\": " + triple(running.thread.block) + ", \"thread\": " + triple(running.thread.thread);
    }
  }
  text += "  at      " + where(at) + "\n";
  json += ", " + json_place(at);
  if (!f.other.empty()) {
    const Place::Text other = f.other_place.text();
    text += "  other   thread " + to_string(f.other_thread.thread) + " of block " +
            to_string(f.other_thread.block) + " " + f.other + "\n          at " + where(other) + "\n";
    json += ", \"other\": {\"did\": " + quoted(f.other) + ", \"block\": " + triple(f.other_thread.block) +
            ", \"thread\": " + triple(f.other_thread.thread) + ", " + json_place(other) + "}";
  }
  fputs(text.c_str(), stderr);
  fflush(stderr);
  if (const char* const path = getenv("SIMT_JSON"))
    if (FILE* const file = fopen(path, "a")) {
      fprintf(file, "%s}\n", json.c_str());
      fclose(file);
    }
  _exit(kFindingStatus);
}

}  // namespace simt
