"""The choice of the instruction set, and what show_config() prints about it."""

import platform
import re
import shutil
from pathlib import Path

import byhand
import pytest
from byhand import runtime
from byhand._core import testing
from test_cuda_build import configure
from test_threads import run

ROWS = {row["name"]: row for row in runtime.config()["instruction_sets"]}


def test_the_sets_and_their_order() -> None:
    """Only the sets of the architecture are listed."""
    own = {"x86_64": ["avx2", "avx512"], "aarch64": ["neon"], "arm64": ["neon"]}
    sets = ["baseline", *own[platform.machine()]]
    assert [name for name in ROWS if name != "lanes16"] == sets
    assert ROWS["baseline"]["runs_here"]
    assert "neon" not in ROWS or ROWS["neon"]["runs_here"]  # every AArch64 CPU has NEON
    assert testing.isas() == [name for name, row in ROWS.items() if row["runs_here"]]


@pytest.mark.parametrize("name", testing.isas())
def test_environment_forces_an_instruction_set(name: str) -> None:
    result = run("from byhand._core import testing; print(testing.isa())", BYHAND_ISA=name)
    assert result.stdout.strip() == name


@pytest.mark.slow
def test_the_best_that_runs_is_the_default() -> None:
    result = run("from byhand._core import testing; print(testing.isa())")
    best = [name for name in testing.isas() if not ROWS[name]["for_tests"]][-1]
    assert result.stdout.strip() == best


@pytest.mark.parametrize("name", ["sse9", "AVX2", "NEON", "baseline "])
def test_an_unknown_instruction_set_is_an_error(name: str) -> None:
    result = run("import byhand", BYHAND_ISA=name)
    assert result.returncode != 0
    assert "BYHAND_ISA" in result.stderr and f'"{name}"' in result.stderr
    assert f"one of {', '.join(ROWS)}, got" in result.stderr
    with pytest.raises(ValueError, match="name must be one of"):
        testing.set_isa(name)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("compiler", "definitions", "says"),
    [
        (
            "g++",
            ["CMAKE_CXX_FLAGS=-m32"],
            "byhand needs a 64-bit target, such as x86-64 or AArch64",
        ),
        (
            "clang++-14",
            ["CMAKE_CXX_COMPILER_TARGET=powerpc64-linux-gnu", "CMAKE_SYSTEM_NAME=Linux"],
            "byhand needs a little-endian target, such as x86-64 or AArch64",
        ),
        ("g++", ["CMAKE_OSX_ARCHITECTURES=x86_64;arm64"], "is x86_64;arm64, but byhand is built"),
    ],
)
def test_targets_that_the_build_refuses(
    compiler: str, definitions: list[str], says: str, tmp_path: Path
) -> None:
    if platform.machine() != "x86_64" or shutil.which(compiler) is None:
        pytest.skip(f"needs {compiler} on x86-64")
    # CMake's checks of the compiler need not link, because libraries for the target may be missing.
    checks = "CMAKE_TRY_COMPILE_TARGET_TYPE=STATIC_LIBRARY"
    assert says in configure(tmp_path, f"CMAKE_CXX_COMPILER={compiler}", checks, *definitions)


def test_set_isa_changes_and_restores(isa: str) -> None:
    assert testing.isa() == isa
    active = [row["name"] for row in runtime.config()["instruction_sets"] if row["active"]]
    assert active == [isa]


def test_every_set_that_runs_here_is_tested() -> None:
    """The fixture `isa` takes its values from testing.isas(), so tests run on all of these sets."""
    assert testing.isas() == [n for n, row in ROWS.items() if row["tested"] == "instructions"]
    assert [name for name, row in ROWS.items() if row["for_tests"]] in ([], ["lanes16"])
    if "lanes16" in ROWS and "avx512" in ROWS:
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
    plain = {"name": "avx9", "runs_here": False, "active": False}
    made_up = plain | {"for_tests": False, "tested": None} | row
    config = runtime.config() | {"instruction_sets": [made_up]}
    monkeypatch.setattr(runtime, "config", lambda: config)
    byhand.show_config()
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("avx9")]
    assert re.search(says, line)
