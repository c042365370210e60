"""The tables of `byhand bench`: 80 columns, one unit per table, no share above the peak."""

from __future__ import annotations

import pytest
from byhand.bench import accuracy, tables
from byhand.bench.peers import CONTENDERS
from byhand.bench.results import Entry, Learned, Result, Times
from byhand.bench.tables import aligned

NAMES = [contender.name for contender in CONTENDERS]


def result(scale: float = 1e-5) -> Result:
    entries = [
        Entry(name, times=Times((k * scale, 3 * k * scale)), ratio=0.5 * k, faults=1e4, rss=10**10)
        for k, name in enumerate(NAMES, 1)
    ]
    entries[2].note = "60 steps, scaled"
    entries.append(Entry("broken", problem="FAILED: [no] such thing"))
    case = {"label": "conv2d LeNet 20x12x12 [a]", "batch": 128, "shape": "128x784x128 TN"}
    case |= {"of": "linear 784-128 grad weight", "m": 1, "group": "mlp", "bound": 13}
    return Result(case, 1, flops=10**6, entries=entries, peak=9e10)


@pytest.mark.parametrize("more", [{}, tables.MEMORY, tables.PER_IMAGE])
def test_a_table_fits(more: dict[str, tables.Cell]) -> None:
    view = tables.by_contender("conv2d, 2 threads", [result()], tables.TIMES | more)
    text = view.plain
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80, text
    assert lines[2] == "conv2d LeNet 20x12x12 [a], in us"
    # All numbers have the unit that the heading gives.
    numbers = [line.split() for line in lines if line.split() and line.split()[0] in NAMES]
    medians = [float(row[1]) for row in numbers]
    assert medians == pytest.approx([20.0 * k for k in range(1, len(NAMES) + 1)])
    assert "broken: FAILED: [no] such thing" in lines
    assert f"  {NAMES[2]}: 60 steps, scaled" in lines


@pytest.mark.parametrize(("scale", "unit"), [(1.0, "s"), (1e-3, "ms"), (1e-9, "ns")])
def test_the_unit_follows_the_times(scale: float, unit: str) -> None:
    assert f", in {unit}\n" in tables.by_contender("", [result(scale)]).plain


def test_no_share_is_above_the_peak() -> None:
    """A share above the peak is shown as `> 100%`.

    An algorithm may need fewer operations than the FLOPs that are counted, and other programs may
    disturb the measurement of the peak.
    """
    assert tables.percent(0.874) == "87%"
    assert tables.percent(2.32) == "> 100%"
    assert "232" not in tables.by_contender("", [result(4e-9)]).plain


def test_a_table_of_products_leaves_out_what_does_not_fit() -> None:
    few = result()
    few.entries = [few.entries[i] for i in (0, 1, 2, -1)]
    view = tables.products("mlp", [few], width=80)
    assert max(map(len, view.plain.splitlines())) <= 80 and "grad weight" not in view.plain
    wide = tables.products("mlp", [few], width=200)
    assert "linear 784-128 grad weight, batch 128" in wide.plain
    *_, row = wide.plain.splitlines()
    assert row.startswith("128x784x128 TN ") and " FAILED " in row


def test_errors_stand_beside_their_bound() -> None:
    wrong = result()
    wrong.entries = [Entry("byhand", difference=1.5), Entry("x", "WRONG: differs", 99.0)]
    row = tables.errors("error", [wrong]).plain.splitlines()[-1]
    assert row.split() == ["128x784x128", "TN", "1.50", "WRONG", "13"]


def test_a_summary() -> None:
    line = {"group": "mlp", "cases": 8, "mean": 1.5, "worst": 0.5, "worst_case": "gemm [a]"}
    lines = tables.summary_table("Summary", [line]).plain.splitlines()
    assert lines[1].split() == ["group", "cases", "mean", "worst", "worst", "case"]
    assert lines[2].split() == ["mlp", "8", "1.50", "0.50", "gemm", "[a]"]


def test_accuracies_fit() -> None:
    entries: list[Entry] = [
        Learned(name, times=Times((12.0,)), ratio=0.5, accuracies=[0.99] * 5, epoch=4)
        for name in NAMES
    ]
    entries[1].note = "not reached"
    races = [Result({"label": f"seed {seed}"}, 2, 0, entries) for seed in (0, 1)]
    text = accuracy._table("LeNet-5 to 99.2 %", races).plain
    assert max(map(len, text.splitlines())) <= 80, text
    assert "  numpy: not reached" in text and "reached by 2 of 2 seeds" in text
    assert "seeds" not in accuracy._table("LeNet-5 to 99.2 %", races[:1]).plain


def test_accuracy_is_not_silent(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(accuracy, "_learn", lambda *_: Learned("x", note="not reached"))
    course = accuracy.Course("lenet5", "", 1)
    able = [contender for contender in CONTENDERS if contender.name in ("byhand", "numpy")]
    contest = type("Contest", (), {"threads": 1})()
    accuracy._race(contest, able, course, 99.0)  # type: ignore[arg-type]
    said = capsys.readouterr().err.splitlines()
    assert said == ["seed 1: numpy trains ...", "seed 1: byhand trains ..."]


def test_a_ratio_just_below_one_is_not_shown_as_one() -> None:
    ratios = (0.5, 0.989, 0.996, 0.9996, 1.0, 1.234, None)
    texts = ["0.50", "0.99", "0.996", "0.999", "1.00", "1.23", ""]
    assert [tables.ratio_text(ratio) for ratio in ratios] == texts
    red = [f"[red]{text}[/]" for text in texts[:4]]
    assert [tables.red_below_one(ratio) for ratio in ratios] == red + texts[4:]


def test_aligned() -> None:
    rows = [("a", "1", "x"), "[red]across[/] all", ("bb", "[red]22[/]", "yy")]
    plain = aligned("Title", ("", "n", "<what"), rows).plain
    assert plain.splitlines() == ["Title", "     n  what", "a    1  x", "across all", "bb  22  yy"]
    assert "yy" not in aligned("Title", ("", "n", "<what"), rows, width=9).plain
