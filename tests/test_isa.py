"""The choice of the instruction set, and what show_config() prints about it."""

import re

import byhand
import pytest
from byhand import runtime
from byhand._core import testing
from test_threads import run

ROWS = {row["name"]: row for row in runtime.config()["instruction_sets"]}


def test_the_sets_and_their_order() -> None:
    assert [name for name in ROWS if name != "lanes16"] == ["baseline", "avx2", "avx512"]
    assert ROWS["baseline"]["built"] and ROWS["baseline"]["runs_here"]
    runnable = [name for name, row in ROWS.items() if row["built"] and row["runs_here"]]
    assert testing.isas() == runnable


@pytest.mark.parametrize("name", testing.isas())
def test_environment_forces_an_instruction_set(name: str) -> None:
    result = run("from byhand._core import testing; print(testing.isa())", BYHAND_ISA=name)
    assert result.stdout.strip() == name


@pytest.mark.slow
def test_the_best_that_runs_is_the_default() -> None:
    result = run("from byhand._core import testing; print(testing.isa())")
    best = [name for name in testing.isas() if not ROWS[name]["for_tests"]][-1]
    assert result.stdout.strip() == best


@pytest.mark.parametrize("name", ["sse9", "AVX2", "baseline "])
def test_an_unknown_instruction_set_is_an_error(name: str) -> None:
    result = run("import byhand", BYHAND_ISA=name)
    assert result.returncode != 0
    assert "BYHAND_ISA" in result.stderr and f'"{name}"' in result.stderr
    assert f"one of {', '.join(ROWS)}, got" in result.stderr
    with pytest.raises(ValueError, match="name must be one of"):
        testing.set_isa(name)


def test_set_isa_changes_and_restores(isa: str) -> None:
    assert testing.isa() == isa
    active = [row["name"] for row in runtime.config()["instruction_sets"] if row["active"]]
    assert active == [isa]


def test_every_set_that_runs_here_is_tested() -> None:
    """The fixture `isa` takes its values from testing.isas(), so tests run on all of these sets."""
    assert testing.isas() == [n for n, row in ROWS.items() if row["tested"] == "instructions"]
    assert all(row["built"] for row in ROWS.values() if row["tested"])
    assert [name for name, row in ROWS.items() if row["for_tests"]] in ([], ["lanes16"])
    if "lanes16" in ROWS and ROWS["avx512"]["built"]:
        assert ROWS["avx512"]["tested"]  # at least in its plain C++ imitation


def test_show_config_tells_everything(capsys: pytest.CaptureFixture[str]) -> None:
    byhand.show_config()
    text = capsys.readouterr().out
    assert byhand.__version__ in text
    for row in runtime.config()["instruction_sets"]:
        assert row["name"] in text
    assert text.count("active") == 1
    assert f"{byhand.get_num_threads()} of" in text
    (gpu,) = [line for line in text.splitlines() if line.startswith("cuda   ")]
    assert gpu[18:].startswith(byhand.cuda.why_not() or byhand.cuda.device_name())


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"built": False}, "not in this build"),
        ({"tested": "geometry"}, "this CPU lacks it: tests here run an imitation"),
        ({"tested": None}, "this CPU lacks it: tests here run no part of it"),
        ({"runs_here": True}, "built, runs here$"),
        ({"runs_here": True, "active": True}, "built, runs here, active$"),
        ({"runs_here": True, "for_tests": True}, "an imitation of avx512, for tests"),
    ],
)
def test_show_config_of_other_machines(
    row: dict[str, object],
    says: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    plain = {"name": "avx9", "built": True, "runs_here": False, "active": False}
    made_up = plain | {"for_tests": False, "tested": None} | row
    config = runtime.config() | {"instruction_sets": [made_up]}
    monkeypatch.setattr(runtime, "config", lambda: config)
    byhand.show_config()
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("avx9")]
    assert re.search(says, line)
