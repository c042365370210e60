"""`byhand bench memory`: a contender that takes 80 MiB, and byhand, which does not."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from bench_support import only_peer
from cli_support import run

WASTEFUL_PEER = """
import numpy as np
from byhand.bench import numpy_peer, sampling

class Peer(numpy_peer.Peer):
    version = "wasteful"

    def kernel(self, case, batch):
        if case.op != "tanh":
            return None
        return sampling.KernelJob(lambda x: x + np.ones(batch * 5 * 2**18)[0], case, batch)
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="resets a peak as Linux does")
def test_what_a_call_takes_beside_its_arrays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With 8 images, the contender makes an array of 80 MiB, beside arrays of less than 1 MB.

    The call for one image makes an array of 10 MiB and frees it. The memory is measured after that.
    """
    only_peer("wasteful", WASTEFUL_PEER, tmp_path, monkeypatch)
    path = tmp_path / "memory.json"
    options = ["--op", "tanh", "--op", "relu", "--batch", "8", "--threads", "1", "--json", path]
    result = run("bench", "memory", "--peers", "wasteful", *options)
    assert "tanh MLP 128" in result.stdout
    found = {row["case"]["label"]: row for row in json.loads(path.read_text())["results"]}
    ours, theirs = found["tanh MLP 128"]["entries"]
    assert (ours["contender"], theirs["contender"]) == ("byhand", "wasteful")
    assert ours["workspace"] < 4 * 2**20 and 76 * 2**20 < theirs["workspace"] < 84 * 2**20
    assert found["tanh MLP 128"]["bytes"] == 2 * 8 * 128 * 4
    assert [entry["contender"] for entry in found["relu MLP 128"]["entries"]] == ["byhand"]
