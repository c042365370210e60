"""Turn CUDA C++ into C++ for the emulator. Only what no macro can express is rewritten.

- A launch `f<<<grid, block>>>(x)` becomes `::simt::launcher("f", line, {grid, block}, f)(x)`. If f
  is a template, a generic lambda that calls it takes its place, because a template has no address.
- `extern __shared__ float s[];` becomes a pointer to the emulator's buffer in a kernel, and
  another name of that buffer outside of functions.
- `__device__` in front of a variable becomes the name of a section, unless the variable is also
  `__managed__`. A variable that is `const`, also one with `__constant__`, belongs to another
  section, because it is read-only.

Line breaks are kept, so every statement stays on its line.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

_SKIPPED = re.compile(
    r"""//[^\n]*|/\*.*?\*/|R"(?P<d>[^()\\\s]*)\(.*?\)(?P=d)"|"(?:\\.|[^"\\\n])*"|(?<![0-9a-fA-F])'(?:\\.|[^'\\\n])*'""",
    re.DOTALL,
)
_OPEN, _CLOSE = "([{", ")]}"
_TEMPLATE_KERNEL = re.compile(
    r"\btemplate\s*<[^;{}]*?>[^;{}]*?\b__global__\b[^;{}()]*?(?:__launch_bounds__\s*\([^()]*\)[^;{}()]*?)?(\w+)\s*\("
)
_DYNAMIC_SHARED = re.compile(
    r"\bextern\s+(?:volatile\s+)?(?:(?:__align__|alignas)\s*\((?:[^()]|\([^()]*\))*\)\s*)?__shared__\s+"
    r"(?:(?:__align__|alignas)\s*\((?:[^()]|\([^()]*\))*\)\s*)?"
    r"([\w:<>\s]+?)\s*\b(\w+)\s*\[\s*\]\s*;"
)
_DEVICE = re.compile(r"\b(?:__device__|__constant__)\b")
_STATIC_SHARED = re.compile(r"\bstatic\s+(?=__shared__\b)|(?<=\b__shared__)\s+static\b")
_OPERATOR = re.compile(r"\boperator\s*(?:\(\s*\)|\[\s*\]|[^\w\s(]+)")
_DIRECTIVE = re.compile(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", re.MULTILINE)
_ATTRIBUTE = re.compile(
    r"\s*(?:__align__|alignas|__launch_bounds__|__attribute__)\s*\((?:[^()]|\([^()]*\))*\)"
)
_KEYWORD = re.compile(r"\b(?:return|if|else|for|while|do|case)$")
_NAMESPACE = re.compile(r"(?:\bnamespace(?:\s+[\w:]+)?|\bextern\s+)\s*$")
_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*"([^"\n]+)"', re.MULTILINE)


class TranslationError(ValueError):
    """A place in a program that cannot be translated.

    Parameters
    ----------
    message : str
        What is wrong.
    line : int
        The line, from 1.
    """

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.line = line


@dataclass(frozen=True)
class Launch:
    """A launch `kernel<<<configuration>>>`, by positions in the text."""

    begin: int
    kernel: str
    configuration: list[str]
    end: int


def blanked(text: str) -> str:
    """Replace the content of comments, strings and characters by spaces, and keep all positions.

    Parameters
    ----------
    text : str
        The program.
    """

    def blank(match: re.Match[str]) -> str:
        return re.sub(r"[^\n]", " ", match.group())

    return _SKIPPED.sub(blank, text)


def local_includes(text: str) -> list[str]:
    """Return the files that a program includes in quotation marks.

    Parameters
    ----------
    text : str
        The program.
    """
    return _INCLUDE.findall(text)


def kernel_templates(text: str) -> set[str]:
    """Return the names of the kernels that are function templates.

    Parameters
    ----------
    text : str
        The program.
    """
    return set(_TEMPLATE_KERNEL.findall(blanked(text)))


def translate(
    text: str,
    path: Path,
    included: Mapping[str, str] | None = None,
    templates: Collection[str] = (),
) -> str:
    """Translate a program or a header.

    Parameters
    ----------
    text : str
        The CUDA C++ code.
    path : Path
        Its path, which messages and findings name.
    included : mapping of str to str, optional
        Other paths for files that the text includes in quotation marks.
    templates : collection of str, optional
        The names of kernels of included files that are function templates.

    Returns
    -------
    str
        The C++ code, with the same lines after a first line that names the path.

    Raises
    ------
    TranslationError
        If a launch is not complete.
    """
    code = blanked(text)
    edits = [
        *_launches(text, code, {*templates, *kernel_templates(text)}),
        *_dynamic_shared(code),
        *_device(code),
        *(
            (m.start(), m.end(), "__attribute__((noinline))")
            for m in re.finditer(r"\b__noinline__\b", code)
        ),
    ]
    edits += [(m.start(), m.end(), " ") for m in _STATIC_SHARED.finditer(code)]
    for match in _INCLUDE.finditer(text):
        name = (included or {}).get(match.group(1))
        if name:
            edits.append((match.start(1), match.end(1), name))
    for begin, end, new in sorted(edits, reverse=True):
        lines = text.count("\n", begin, end) - new.count("\n")
        text = text[:begin] + new + "\n" * lines + text[end:]
    name = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'#line 1 "{name}"\n{text}'


def _line_of(code: str, position: int) -> int:
    return code.count("\n", 0, position) + 1


def _launches(text: str, code: str, templates: set[str]) -> Iterator[tuple[int, int, str]]:
    for match in re.finditer("<<<", code):
        launch = _launch_at(text, code, match.start())
        name = " ".join(launch.kernel.split())
        quoted = name.replace("\\", "\\\\").replace('"', '\\"')
        base = re.split(r"::", name.split("<")[0])[-1].strip()
        kinds = ("::dim3", "::dim3", "size_t", "::cudaStream_t")
        parts = [
            f"static_cast<{kind}>({part})"
            for kind, part in zip(kinds, launch.configuration, strict=False)
        ]
        where = f'"{quoted}", SIMT_LINE, ::simt::Configuration{{{", ".join(parts)}}}'
        if base in templates:
            call = f"[&](auto... simt_arguments) SIMT_PLAIN {{ {name}(simt_arguments...); }}"
            new = f"::simt::template_launcher({where}, {call})"
        else:
            new = f"::simt::launcher({where}, {name})"
        yield launch.begin, launch.end, new


def _launch_at(text: str, code: str, at: int) -> Launch:
    line = _line_of(code, at)
    begin = _kernel_begin(code, at)
    kernel = text[begin:at].strip()
    if not kernel:
        raise TranslationError("no kernel stands before <<<", line)
    parts, end = _split(text, code, at + 3, line)
    if not 2 <= len(parts) <= 4:
        raise TranslationError(
            f"{kernel}<<<...>>> needs a grid and a block, and may have shared bytes and a stream: "
            f"it has {len(parts)} arguments",
            line,
        )
    return Launch(begin, kernel, parts, end)


def _kernel_begin(code: str, end: int) -> int:
    """Return the position at which the expression that ends at `end` begins.

    The expression is a name such as `a::k<int>`, an element or a member of an object, a call, or
    anything in parentheses.
    """
    i = len(code[:end].rstrip())
    while True:
        if code[:i].endswith(">"):
            i = len(code[: _opening(code, i, "<", ">")].rstrip())
        while i > 0 and code[i - 1] in ")]":
            i = _opening(code, i, _OPEN, _CLOSE)
        name = re.search(r"\w*$", code[max(0, i - 200) : i])
        if name and not _KEYWORD.search(code[max(0, i - 200) : i]):
            i -= len(name.group())
        link = re.search(r"(?:\.|->|::)\s*$", code[max(0, i - 200) : i])
        if link is None:
            return i
        i = len(code[: i - len(link.group())].rstrip())


def _opening(code: str, end: int, opening: str, closing: str) -> int:
    """Return the position of the bracket that the one in front of `end` closes."""
    depth = 0
    for i in range(end - 1, -1, -1):
        depth += (code[i] in closing) - (code[i] in opening)
        if depth == 0:
            return i
    return 0


def _split(text: str, code: str, begin: int, line: int) -> tuple[list[str], int]:
    """Split the configuration at its commas. Return its parts and the position after `>>>`."""
    parts, depth, first, i = [], 0, begin, begin
    while i < len(code):
        if depth == 0 and code.startswith(">>>", i):
            parts.append(text[first:i].strip())
            return parts, i + 3
        if code[i] in _OPEN:
            depth += 1
        elif code[i] in _CLOSE:
            depth -= 1
        elif code[i] == "," and depth == 0:
            parts.append(text[first:i].strip())
            first = i + 1
        if depth < 0 or code[i] == ";":
            break
        i += 1
    raise TranslationError("a launch begins with <<< but has no >>>", line)


def _dynamic_shared(code: str) -> Iterator[tuple[int, int, str]]:
    for match in _DYNAMIC_SHARED.finditer(code):
        kind, name = match.group(1), match.group(2)
        if _is_in_function(code, match.start()):
            new = f"{kind}* const {name} = ({kind}*)::simt::dynamic_shared();"
        else:
            new = f'extern {kind} {name}[] __asm__("simt_dynamic_memory");'
        yield match.start(), match.end(), new


def _is_in_function(code: str, position: int) -> bool:
    """Return whether a position lies in braces other than those of namespaces."""
    depth, i = 0, position
    while i > 0:
        i -= 1
        depth += (code[i] == "}") - (code[i] == "{")
        if depth < 0:
            if not _NAMESPACE.search(code[max(0, i - 200) : i]):
                return True
            depth = 0
    return False


def _device(code: str) -> Iterator[tuple[int, int, str]]:
    """Find the marks of variables, and `__device__` in front of functions that call themselves.

    A declaration is one of a variable if a `;`, `=`, `[` or `{` comes before any `(`. In a
    macro, no declaration follows, so `__device__` is left as it is.
    """
    code = _DIRECTIVE.sub(lambda m: re.sub(r"[^\n]", " ", m.group()), code)
    for match in _DEVICE.finditer(code):
        rest = code[match.end() :][:2000]
        for hidden in (_ATTRIBUTE, _OPERATOR):  # their brackets and signs are none of a declaration
            rest = hidden.sub(lambda m: "x" * len(m.group()), rest)
        mark = re.search(r"[;=\[{(]", rest)
        if mark is None or "__global__" in rest[: mark.start()]:
            continue
        if mark.group() != "(":
            start = max(code.rfind(c, 0, match.start()) for c in ";{}")
            declaration = code[start + 1 : match.start()] + " " + rest[: mark.start()]
            if "__managed__" in declaration:
                yield match.start(), match.end(), ""
            elif _is_const(declaration):
                yield match.start(), match.end(), "__simt_const_variable__"
            elif match.group() == "__device__":
                yield match.start(), match.end(), "__simt_device_variable__"
        elif _calls_itself(code, match.end() + mark.start()):
            yield match.start(), match.end(), "__simt_recursive__"


def _is_const(declaration: str) -> bool:
    """Return whether a declaration of a variable, without its value, makes it constant."""
    after_pointer = declaration.rpartition("*")[2]
    return bool(re.search(r"\bconst\b", after_pointer) or re.search(r"\bconstexpr\b", declaration))


def _calls_itself(code: str, parenthesis: int) -> bool:
    """Return whether a function, whose parameters begin at `parenthesis`, calls itself."""
    name = re.search(r"(\w+)\s*$", code[max(0, parenthesis - 200) : parenthesis])
    body = re.compile(r"[;{]").search(code, _matching(code, parenthesis))
    if name is None or body is None or body.group() == ";":
        return False
    return bool(
        re.search(
            rf"\b{name.group(1)}\s*(?:<[^<>;{{}}]*>\s*)?\(",
            code[body.start() : _matching(code, body.start())],
        )
    )


def _matching(code: str, position: int) -> int:
    """Return the position behind the bracket that closes the one at `position`."""
    depth = 0
    for i in range(position, len(code)):
        depth += (code[i] in _OPEN) - (code[i] in _CLOSE)
        if depth == 0:
            return i + 1
    return len(code)
