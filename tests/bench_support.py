"""For tests of the benchmarks: a contender of the test's own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from byhand.bench import peers


def only_peer(name: str, source: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The contenders are byhand and `name`, whose Peer is in `source`, written to `folder`."""
    module = f"{name}_peer"
    (folder / f"{module}.py").write_text(source)
    monkeypatch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
    contender = peers.Contender(name, module, ("numpy",))
    monkeypatch.setattr(peers, "CONTENDERS", [*peers.CONTENDERS[:1], contender])
