"""The error if a package is missing that an extra brings."""

from __future__ import annotations

import subprocess
import sys

import pytest

IMPORTS = {
    "byhand.sklearn": (
        "sklearn",
        'byhand.sklearn needs sklearn, .*: pip install "byhand[sklearn]"',
    ),
    "byhand.pictures": ("PIL", 'byhand.pictures needs PIL, .*: pip install "byhand[pictures]"'),
    "byhand.curves": ("matplotlib", 'drawing needs matplotlib, .*: pip install "byhand[cli]"'),
}


@pytest.mark.parametrize("module", IMPORTS)
def test_a_missing_package_names_its_extra(module: str) -> None:
    package, message = IMPORTS[module]
    code = f"import sys; sys.modules[{package!r}] = None; import byhand, {module}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    last = done.stderr.splitlines()[-1]
    start, end = message.split(".*")
    assert last.startswith(f"ModuleNotFoundError: {start}") and last.endswith(end), done.stderr
