"""Compile a CUDA file for the emulator: compile_emulated.py OBJECT SOURCE.

CMake runs this script while it builds byhand, when byhand and its dependencies are not installed.
"""

from __future__ import annotations

import sys
import types
from pathlib import Path

ROOT = Path(__file__).parents[1]

# An empty package in place of byhand/__init__.py, which would import byhand._core.
package = types.ModuleType("byhand")
package.__path__ = [str(ROOT / "python" / "byhand")]
sys.modules["byhand"] = package

from byhand.simt.program import SimtError, compile_object  # noqa: E402

target, source = map(Path, sys.argv[1:])
try:
    compile_object(source, target, [ROOT / "csrc"], ["-fvisibility=hidden"])
except SimtError as error:
    sys.exit(str(error))
