"""`byhand bench report`: its page, its charts, its file and its options."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import bench_documents as made
import numpy as np
import pytest
from bench_support import only_peer
from byhand.bench import documents, machine, options
from byhand.bench import run as bench_run
from byhand.bench.cases import CASES
from byhand.bench.report import command, tables
from byhand.bench.report import page as report_page
from byhand.bench.report.charts import charts
from byhand.cli.app import app
from cli_support import make_sets, only_line, write_folder
from typer.testing import CliRunner, Result

WRONG_PEER = """
from byhand.bench import sampling

class Peer:
    version = "wrong"

    def __init__(self, threads):
        pass

    def kernel(self, case, batch):
        return sampling.KernelJob(lambda x: x + 1e-3, case, batch)
"""
VOID = {"meta", "br", "hr", "img", "input", "link"}


class Page(HTMLParser):
    """The parts of a page that the tests look at.

    lost : the text of each row that is marked as lost.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.charts: list[dict[str, str | None]] = []
        self.regions: list[str | None] = []
        self.tags: list[str] = []
        self.lost: list[str] = []
        self._open: list[str] = []
        self._in_lost = False
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        own = dict(attrs)
        self.tags.append(tag)
        if tag not in VOID:
            self._open.append(tag)
        if (name := own.get("id")) is not None:
            self.ids.append(name)
        for key, value in own.items():
            if key.split(":")[-1] in ("href", "src", "srcset", "action", "data"):
                self.links.append(value or "")
            self.links += re.findall(r"url\(([^)]*)\)", value or "")
        if tag == "svg":
            self.charts.append(own)
        if own.get("role") == "region":
            self.regions.append(own.get("aria-label"))
        if tag == "tr" and own.get("class") == "lost":
            self._in_lost = True
            self.lost.append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag
        if tag == "tr":
            self._in_lost = False

    def handle_data(self, data: str) -> None:
        if self._in_lost:
            self.lost[-1] += data + " "


@pytest.fixture(scope="module")
def text() -> str:
    return report_page.page(documents.parse(made.report(), "made-up"))


@pytest.fixture(scope="module")
def page(text: str) -> Page:
    return Page(text)


def run(*arguments: object) -> Result:
    words = ["bench", "report", *map(str, arguments)]
    return CliRunner().invoke(app, words, env={"COLUMNS": "300"})


@pytest.mark.slow
def test_the_page_needs_no_other_file_and_all_links_resolve(page: Page, text: str) -> None:
    assert len(page.ids) == len(set(page.ids))
    assert page.links and all(link[0] == "#" and link[1:] in page.ids for link in page.links)
    assert not {"script", "link", "img", "iframe", "object"} & set(page.tags)
    assert "@import" not in text and "url(http" not in text and len(text) < 2**20


@pytest.mark.slow
def test_every_chart_has_a_text_and_a_table(page: Page) -> None:
    assert len(page.charts) == 4
    texts = [chart["aria-label"] or "" for chart in page.charts]
    assert all(chart["role"] == "img" for chart in page.charts)
    words = ("Roofline", "GFLOP/s of products", "Time per epoch", "Accuracy of LeNet-5")
    for said, word in zip(texts, words, strict=True):
        assert said.startswith(word) and len(said) > 60
    assert len(page.regions) == len(set(page.regions))
    assert sum("the figures" in (region or "") for region in page.regions) == 4


@pytest.mark.slow
def test_charts_have_no_colour_of_their_own(text: str) -> None:
    """Every colour is a variable, so that the chart is readable on a dark background."""
    svgs = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    colors = set(re.findall(r"(?:fill|stroke): ([^;\"]+)", " ".join(svgs)))
    assert {color for color in colors if not color.startswith("var(")} <= {"none"}, colors
    defined = set(re.findall(r"(--[\w-]+):", text))
    assert set(re.findall(r"var\((--[\w-]+)\)", text)) <= defined
    assert text.count("$") == 0  # no place of the template is left, and no formula of matplotlib


@pytest.mark.slow
def test_texts_are_escaped(text: str) -> None:
    assert "Made-up &lt;CPU&gt; &amp; Sons" in text and "<CPU>" not in text
    assert "differs by &lt;99&gt;" in text and "<99>" not in text
    assert "numpy,&lt;torch&gt;" in text and "<torch>" not in text


@pytest.mark.slow
def test_lost_rows_are_red_and_counted(page: Page, text: str) -> None:
    assert "slower than the fastest peer in <strong>1 of 5</strong>" in text
    assert "failed or were wrong: <strong>1</strong>" in text
    lost = [row.split()[:2] for row in page.lost]
    cube = ["gemm", "256x256x256"]
    # The case in the list of lost cases and in the table of all figures, and the wrong contender.
    assert lost == [["gemm", "gemm"], ["gemm", "gemm"], cube]
    assert "0.90, slower" in page.lost[-1]


@pytest.mark.slow
def test_the_roofline_by_hand() -> None:
    """A cube of n has 2 n^3 FLOP and 3 matrices of 4 n^2 bytes: n / 6 FLOP per byte.

    Main memory has 2e10 B/s and the peak is 1e11 FLOP/s, so the roof of 64 is the peak.
    """
    drawn = {chart.key: chart for chart in charts(documents.parse(made.report(), ""))}
    assert list(drawn) == ["roofline-2", "gemm-2", "training-2", "accuracy-2"]
    rows = drawn["roofline-2"].table.rows
    assert rows[0] == ("gemm 64x64x64 NN", "10.7", "47.7", "100", "48%")
    assert drawn["gemm-2"].table.rows[1] == ("256", "61.0", "67.8", "61%")
    assert drawn["training-2"].table.rows[1] == ("mlp", "numpy", "0.61", "2.90", "60 steps, scaled")
    curve = "5.0: 97.00, 10.0: 99.20, 15.0: 99.40"
    assert drawn["accuracy-2"].table.rows[1] == ("0", "torch", curve)


@pytest.mark.slow
def test_the_same_chart_twice_is_the_same_text() -> None:
    document = documents.parse(made.report(), "")
    assert [c.svg for c in charts(document)] == [c.svg for c in charts(document)]


def test_a_file_without_figures_for_charts_has_none() -> None:
    results = [made.result("relu MLP 128", "relu", {"byhand": [1.0, 2.0]})]
    document = documents.parse(made.file_of("kernels", results), "")
    text = report_page.page(document)
    assert Page(text).charts == [] and "relu MLP 128" in text
    everything_failed = made.cubes()
    for result in everything_failed:
        for entry in result.entries:
            entry.times, entry.problem, entry.ratio = None, "FAILED: x", None
    text = report_page.page(documents.parse(made.file_of("gemm", everything_failed), ""))
    assert Page(text).charts == [] and "wrong: <strong>6</strong>" in text


def test_rates_of_the_table() -> None:
    """256 cubed at 550 us: 786432 bytes are 1.43 GB/s."""
    part = documents.parse(made.file_of("gemm", made.cubes()), "").parts[0]
    table = next(tables.part_tables(part))
    assert table.headings[1:] == (
        *("byhand", "numpy", "GFLOP/s", "of peak", "GB/s"),
        "fastest peer / byhand",
    )
    cells = ("550 us (18%)", "495 us (18%)", "61.0", "61%", "1.43", "0.90, slower")
    assert table.rows[1][1:] == cells and table.lost == {1}


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("linear MLP 784-128", 4 * (2 * 784 + 128 * 784 + 128 + 2 * 128)),
        ("relu MLP 128", 4 * (2 * 128 + 2 * 128)),
        # Two images are read: one byte per pixel, and an index of eight bytes per image.
        ("gather_images MNIST", 2 * 784 + 2 * 8 + 4 * 2 * 784),
    ],
)
def test_bytes_of_a_call(name: str, count: int) -> None:
    """Two images: the arguments and the results, each once."""
    case = CASES[name]
    assert bench_run.bytes_moved(case, 2, bench_run.reference(case, 2)) == count


@pytest.mark.parametrize(
    ("caches", "threads", "gibibytes", "mebibytes"),
    [
        ([], 2, 16, 256),
        (["L1 Data 32K", "L3 Unified 32768K"], 2, 16, 256),
        # 12 caches of 32 MiB, each for 8 processors: a smaller array would lie in them.
        (["L1 Data 32K", "L3 Unified 32768K"], 96, 256, 96 * 64),
        (["L3 Unified 307200K"], 64, 32, 8 * 1024),
        ([], 1, 0.5, 128),
    ],
)
def test_bytes_of_main_memory(
    caches: list[str], threads: int, gibibytes: float, mebibytes: int
) -> None:
    size = command.main_memory_bytes(caches, threads, int(gibibytes * 2**30))
    assert size == mebibytes << 20


def test_the_memory_of_the_machine() -> None:
    meminfo = Path("/proc/meminfo")
    if not meminfo.exists():
        pytest.skip("no /proc/meminfo")
    kibibytes = int(meminfo.read_text().split()[1])
    assert machine.memory_bytes() == pytest.approx(1024 * kibibytes, rel=0.01)


def test_all_threads_of_a_large_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(options, "config", lambda: {"usable_cpus": 384})
    assert options.threads_of("") == [1, 256] and options.all_threads() == 256


def test_titles_of_tables() -> None:
    """The steps of the ladder are in no group. A group in which all failed shows no errors."""
    ladder = made.result("gemm", "", {"1 loops": [1.0]})
    failed = made.cubes()
    for result in failed:
        for entry in result.entries:
            entry.times, entry.problem, entry.ratio = None, "FAILED: x", None
    for name, results, title in (
        ("ladder", [ladder], "ladder, 2 threads: median (spread)"),
        ("gemm", failed, "gemm, cubes, 2 threads: median (spread)"),
        ("gemm", made.errors(), "gemm, error, 2 threads: largest error of an element"),
        ("training", made.training(), "training, mlp, 2 threads: median (spread)"),
    ):
        part = documents.parse(made.file_of(name, results), "").parts[0]
        assert next(tables.part_tables(part)).caption == title


@pytest.mark.slow
def test_a_chart_without_byhand_says_nothing_about_byhand() -> None:
    cubes = made.cubes()
    for result in cubes:
        result.entries[0].times, result.entries[0].problem = None, "FAILED: x"
    (chart,) = charts(documents.parse(made.file_of("gemm", cubes), ""))
    assert chart.description.endswith("with a line for each of numpy.")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "value", "code"), [("MPLBACKEND", "nosuch", 0), ("MATPLOTLIBRC", "rc", 1)]
)
def test_a_page_whatever_the_environment_says(
    name: str, value: str, code: int, tmp_path: Path
) -> None:
    (tmp_path / "rc").write_bytes(b"\xff\xfe garbage: : :\n")
    (tmp_path / "x.json").write_text(json.dumps(made.report()))
    words = ["bench", "report", "--from", "x.json"]
    done = subprocess.run(
        [sys.executable, "-c", "from byhand.cli import main; main()", *words],
        env={**os.environ, "MPLCONFIGDIR": str(tmp_path), name: value},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert (tmp_path / "x.html").exists() == (code == 0)
    if code == 1:
        # matplotlib prints a line of its own before ours.
        assert done.stderr.splitlines()[-1].startswith("byhand: matplotlib could not be imported")


@pytest.mark.slow
def test_an_old_page_is_drawn_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "memory_rate", lambda *_: pytest.fail("measured"))
    path = tmp_path / "old.json"
    path.write_text(json.dumps(made.file_of("training", made.training())))
    result = run("--from", path)
    assert result.exit_code == 0, result.output
    assert "byhand bench training" in (tmp_path / "old.html").read_text()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["old.html", "old.json"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--out", "page.txt"], "must end in .html"),
        (["--parts", "gem"], "'gem'"),
        (["--peers", "numpi"], "'numpi'"),
        (["--synthetic", "--parts", "accuracy"], "accuracy needs MNIST"),
        (["--from", "x.json", "--full"], "leave out --full"),
        (["--from", "x.json", "--threads", "1"], "leave out --threads"),
        (["--from", "x.json"], "is not JSON"),
    ],
)
def test_wrong_options_are_refused_before_measuring(
    arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "memory_rate", lambda *_: pytest.fail("measured"))
    monkeypatch.chdir(tmp_path)
    Path("x.json").write_text("no")
    result = run(*arguments)
    assert result.exit_code == 2 and said in result.output
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]


@pytest.mark.parametrize("parts", ["accuracy", "kernels,training"])
def test_a_folder_without_data_is_refused_before_measuring(
    parts: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "memory_rate", lambda *_: pytest.fail("measured"))
    result = run("--parts", parts, "--data", tmp_path, "--out", tmp_path / "x.html")
    assert result.exit_code == 1 and str(tmp_path) in only_line(result)
    assert list(tmp_path.iterdir()) == []


def test_images_that_training_cannot_use_are_refused_before_measuring(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "memory_rate", lambda *_: pytest.fail("measured"))
    data = write_folder(tmp_path / "data", make_sets(train=30, test=10))
    result = run("--parts", "training", "--data", data, "--out", tmp_path / "x.html")
    assert result.exit_code == 1 and "at least 384 images of 28x28" in only_line(result)


def test_a_file_that_does_not_exist(tmp_path: Path) -> None:
    result = run("--from", tmp_path / "x.json")
    assert result.exit_code == 1
    assert only_line(result) == f"byhand: {tmp_path / 'x.json'}: No such file or directory\n"


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError("no room")])
def test_an_error_keeps_the_figures_of_the_benchmarks_before_it(
    error: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "memory_rate", lambda *_: 1e9)

    def measured(_: object, line: list[str]) -> tuple[dict[str, Any], int]:
        if line[0] != "gemm":
            raise error
        return {"command_line": "x", **made.file_of("gemm", made.cubes())}, 0

    monkeypatch.setattr(command, "_run", measured)
    out = tmp_path / "x.html"
    result = run("--parts", "gemm,conv2d", "--threads", 2, "--out", out)
    assert result.exit_code == (130 if isinstance(error, KeyboardInterrupt) else 1)
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]
    document = documents.read(tmp_path / "x.json")
    assert [part.command for part in document.parts] == ["gemm"]
    assert [len(rate.rates) for rate in document.memory] == [1, 1, 1]


def test_the_load_is_that_before_the_first_benchmark(monkeypatch: pytest.MonkeyPatch) -> None:
    bench_run.load_before.cache_clear()
    loads = iter([(0.5, 0.0, 0.0), (9.0, 0.0, 0.0)])
    monkeypatch.setattr("os.getloadavg", lambda: next(loads))
    assert bench_run.load_before() == bench_run.load_before() == 0.5
    bench_run.load_before.cache_clear()


def test_a_load_is_said_in_the_page() -> None:
    content = made.file_of("training", made.training())
    assert 'class="warning"' not in report_page.page(documents.parse(content, ""))
    content["machine"]["load"] = [1.5, 1.0, 1.0]
    assert "load 1.5 on 2 processors" in report_page.page(documents.parse(content, ""))


@pytest.mark.slow
def test_a_whole_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    short: dict[str, list[str]] = {
        "kernels": ["--op", "relu", "--op", "linear", "--rounds", "1", "--seconds", "0"],
        "inference": ["--models", "softmax", "--rounds", "3", "--seconds", "0", "--batch", "2"],
        "accuracy": [],
    }
    monkeypatch.setattr(command, "SHORT", short)
    out = tmp_path / "new" / "page.html"
    result = run("--synthetic", "--threads", 1, "--peers", "numpy", "--out", out)
    assert result.exit_code == 0, result.output
    assert str(out) in result.output
    document = json.loads(out.with_suffix(".json").read_text())
    assert [part["arguments"]["command"] for part in document["parts"]] == ["kernels", "inference"]
    line = "byhand bench inference --models softmax --rounds 3 --seconds 0 --batch 2 --threads 1"
    assert document["parts"][1]["command_line"] == f"{line} --peers numpy"
    assert [len(rate["rates"]) for rate in document["memory_rate"]] == [2, 2, 2]
    assert np.all([rate["rates"] for rate in document["memory_rate"]])
    page = Page(out.read_text())
    assert [chart["role"] for chart in page.charts] == ["img"]  # the roofline
    assert sorted(path.name for path in out.parent.iterdir()) == ["page.html", "page.json"]
    compared = CliRunner().invoke(app, ["bench", "compare", *[str(out.with_suffix(".json"))] * 2])
    assert compared.exit_code == 0, compared.output


@pytest.mark.slow
def test_a_wrong_contender_is_in_the_page_and_the_code_is_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only_peer("wrong", WRONG_PEER, tmp_path, monkeypatch)
    short = {"kernels": ["--op", "relu", "--rounds", "1", "--seconds", "0", "--batch", "2"]}
    monkeypatch.setattr(command, "SHORT", short)
    out = tmp_path / "page.html"
    result = run("--synthetic", "--threads", 1, "--out", out)
    assert result.exit_code == 1
    assert "wrong: WRONG: differs from the reference" in out.read_text()
