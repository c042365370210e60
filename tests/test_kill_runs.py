"""tools/kill_runs.py: processes that are killed at random moments lose nothing.

BYHAND_KILLS=100 pytest tests/test_kill_runs.py kills a hundred processes instead of a few.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "tools" / "kill_runs.py"


@pytest.mark.slow
def test_kill_runs() -> None:
    kills = int(os.environ.get("BYHAND_KILLS", "12"))
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--kills", str(kills)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": ":".join(p for p in sys.path if p)},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{kills} kills: nothing lost" in done.stdout
