"""`byhand bench report`: its page, its charts, its file and its options."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import bench_documents as made
import numpy as np
import pytest
from bench_support import only_peer
from byhand.bench import cli, documents
from byhand.bench import run as bench_run
from byhand.bench.cases import CASES
from byhand.bench.report import command, tables
from byhand.bench.report import page as report_page
from byhand.bench.report.charts import charts
from byhand.data import DataError
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
    return CliRunner().invoke(cli.app, ["report", *map(str, arguments)], env={"COLUMNS": "300"})


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
        # Of the images, two are read: a byte for each pixel, and an index of eight bytes.
        ("gather_images MNIST", 2 * 784 + 2 * 8 + 4 * 2 * 784),
    ],
)
def test_bytes_of_a_call(name: str, count: int) -> None:
    """Two images: the arguments and the results, each once."""
    case = CASES[name]
    assert bench_run.bytes_moved(case, 2, bench_run.reference(case, 2)) == count


def test_a_ratio_just_below_one_is_not_shown_as_one() -> None:
    texts = [tables.ratio_text(ratio) for ratio in (0.5, 0.996, 1.0, 1.234, None)]
    assert texts == ["0.50", "0.996", "1.00", "1.23", ""]


def test_bytes_of_main_memory() -> None:
    assert command.main_memory_bytes([]) == 256 << 20
    assert command.main_memory_bytes(["L1 Data 32K", "L3 Unified 307200K"]) == 614400 << 10


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


def test_a_folder_without_data_is_refused_before_measuring(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "memory_rate", lambda *_: pytest.fail("measured"))
    assert isinstance(run("--data", tmp_path, "--out", tmp_path / "x.html").exception, DataError)


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
    compared = CliRunner().invoke(cli.app, ["compare", *[str(out.with_suffix(".json"))] * 2])
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
