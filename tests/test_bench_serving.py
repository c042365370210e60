"""`byhand bench serving`: a short run, and the end of a run if an answer is wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from byhand.bench import cli
from byhand.models import Model
from typer.testing import CliRunner, Result


def run(*arguments: str) -> Result:
    options = ["--model", "mlp", "--requests", "60", "--callers", "1,3", "--rounds", "1"]
    return CliRunner().invoke(cli.app, ["serving", *options, *arguments])


def test_all_answers_are_right() -> None:
    result = run()
    assert result.exit_code == 0, result.output
    assert "60 requests, 3 callers: 0 wrong answers" in result.output
    assert "requests/s" in result.output


def test_a_wrong_answer_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    right, calls = Model.outputs, iter(range(10**6))

    def outputs(self: Model, images: Any) -> Any:
        return right(self, images) + np.float32(next(calls) == 20)

    monkeypatch.setattr(Model, "outputs", outputs)
    result = run()
    assert result.exit_code == 1
    assert "3 callers: 1 wrong answers" in result.output
