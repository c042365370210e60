"""The command `byhand export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from byhand.checks import with_batch
from byhand.cli.evaluate import EpochOption, ModelArgument
from byhand.cli.output import announce, say
from byhand.cli.stored_model import load_model
from byhand.export import save
from byhand.export.files import SUFFIXES
from byhand.export.onnx_model import exported_shape


def export(
    model: ModelArgument,
    out: Annotated[
        Path,
        typer.Argument(metavar="FILE", dir_okay=False, help="The file: NAME.onnx or NAME.pt2."),
    ],
    epoch: EpochOption = None,
) -> None:
    """Write a model as a file for ONNX Runtime (.onnx) or PyTorch (.pt2).

    The exported model takes images of uint8 and prepares them itself.
    """
    if out.suffix not in SUFFIXES:
        raise typer.BadParameter(f"{out} must end in {' or '.join(SUFFIXES)}.", param_hint="FILE")
    network, which = load_model(model, epoch)
    announce(f"writing {out}")
    save(network, out)
    if which:
        say(which)
    outputs = "number" if network.classes == 1 else "logits and probabilities"
    if out.suffix == ".pt2":
        outputs = outputs.removesuffix(" and probabilities")
    say(f"input   images, uint8, {with_batch(exported_shape(network))}")
    say(f"output  {outputs}, float32, (N, {network.classes})")
    say(f"file    {out.resolve()}")
