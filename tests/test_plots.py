"""Curves: what they show, with any names of runs and any settings of matplotlib."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from byhand.models import softmax_regression
from byhand.optim import SGD
from byhand.pictures.folders import write_pictures
from byhand.plots import figure as plotting
from byhand.plots.curves import TEST, TRAIN, curves_bytes, draw_curves
from byhand.plots.formats import PLOT_FORMATS
from byhand.plots.live import LivePlot
from byhand.training import EpochEnd, Trainer
from cli_support import make_sets, run, write_folder
from matplotlib.figure import Figure
from matplotlib.text import Text

# Names that matplotlib would take for a formula, for a line without a legend, or for two lines.
NAMES = [
    "$x$",
    "_run",
    "a_$b",
    "50 %",
    r"$\frac",
    "two\nlines",
    "数字",
    "\U0001f600",
    "\x07",
    "\udc80",
]


def history(epochs: int, start: float = 1.0, tested: bool = True) -> list[EpochEnd]:
    ends = []
    for epoch in range(1, epochs + 1):
        loss = start * math.exp(-epoch)
        known = (loss, 1 - loss / 4) if tested else (None, None)
        ends.append(EpochEnd(epoch, epochs, 1.2 * loss, loss / 3, *known, 0.1, 1.0, 1.0, True))
    return ends


def shown(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_names_are_text(name: str) -> None:
    for runs in ({name: history(3)}, {name: history(3), "other": history(2)}):
        figure = plotting.new_figure(9, 4)
        draw_curves(figure, runs)
        assert any(name in text for text in shown(figure))
        assert plotting.figure_bytes(figure).startswith(b"\x89PNG")  # no warning either


def test_the_last_values_are_said() -> None:
    figure = plotting.new_figure(9, 4)
    draw_curves(figure, {"mlp": history(3)})
    texts = shown(figure)
    assert "mlp" in texts
    assert f"{TEST}: {math.exp(-3):.4f}" in texts and f"{TRAIN}: {1.2 * math.exp(-3):.4f}" in texts
    assert f"{TEST}: {25 * math.exp(-3):.2f} %" in texts
    assert [axes.get_yscale() for axes in figure.axes] == ["log", "log"]


def test_runs_are_told_apart() -> None:
    runs = {f"run {i}": history(4, 1 + i, tested=i != 3) for i in range(23)}
    figure = plotting.new_figure(9, 4)
    draw_curves(figure, runs)
    for axes in figure.axes:
        colours = {str(line.get_color()) for line in axes.lines}
        assert len(colours) == len(runs)
        for line in axes.lines:
            assert (line.get_alpha() == 0.35) == (line.get_label() == TRAIN)
    (legend,) = figure.legends
    lines = [text.get_text() for text in legend.get_texts()]
    assert len(lines) == len(runs) + 2
    assert lines[3].startswith("run 3: train loss") and lines[4].startswith("run 4: held-out loss")


@pytest.mark.slow
@pytest.mark.parametrize("loss", [0.0, math.nan, 1.0])
def test_axes_of_values_that_no_logarithm_has(loss: float) -> None:
    ends = [EpochEnd(i, 2, loss, 0.0, loss, 1.0, 0.1, 1.0, 1.0, True) for i in (1, 2)]
    figure = plotting.new_figure(9, 4)
    draw_curves(figure, {"run": ends})
    assert [axes.get_yscale() for axes in figure.axes] == ["linear", "linear"]
    assert curves_bytes({"run": ends}).startswith(b"\x89PNG")


@pytest.mark.slow
def test_the_settings_of_the_user_do_not_matter() -> None:
    plain = curves_bytes({"run": history(3)})
    settings = {"text.usetex": True, "figure.dpi": 30, "font.family": "nosuch", "savefig.dpi": 7}
    with matplotlib.rc_context(settings):
        assert curves_bytes({"run": history(3)}) == plain
        assert matplotlib.rcParams["text.usetex"]
    assert not matplotlib.rcParams["text.usetex"]


@pytest.mark.slow
def test_a_letter_that_only_another_font_has(monkeypatch: pytest.MonkeyPatch) -> None:
    """A letter that the default font lacks is drawn with another font.

    If no font has it, its code is drawn.
    """
    folder = Path(plotting.DEFAULT_FONT).parent
    other = str(folder / "STIXGeneral.ttf")
    letter = chr(min(plotting._letters(other) - plotting._letters(plotting.DEFAULT_FONT)))
    assert plotting.font_for("abc") == plotting.DEFAULT_FONT
    assert plotting.font_for(f"a{letter}") is not None
    figure = plotting.new_figure(9, 4)
    draw_curves(figure, {f"a{letter}": history(2)})
    plotting.figure_bytes(figure)
    assert f"a{letter}" in shown(figure)
    monkeypatch.setattr(plotting, "_font_with", lambda needed: None)
    plotting.figure_bytes(figure)
    assert rf"a\u{ord(letter):04x}" in shown(figure)


# --------------------------------------------------------------------------------------------------
# Errors in a plot do not stop training


def trainer(plot: LivePlot, run: Path | None = None) -> Trainer:
    model = softmax_regression()
    return Trainer(model, SGD(model.parameters(), 0.1), handlers=[plot], run=run)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", PLOT_FORMATS)
def test_a_live_plot_is_what_its_name_says(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"curves{suffix}"
    train, _ = make_sets(train=20, test=1)
    trainer(LivePlot(path, seconds=1000)).fit(train, epochs=1, batch_size=10)
    begin = {".png": b"\x89PNG", ".pdf": b"%PDF", ".svg": b"<?xml"}[suffix]
    assert path.read_bytes().startswith(begin)


@pytest.mark.parametrize("name", ["curves.gif", "curves", "png", "curves.png.txt"])
def test_a_live_plot_in_a_format_that_cannot_be(name: str) -> None:
    with pytest.raises(ValueError, match=r"path must end in \.png, \.pdf, \.svg, not"):
        LivePlot(name)


def test_a_live_plot_without_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("byhand.plots.live.is_installed", lambda name: False)
    with pytest.raises(ModuleNotFoundError, match=r'pip install "byhand\[cli\]"'):
        LivePlot()


@pytest.mark.parametrize("trouble", ["draw", "write"])
def test_training_goes_on_without_its_plot(
    trouble: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "curves.png"
    if trouble == "write":
        path = tmp_path / "no folder" / "curves.png"
        (tmp_path / "no folder").touch()
    else:
        monkeypatch.setattr(Figure, "savefig", lambda *_, **__: 1 / 0)
    train, _ = make_sets(train=40, test=1)
    message = "LivePlot failed and draws no more; training continues"
    with pytest.warns(RuntimeWarning, match=message) as warned:
        history = trainer(LivePlot(path, seconds=0)).fit(train, epochs=2, batch_size=10)
    assert len(history) == 2 and len(warned) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "setting", [{"MPLBACKEND": "nosuch"}, {"MPLBACKEND": "qtagg"}, {"MATPLOTLIBRC": "rc"}]
)
def test_curves_whatever_the_environment_says(setting: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "rc").write_text("text.usetex: True\nbackend: nosuch\nlines.linewidth: wide\n")
    setting = {name: value.replace("rc", str(tmp_path / "rc")) for name, value in setting.items()}
    code = """
import os
from byhand.cli import main
try:
    main()
finally:
    assert os.environ.get("MPLBACKEND") == {!r}
"""
    data = write_folder(tmp_path / "data", make_sets(train=30, test=10))
    done = subprocess.run(
        [
            *(sys.executable, "-c", code.format(setting.get("MPLBACKEND"))),
            *("train", "softmax", "--epochs", "1", "--data", data, "--out", tmp_path / "run"),
        ],
        env={**os.environ, "MPLCONFIGDIR": str(tmp_path), **setting},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "curves.png").is_file()
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_settings_file_that_is_not_text(tmp_path: Path) -> None:
    """Training ignores a bad settings file of matplotlib, but `byhand plot` reports it."""
    (tmp_path / "rc").write_bytes(b"\xff\xfe garbage: : :\n")
    train, test = make_sets(train=30, test=10)
    write_pictures(tmp_path / "data", train, test)
    training = ["train", "softmax", "--epochs", "1", "--data", "data", "--out", "run"]
    drawing = [
        ["plot", "run", "--out", "x.png"],
        ["data", "show", "--data", "data", "--out", "x.png"],
        ["evaluate", "run", "--worst", "x.png"],
        ["predict", "run", "data/test/1", "--show", "x.png"],
    ]
    for arguments in (training, *drawing):
        done = subprocess.run(
            [sys.executable, "-m", "byhand", *arguments],
            env={**os.environ, "MPLCONFIGDIR": str(tmp_path), "MATPLOTLIBRC": str(tmp_path / "rc")},
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        assert done.returncode == (arguments is not training), done.stderr
        assert "matplotlib could not be imported: 'utf-8' codec" in done.stderr.splitlines()[-1]
        assert "Traceback" not in done.stderr


def test_a_plot_that_fails_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = write_folder(tmp_path / "data", make_sets(train=30, test=10))
    monkeypatch.setattr(Figure, "savefig", lambda *_, **__: 1 / 0)
    arguments = ("train", "softmax", "--epochs", 1, "--data", data, "--out", tmp_path / "run")
    result = run(*arguments, curves=True)
    assert result.stderr == (
        "byhand: the curves were not drawn: matplotlib could not draw: division by zero\n"
    )
    assert "Now try: byhand predict" in result.stdout and "curves" not in result.stdout
    assert not (tmp_path / "run" / "curves.png").exists()
    # A plot that the user asked for is an error.
    result = run("plot", tmp_path / "run", "--out", tmp_path / "curves.png", code=1)
    assert result.stderr == "byhand: matplotlib could not draw: division by zero\n"


@pytest.mark.slow
@pytest.mark.parametrize("suffix", PLOT_FORMATS)
def test_plot_writes_what_the_name_says(suffix: str, tmp_path: Path) -> None:
    data = write_folder(tmp_path / "data", make_sets(train=30, test=10))
    run("train", "softmax", "--epochs", 1, "--data", data, "--out", tmp_path / "run")
    out = tmp_path / f"curves{suffix}"
    run("plot", tmp_path / "run", "--out", out)
    begin = {".png": b"\x89PNG", ".pdf": b"%PDF", ".svg": b"<?xml"}[suffix]
    assert out.read_bytes().startswith(begin)
    error = run("plot", tmp_path / "run", "--out", tmp_path / "curves.gif", code=2).stderr
    assert "curves.gif must end in .png, .pdf, .svg." in error


@pytest.mark.slow
def test_a_picture_of_many_runs_is_larger() -> None:
    import io

    from PIL import Image

    def size(content: bytes) -> np.ndarray:
        return np.array(Image.open(io.BytesIO(content)).size)

    one, five = (curves_bytes({str(i): history(2) for i in range(n)}) for n in (1, 5))
    assert (size(one) == (1800, 800)).all()
    assert size(five)[1] > size(one)[1]
