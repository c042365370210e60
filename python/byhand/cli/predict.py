"""The command `byhand predict`."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from rich.cells import cell_len

from byhand.cli.confusion import right_aligned, table_name
from byhand.cli.data import preparation, said_preparation
from byhand.cli.display import percent
from byhand.cli.evaluate import EpochOption, ModelArgument
from byhand.cli.options import Pictures, PicturesOption, RunDataOption
from byhand.cli.output import describe, is_terminal, one_line, say, warn
from byhand.cli.run_data import load_of_run
from byhand.cli.stored_model import load_model
from byhand.data import Dataset
from byhand.files.atomic import write_atomic
from byhand.models import Model

if TYPE_CHECKING:
    from byhand.pictures import Symbols


def predict(
    model: ModelArgument,
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="PATH",
            help="Picture files with one digit each, in any common format and size, or folders of "
            "such files.",
            show_default=False,
        ),
    ] = None,
    pictures: PicturesOption = None,
    split: Annotated[
        bool,
        typer.Option(
            "--split", help="Read all symbols of a picture, line by line, not only the largest."
        ),
    ] = False,
    show: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Draw each picture, the image that the model got from it, and the answer into "
            "this PNG file.",
        ),
    ] = None,
    test_image: Annotated[
        int | None,
        typer.Option(
            min=0, metavar="N", help="Read image number N of the test set, counted from 0."
        ),
    ] = None,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json", help="Print one JSON object per line: the path, and the answer or the error."
        ),
    ] = False,
    epoch: EpochOption = None,
    data: RunDataOption = None,
) -> None:
    """Read the digits in pictures, or in one image of the test set.

    Ink and paper may have any colours. If a file is not a picture or is blank, the command reports
    it, continues with the other files and exits with code 1.
    """
    if not paths and test_image is None:
        raise typer.BadParameter(
            "name a picture (byhand data draw-examples DIR draws ten), or an image of the test set "
            "with --test-image N",
            param_hint="PATH",
        )
    if show is not None and (show.suffix.lower() != ".png" or not paths):
        reason = "name at least one picture to draw" if not paths else f"{show} must end in .png"
        raise typer.BadParameter(reason, param_hint="--show")
    if split and not paths:
        reason = "name at least one picture to split; an image of the test set has one digit"
        raise typer.BadParameter(reason, param_hint="--split")
    network, which = load_model(model, epoch)
    if which and is_terminal(sys.stderr):
        warn(f"{model}, {which}")
    if test_image is not None:
        sets = load_of_run(network, model, data, pictures)
        _predict_test_image(network, test_image, sets[1], as_json)
        if which and not as_json:
            say(f"    model  {which}")
    if paths:
        sheet = None if show is None else _Sheet(show, network)
        all_read = _predict_files(network, paths, pictures, split, as_json, sheet)
        if sheet is not None:
            sheet.write()
        if not all_read:
            raise typer.Exit(1)


# An answer whose probability is below this value is reported as unsure.
_SURE = 0.8


@dataclass(frozen=True)
class _Answer:
    """The answer of a model for one image.

    If the model has one output, `number` is that output, `digit` is the nearest whole number, and
    `probabilities` is None.
    """

    digit: int
    name: str
    probabilities: NDArray[np.float32] | None
    number: float

    def __str__(self) -> str:
        if self.probabilities is None:
            return f"{self.digit} ({self.number:.2f})"
        return f"{one_line(self.name)} ({percent(self.probabilities[self.digit])})"

    def doubt(self, names: Sequence[str]) -> str:
        """Return a note with the second best class, or "" if the model is sure of the best one."""
        if self.probabilities is None or self.probabilities[self.digit] >= _SURE:
            return ""
        second = int(np.argsort(self.probabilities)[-2])
        return f"unsure: perhaps {one_line(names[second])} ({percent(self.probabilities[second])})"

    def fields(self, model: Model) -> dict[str, Any]:
        """Return the answer as JSON fields.

        For a model with one output, the fields are the digit and the output. If the classes have
        names other than 0, 1, 2 and so on, the fields are the name of the class and the
        probabilities by name. For any other model, they are the digit and a list of probabilities.
        """
        if self.probabilities is None:
            return {"digit": self.digit, "number": self.number}
        values = self.probabilities.tolist()
        if _has_names(model):
            named = dict(zip(model.class_names, values, strict=True))
            return {"class": self.name, "probabilities": named}
        return {"digit": self.digit, "probabilities": values}


def _has_names(model: Model) -> bool:
    """Return true if the classes have names other than 0, 1, 2 and so on."""
    return model.classes > 1 and model.class_names != tuple(map(str, range(model.classes)))


def _answer(model: Model, image: NDArray[np.uint8]) -> _Answer:
    images = image[np.newaxis]
    digit = int(model.predict(images)[0])
    if model.classes == 1:
        return _Answer(digit, str(digit), None, float(model.outputs(images)[0, 0]))
    probabilities = model.predict_proba(images)[0]
    return _Answer(digit, model.class_names[digit], probabilities, float(digit))


class _Sheet:
    """The picture of `--show`. It collects cards until `write` draws them.

    There is one card for each file or, with `--split`, for each symbol. A card shows a picture, the
    image that the model got from it, and the answer.
    """

    def __init__(self, path: Path, model: Model) -> None:
        from byhand.pictures.sheet import MOST_CARDS, Card

        self._path, self._names, self._most = path, model.class_names, MOST_CARDS
        self._cards: list[Card] = []
        self._left_out = 0

    def add(self, path: Path, error: str = "", **parts: Any) -> None:
        from byhand.pictures.sheet import Card, thumbnail

        if len(self._cards) == self._most:
            self._left_out += 1
            return
        if not error:
            parts["picture"] = thumbnail(parts["picture"])
        self._cards.append(Card(os.fspath(path), error=error, **parts))

    def write(self) -> None:
        from byhand.pictures.sheet import sheet_png
        from byhand.plots.figure import drawable_names

        write_atomic(self._path, sheet_png(self._cards, drawable_names(self._names)))
        if self._left_out:
            warn(
                f"{self._path} shows the first {self._most} pictures; {self._left_out} more are "
                "left out"
            )


def _predict_files(
    model: Model,
    paths: list[Path],
    pictures: Pictures | None,
    split: bool,
    as_json: bool,
    sheet: _Sheet | None,
) -> bool:
    """Print the answer or the error for each file. Return true if every file has an answer."""
    from byhand.pictures import PictureError, symbols_for

    way = preparation(model, pictures)
    if split and way != "digits":
        raise typer.BadParameter(
            "the option finds digits on paper, but pictures for this model are only resized: use "
            "--pictures digits",
            param_hint="--split",
        )
    all_read, read_count = True, 0
    for path in _files(paths):
        try:
            symbols = symbols_for(model, path, way)
        except (PictureError, OSError) as error:
            reason = _reason(path, error)
            all_read = False
            if as_json:
                say(json.dumps({"path": str(path), "error": reason}))
            else:
                warn(f"{one_line(str(path))}: {reason}")
            if sheet is not None:
                sheet.add(path, reason)
            continue
        read_count += 1
        if split:
            _say_each(model, path, symbols, way if as_json else None, sheet)
        else:
            _say_one(model, path, symbols, way if as_json else None, sheet)
    if read_count and not as_json:
        warn(said_preparation(model, way))
    return all_read


def _say_one(
    model: Model, path: Path, symbols: Symbols, json_way: Pictures | None, sheet: _Sheet | None
) -> None:
    """Print the answer for the largest symbol, and the reasons to doubt it.

    If the answer is printed as JSON, `json_way` says how the picture was prepared. If it is printed
    as text, `json_way` is None.
    """
    image, count = symbols.images[symbols.main], len(symbols.images)
    answer = _answer(model, image)
    notes = []
    if count > 1:
        notes.append(f"the largest of {count} marks")
    if not symbols.strokes:
        notes.append("looks like a blob, not like a pen's strokes")
    if doubt := answer.doubt(model.class_names):
        notes.append(doubt)
    said = "; ".join([str(answer), *notes])
    if json_way is not None:
        extra: dict[str, Any] = {"pictures": json_way.value}
        extra |= {"notes": notes} if notes else {}
        extra |= {"marks": count} if count > 1 else {}
        say(json.dumps({"path": str(path), **answer.fields(model), **extra}, allow_nan=False))
    else:
        say(f"{one_line(str(path))}: {said}")
    if count > 1:
        advice = "only the largest is read: crop the picture, or use --split"
        warn(f"{one_line(str(path))}: {count} marks found; {advice}")
    if sheet is not None:
        parts: dict[str, Any] = {"probabilities": answer.probabilities, "answer": said}
        sheet.add(path, picture=symbols.pixels, image=image, **parts)


def _say_each(
    model: Model, path: Path, symbols: Symbols, json_way: Pictures | None, sheet: _Sheet | None
) -> None:
    """Print the answers for all symbols, in reading order. `json_way` is as in `_say_one`."""
    answers = [_answer(model, image) for image in symbols.images]
    names = [answer.name for answer in answers]
    text = ("" if max(map(len, names)) == 1 else " ").join(names)
    if json_way is not None:
        each = [
            {**answer.fields(model), "box": [round(side, 4) for side in box]}
            for answer, box in zip(answers, symbols.boxes, strict=True)
        ]
        fields = {"path": str(path), "text": text, "marks": each, "pictures": json_way.value}
        say(json.dumps(fields, allow_nan=False))
    else:
        say(f"{one_line(f'{path}: {text}')}  ({', '.join(map(str, answers))})")
    if sheet is None:
        return
    for number, (answer, image) in enumerate(zip(answers, symbols.images, strict=True), 1):
        title = Path(f"{path}, {number} of {len(answers)}")
        parts: dict[str, Any] = {"probabilities": answer.probabilities, "answer": str(answer)}
        sheet.add(title, picture=symbols.pixels, image=image, **parts)


def _reason(path: Path, error: Exception) -> str:
    """Return the reason of an error, without the name of the file."""
    if isinstance(error, IsADirectoryError):
        return "no pictures in this folder"
    return describe(error).removeprefix(f"{path}: ")


def _files(paths: list[Path]) -> Iterator[Path]:
    """Yield the named files, and the sorted files in and below the named folders.

    Hidden files and files that operating systems create are left out. A folder without files is
    itself yielded, so that the caller reports it.
    """
    from byhand.pictures.listing import is_hidden

    for path in paths:
        if not path.is_dir():
            yield path
            continue
        found = False
        for folder, below, names in os.walk(path):
            below[:] = sorted(name for name in below if not is_hidden(name))
            for name in sorted(names):
                if not is_hidden(name):
                    found = True
                    yield Path(folder, name)
        if not found:
            yield path


def _predict_test_image(model: Model, number: int, test: Dataset, as_json: bool) -> None:
    if number >= len(test):
        raise typer.BadParameter(
            f"{number} is not one of the {len(test):,} test images, 0 to {len(test) - 1}",
            param_hint="--test-image",
        )
    answer, actual = _answer(model, test.images[number]), int(test.labels[number])
    if as_json:
        right = model.class_names[actual] if _has_names(model) else actual
        fields = {"test_image": number, **answer.fields(model), "actual": right}
        say(json.dumps(fields, allow_nan=False))
        return
    if answer.probabilities is None:
        say(f"predicted  {answer}")
        say(f"   actual  {actual}")
        return
    names = [table_name(name) for name in model.class_names]
    width = max(9, *map(cell_len, names))
    for name, probability in zip(names, answer.probabilities, strict=True):
        bar = "#" * round(40 * probability)
        say(f"{right_aligned(name, width)}  {percent(probability):>8}  {bar}".rstrip())
    say(f"predicted  {one_line(answer.name)}")
    say(f"   actual  {one_line(model.class_names[actual])}")
