"""`byhand ladder`: every step is right and differs little from the one before it; the command."""

from __future__ import annotations

import difflib
import itertools
import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import reference
from bench_support import only_peer
from byhand._core import testing
from byhand.bench import ladder, ladder_steps, ladder_views
from byhand.bench.ladder_steps import OPERATORS, Library, Step, StepError, compile_step, steps
from byhand.bench.results import Entry, Result, Times
from cli_support import run

ROOT = Path(__file__).parents[1]
ALL = [step for operator in OPERATORS for step in steps(operator)]
every_step = pytest.mark.parametrize("step", ALL, ids=lambda s: f"{s.path.parent.name}-{s.label}")
# The largest number of lines that a step adds to the file of the step before it. The convolution's
# step to Winograd's algorithm adds the most.
MOST_NEW_LINES = {"gemm": 32, "conv2d": 60}

# m, n, k: empty, smaller than a tile, and longer than a block of the depth or of columns
PRODUCTS = [(0, 3, 2), (3, 0, 2), (3, 2, 0), (1, 1, 1), (17, 33, 9), (29, 301, 13), (13, 70, 523)]
# N, C, H, W, O: empty, one output, and sizes that are no multiples of vectors and tiles
CONVOLUTIONS = [
    *((0, 2, 6, 6, 3), (2, 0, 6, 6, 3), (2, 2, 6, 6, 0), (1, 1, 5, 5, 1)),
    *((3, 2, 12, 12, 5), (9, 3, 9, 14, 4), (17, 5, 13, 11, 7), (2, 1, 7, 30, 2)),
]
WINOGRAD_BOUND = 2e-5  # of docs/winograd.md


def integers(rng: np.random.Generator, *shape: int) -> Any:
    return rng.integers(-4, 5, shape).astype(np.float32)


def check_gemm(library: Library, rng: np.random.Generator) -> None:
    for m, n, k in PRODUCTS:
        a, b, c = integers(rng, m, k), integers(rng, k, n), np.full((m, n), np.nan, np.float32)
        assert library.gemm(a, b, out=c) is c
        np.testing.assert_array_equal(c, a.astype(np.float64) @ b, f"{m} x {n} x {k}")


def check_conv2d(library: Library, rng: np.random.Generator, exact: bool) -> None:
    for n, c, h, w, o in CONVOLUTIONS:
        x, weight, bias = integers(rng, n, c, h, w), integers(rng, o, c, 5, 5), integers(rng, o)
        y = np.full((n, o, h - 4, w - 4), np.nan, np.float32)
        library.conv2d(x, weight, bias, out=y)
        want = reference.conv2d(x, weight, bias)
        if exact:
            np.testing.assert_array_equal(y, want, f"{n}, {c}, {h}, {w}, {o}")
        else:
            size = np.linalg.norm(reference.conv2d(abs(x), abs(weight), abs(bias)))
            assert np.linalg.norm(y - want) <= WINOGRAD_BOUND * size


def check(step: Step, folder: Path, rng: np.random.Generator, *flags: str) -> None:
    path = compile_step(step, folder, flags)
    for threads in (1, 2, 5) if step.is_threaded else (1,):
        library = Library(path, threads)
        if step.path.parent.name == "gemm":
            check_gemm(library, rng)
        else:
            check_conv2d(library, rng, exact="winograd.h" not in step.text)


@pytest.mark.slow
@every_step
def test_every_step_is_right(step: Step, isa: str, tmp_path: Path, rng: Any) -> None:
    check(step, tmp_path, rng)


@pytest.mark.parametrize(
    "name", ["gemm/09_edges", "conv2d/03_im2col", "conv2d/08_winograd_patches"]
)
def test_some_steps_are_right(name: str, tmp_path: Path, rng: Any) -> None:
    check(Step(ROOT / "csrc/ladder" / f"{name}.cc"), tmp_path, rng, "-O0")


@pytest.mark.parametrize("operator", OPERATORS)
def test_a_step_changes_little(operator: str) -> None:
    every = steps(operator)
    assert [step.number for step in every] == list(range(1, len(every) + 1))
    for before, after in itertools.pairwise(every):
        lines = difflib.ndiff(before.text.splitlines(), after.text.splitlines())
        new = [line for line in lines if line.startswith("+ ")]
        assert len(new) <= MOST_NEW_LINES[operator], f"{after.label} adds {len(new)} lines"


@every_step
def test_a_step_says_what_changes(step: Step) -> None:
    first, second, *_ = step.text.splitlines()
    assert step.what_changes == first.removeprefix("// ") and second == "//"
    assert step.what_changes[0].isupper() and step.what_changes.endswith(".")
    assert len(step.text.splitlines()) <= 150


def test_the_page_explains_every_step() -> None:
    page = (ROOT / "docs" / "ladder.md").read_text()
    numbers = [int(number) for number in re.findall(r"^\*\*(\d+)\. ", page, re.MULTILINE)]
    assert numbers == [
        number for operator in OPERATORS for number in range(1, len(steps(operator)) + 2)
    ]
    for operator in OPERATORS:
        ladder_views.split_page(ROOT / "docs" / "ladder.md", operator)


def test_flags_are_those_of_the_kernels() -> None:
    cmake = (ROOT / "CMakeLists.txt").read_text()
    for isa, flags in ladder_steps.ISA_FLAGS.items():
        options = {"avx2": "avx2 vec_avx2.h", "avx512": "avx512 vec_avx512.h"}
        if isa in options:
            assert f"byhand_add_isa({options[isa]} {' '.join(flags)})" in cmake


def test_a_step_that_cannot_be_compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "mine.cc"
    path.write_text("no C++")
    with pytest.raises(StepError, match=r"mine\.cc cannot be compiled:\n.*error"):
        compile_step(Step(path), tmp_path)
    monkeypatch.setenv("CXX", "")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StepError, match="install g\\+\\+ or clang\\+\\+, or set CXX"):
        compile_step(Step(path), tmp_path)


@cache
def results() -> tuple[list[Result], list[Step]]:
    """Return made-up results of steps 1 and 2 and byhand, and of NumPy, on one and two threads."""
    one, two = steps("gemm")[:2]
    first = Result({}, 1, 8, [], peak=16.0)
    seconds = {one.label: 8.0, two.label: 2.0, "numpy": 4.0, "byhand": 1.0}
    first.entries += [Entry(name, times=Times((s, 9.0))) for name, s in seconds.items()]
    first.entries.append(Entry("torch", problem="WRONG: differs"))
    second = Result({}, 2, 8, [Entry("byhand", times=Times((0.5,)))], peak=32.0)
    return [first, second], [one, two]


def test_rungs() -> None:
    """The steps come first, then byhand, then the others. The fastest round counts."""
    rungs = list(ladder.rungs_of(*results(), "11 byhand", "Shipped."))
    assert [(r.name, r.threads, *r.figures) for r in rungs] == [
        ("1 three loops", 1, "0.00", "6.2%", ""),
        ("2 loop order", 1, "0.00", "25.0%", "4.00 x"),
        ("11 byhand", 1, "0.00", "50.0%", "2.00 x"),
        ("11 byhand", 2, "0.00", "50.0%", ""),
        ("numpy", 1, "0.00", "12.5%", ""),
        ("torch", 1, "WRONG", "", ""),
    ]
    text = ladder_views.table("A title", rungs).plain
    assert "A title" in text and "Each value of c is a sum" in text and "Shipped." in text


def test_the_table_of_a_page(tmp_path: Path) -> None:
    page, rungs = tmp_path / "page.md", list(ladder.rungs_of(*results(), "11 byhand", "Shipped."))
    page.write_text("before\n<!-- ladder gemm -->\nold\n<!-- end of ladder -->\nafter\n")
    for _ in range(2):
        ladder_views.write_into_page(page, "gemm", "A title", rungs, tmp_path / "a" / "plot.svg")
    lines = page.read_text().splitlines()
    assert lines[:2] == ["before", "<!-- ladder gemm -->"]
    assert lines[-2:] == ["<!-- end of ladder -->", "after"] and "old" not in lines
    rows = [line for line in lines if line.startswith("|")]
    assert "![A title](a/plot.svg)" in lines
    assert len(rows) == 8 and all(row.count("|") == 7 for row in rows)
    assert re.match(r"\| \[1 three loops\]\(.*/01_three_loops\.cc\) \| Each value", rows[2])
    with pytest.raises(ValueError, match="must have the lines <!-- ladder conv2d -->"):
        ladder_views.write_into_page(page, "conv2d", "A title", rungs, None)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["12"], "'12' must be a number from 1 to 11, or the path of a .cc file"),
        (["none.cc"], "'none.cc' must be"),
        (["1", "--diff"], "needs a STEP from 2 to 10"),
        (["--size", "0"], "--size"),
        (["--plot", "ladder.gif"], "must end in .png"),
        (["--peers", "nunpy"], "Did you mean numpy?"),
        (["--page", ROOT / "README.md"], "must have the lines <!-- ladder gemm -->"),
        (["2", "--page", ROOT / "docs/ladder.md"], "needs all steps"),
    ],
)
def test_options_that_cannot_be(words: list[Any], said: str) -> None:
    assert said in " ".join(run("ladder", "gemm", *words, code=2).stderr.split())


QUICKLY = ["--size", "33", "--rounds", "2", "--seconds", "0"]


@pytest.mark.slow
def test_one_step(tmp_path: Path) -> None:
    """The step before it runs, too. A step of your own runs alone."""
    text = run("ladder", "gemm", "2", "--diff", *QUICKLY).stdout
    assert "+++ 02_loop_order.cc" in text and "33 x 33 x 33" in text
    assert re.search(r"^1 three loops +1 ", text, re.MULTILINE)
    assert re.search(r"^2 loop order +1 .* x$", text, re.MULTILINE)
    assert "csrc/ladder/gemm/02_loop_order.cc" in text and "numpy" not in text
    text = run("ladder", "gemm", "11", *QUICKLY, "--threads", "2").stdout
    assert re.search(r"^10 threads +2 .*^11 byhand +2 ", text, re.MULTILINE | re.DOTALL)
    mine = tmp_path / "my_step.cc"
    mine.write_text(steps("gemm")[0].text)
    assert re.search(r"^my step +1 ", run("ladder", "gemm", mine, *QUICKLY).stdout, re.MULTILINE)


@pytest.mark.slow
def test_a_wrong_step(tmp_path: Path) -> None:
    mine = tmp_path / "my_step.cc"
    mine.write_text(steps("gemm")[0].text.replace("p < k", "p < k - 1"))
    result = run("ladder", "gemm", mine, *QUICKLY, code=1)
    assert "WRONG" in result.stdout and "differs from the reference" in result.stderr
    mine.write_text("no C++")
    assert "cannot be compiled" in run("ladder", "gemm", mine, *QUICKLY, code=1).stderr


WRONG_PEER = """
from byhand.bench import numpy_peer, sampling

class Peer(numpy_peer.Peer):
    version = "wrong"

    def kernel(self, case, batch):
        return sampling.KernelJob(lambda a, b: a @ b * 1.001, case, batch)
"""


@pytest.mark.slow
def test_all_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong contender is reported, and the chart has a bar for it, too."""
    only_peer("wrong", WRONG_PEER, tmp_path, monkeypatch)
    monkeypatch.setattr(ladder, "ENOUGH", 1e-9)  # one round is enough
    path, plot, page = (tmp_path / name for name in ("run.json", "ladder.svg", "page.md"))
    page.write_text("<!-- ladder gemm -->\n<!-- end of ladder -->\n")
    options = ["--threads", "2", "--peers", "wrong", "--json", path, "--plot", plot, "--page", page]
    result = run("ladder", "gemm", *QUICKLY, *options, code=1)
    words = " ".join(result.stdout.split())
    assert all(f"{s.label} " in words and s.what_changes in words for s in steps("gemm"))
    assert "wrong: WRONG: differs from the reference" in result.stderr
    document = json.loads(path.read_text())
    assert document["arguments"]["operator"] == "gemm"
    one, two = document["results"]
    assert (one["threads"], two["threads"], one["flops"]) == (1, 2, 2 * 33**3)
    assert [e["contender"] for e in two["entries"]] == ["10 threads", "byhand", "wrong"]
    for entry in one["entries"]:
        if entry["contender"] != "wrong":
            assert entry["problem"] is None and len(entry["times"]["rounds"]) == 1
    assert plot.read_text().count("WRONG") >= 1
    assert page.read_text().count("\n| ") == 2 + 10 + 2 + 2


@pytest.mark.slow
def test_the_convolution(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ladder, "ENOUGH", 1e-9)
    text = run("ladder", "conv2d", "10", "--seconds", "0", "--threads", "1").stdout
    assert re.search(r"^9 threads +1 .*^10 byhand +1 .* x$", text, re.MULTILINE | re.DOTALL)


def test_the_ladder_uses_the_instruction_set_in_use() -> None:
    assert testing.isa() in {"baseline", *ladder_steps.ISA_FLAGS, "neon"}
