"""tools/check_wheel.py names what is wrong with a wheel, and the files of a release agree."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import byhand
import check_wheel
import pytest

ROOT = Path(__file__).parents[1]
LINUX = "byhand-0.1.0-cp311-cp311-manylinux_2_34_x86_64.whl"
SETS = {"baseline", "avx2", "avx512"}


def make_wheel(path: Path, names: set[str]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, "")
    return path


def test_a_good_wheel(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path / LINUX, check_wheel.NEEDED)
    assert check_wheel.problems(wheel, SETS) == []


@pytest.mark.parametrize(
    ("name", "files", "sets", "problem"),
    [
        (LINUX, check_wheel.NEEDED, {"baseline"}, "its library has kernels for ['baseline']"),
        (LINUX, check_wheel.NEEDED - {"byhand/py.typed"}, SETS, "byhand/py.typed is missing"),
        (LINUX, check_wheel.NEEDED | {"byhand/a.o"}, SETS, "byhand/a.o should not be there"),
        (LINUX, check_wheel.NEEDED | {"tests/a.py"}, SETS, "tests/a.py should not be there"),
        (
            LINUX.replace("manylinux_2_34", "linux"),
            check_wheel.NEEDED,
            SETS,
            "its platform is linux",
        ),
        (LINUX.replace("x86_64", "riscv64"), check_wheel.NEEDED, SETS, "its library has kernels"),
    ],
)
def test_a_bad_wheel(
    tmp_path: Path, name: str, files: set[str], sets: set[str], problem: str
) -> None:
    (found,) = check_wheel.problems(make_wheel(tmp_path / name, files), sets)
    assert found.startswith(problem)


def test_a_large_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check_wheel, "LARGEST", 10)
    (found,) = check_wheel.problems(make_wheel(tmp_path / LINUX, check_wheel.NEEDED), SETS)
    assert re.fullmatch(r"it has [\d,]+ bytes, and may have 10", found)


def test_the_citation_has_the_version() -> None:
    assert f"\nversion: {byhand.__version__}\n" in (ROOT / "CITATION.cff").read_text()
