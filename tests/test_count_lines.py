"""tools/count_lines.py: which lines count as code."""

from __future__ import annotations

from count_lines import cpp_lines, parts, python_lines

PYTHON = '''\
"""A module,
of two lines."""

import os  # counts

class A:
    """Does not count."""

    x = """counts
    twice"""
    """A docstring of x."""

    # does not count
    def f(self) -> str:
        "Does not count."
        return f"""{os.name}
        counts, too"""
'''

CPP = r"""
// does not count \
   nor does this
/* nor
   this */ int x = 0; // counts

#include <a.h>  /* counts */
const char* s = "// counts"; /* not
    this */
const char c = '"'; int y = 1'000'000; // counts
define(R"x(A docstring
)" that does not count
// )x");
"""


def test_python() -> None:
    assert python_lines(PYTHON) == 7
    assert python_lines("") == 0


def test_cpp() -> None:
    assert cpp_lines(CPP) == 6
    assert cpp_lines('// \'\n/* " */ int x; // "') == 1


def test_every_part_has_files() -> None:
    found = dict(parts())
    assert all(found.values())
    files = [path for paths in found.values() for path in paths]
    assert len(files) == len({path.resolve() for path in files})
