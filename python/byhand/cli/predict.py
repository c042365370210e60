"""`byhand predict`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from byhand.cli.data import load_for
from byhand.cli.display import percent
from byhand.cli.evaluate import BestOption, ModelArgument, load_model
from byhand.cli.options import DataOption
from byhand.cli.output import describe, fail, say, warn
from byhand.models import Model


def predict(
    model: ModelArgument,
    images: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="IMAGE",
            help="Pictures of 28x28 pixels: light digits on a dark ground, as in MNIST.",
            show_default=False,
        ),
    ] = None,
    test_image: Annotated[
        int | None,
        typer.Option(min=0, metavar="N", help="Image N of the test set, counted from 0."),
    ] = None,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="A JSON object a line: path, digit, probabilities; or error."),
    ] = False,
    best: BestOption = False,
    data: DataOption = None,
) -> None:
    """Tell the digits in pictures, or in one image of the test set."""
    if not images and test_image is None:
        raise typer.BadParameter("name at least one, or --test-image N", param_hint="IMAGE")
    network = load_model(model, best)
    if test_image is not None:
        _predict_test_image(network, test_image, data, as_json)
    failed = False
    for path, answer in _predict_files(network, images or []):
        failed |= isinstance(answer, str)
        if as_json:
            fields = {"error": answer} if isinstance(answer, str) else answer.fields()
            say(json.dumps({"path": str(path), **fields}, allow_nan=False))
        elif isinstance(answer, str):
            warn(answer)
        else:
            say(f"{path}: {answer.name} ({percent(answer.probabilities[answer.digit])})")
    if failed:
        raise typer.Exit(1)


@dataclass(frozen=True)
class _Answer:
    digit: int
    name: str
    probabilities: list[float]

    def fields(self) -> dict[str, Any]:
        return {"digit": self.digit, "probabilities": self.probabilities}


def _answer(model: Model, image: NDArray[np.uint8]) -> _Answer:
    probabilities = model.predict_proba(image[np.newaxis])[0]
    digit = int(probabilities.argmax())
    return _Answer(digit, model.class_names[digit], [float(p) for p in probabilities])


def _predict_files(model: Model, paths: list[Path]) -> Iterator[tuple[Path, _Answer | str]]:
    """Each path with its answer or, where the file cannot be used, the reason."""
    if not paths:
        return
    from byhand.cli.images import ImageError, read_image

    channels, height, width = model.input_shape
    if channels != 1:
        fail(f"the model takes images of {channels} channels, but pictures are read as grey")
    for path in paths:
        try:
            yield path, _answer(model, read_image(path, height, width))
        except ImageError as error:
            yield path, f"{path}: {error}"
        except OSError as error:
            yield path, describe(error)


def _predict_test_image(model: Model, number: int, data: Path | None, as_json: bool) -> None:
    _, test = load_for(model, data)
    if number >= len(test):
        raise typer.BadParameter(
            f"{number} is not one of the {len(test):,} test images, 0 to {len(test) - 1}",
            param_hint="--test-image",
        )
    answer, actual = _answer(model, test.images[number]), int(test.labels[number])
    if as_json:
        fields = {"test_image": number, **answer.fields(), "actual": actual}
        say(json.dumps(fields, allow_nan=False))
        return
    for name, probability in zip(model.class_names, answer.probabilities, strict=True):
        say(f"{name:>9}  {percent(probability):>8}  {'#' * round(40 * probability)}".rstrip())
    say(f"predicted  {answer.name}")
    say(f"   actual  {model.class_names[actual]}")
