"""Compare settings for `byhand record` on held-out training images.

python tools/record_settings.py
python tools/record_settings.py --record size --seeds 2

The script trains on 55,000 images of MNIST, and prints the mean and the worst accuracy on the other
5,000. docs/records.md has its tables. The test set is not used.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Mapping
from dataclasses import replace

from byhand.bench.record.recipes import (
    ACCURACY,
    SIZE,
    SPEED,
    DeepConvolutions,
    RepeatedBlocks,
    SmallLeNet,
)
from byhand.data import Dataset, mnist
from byhand.training import Warp
from byhand.training.recipes import Recipe

# Filters of the two convolutions, outputs of the hidden layer, batch size, label smoothing.
SPEED_SETTINGS = [
    ((12, 32), 64, 128, 0.0),
    ((12, 32), 64, 128, 0.1),
    ((12, 32), 64, 128, 0.2),
    ((8, 32), 64, 96, 0.1),
    ((6, 24), 64, 96, 0.1),
    ((6, 24), 64, 128, 0.1),
    ((4, 24), 64, 96, 0.1),
]
# Filters of the two convolutions, outputs of the hidden layer, learning rate, epochs, for 99.5 %.
LONGER_SPEED_SETTINGS = [
    ((16, 48), 128, 0.01, 6),
    ((16, 48), 128, 0.01, 8),
    ((24, 64), 128, 0.01, 6),
    ((16, 48), 128, 0.005, 8),
    ((16, 48), 128, 0.005, 10),
]
# Channels, uses of the two blocks, weight decay, largest shift in pixels, epochs.
SIZE_SETTINGS = [
    (12, (2, 2), 0, 1, 20),
    (12, (2, 2), 0, 2, 20),
    (12, (1, 1), 0, 1, 20),
    (8, (2, 2), 0, 1, 20),
    (12, (2, 2), 0, 1, 30),
    (12, (2, 2), 0.05, 1, 30),
    (12, (2, 2), 0.15, 1, 30),
    (12, (2, 2), 0.4, 1, 30),
    (12, (2, 2), 0, 1, 45),
    (12, (2, 2), 0.05, 1, 45),
    (12, (2, 2), 0, 1, 120),
]
# Weight decay, elastic displacement, label smoothing, epochs.
ACCURACY_SETTINGS = [
    (0.05, 0.0, 0.0, 60),
    (0.1, 0.0, 0.0, 60),
    (0.3, 0.0, 0.0, 60),
    (0.8, 0.0, 0.0, 60),
    (0.2, 0.5, 0.05, 60),
    (0.3, 0.0, 0.0, 120),
    (0.3, 0.0, 0.0, 300),
    (0.3, 0.0, 0.0, 600),
]
# Channels of the three pairs of convolutions, elastic displacement, label smoothing.
CONV_SETTINGS = [
    ((32, 64, 96), 0.8, 0.1),
    ((32, 64, 96), 0.0, 0.1),
    ((32, 64, 96), 0.0, 0.0),
    ((32, 64, 128), 0.0, 0.1),
]


# The recipes that are compared for each record. A key has the cells of a row of the table.
SETTINGS: dict[str, Mapping[str, Recipe]] = {
    "speed": {
        f"{filters[0]}, {filters[1]} | {hidden} | {batch} | {smoothing:g}": replace(
            SPEED["99"],
            model=SmallLeNet(filters, (hidden,)),
            batch_size=batch,
            label_smoothing=smoothing,
        )
        for filters, hidden, batch, smoothing in SPEED_SETTINGS
    },
    "speed-99.5": {
        f"{filters[0]}, {filters[1]} | {hidden} | {lr:g} | {epochs}": replace(
            SPEED["99.5"], model=SmallLeNet(filters, (hidden,)), lr=lr, epochs=epochs
        )
        for filters, hidden, lr, epochs in LONGER_SPEED_SETTINGS
    },
    "size": {
        f"{channels} | {repeats} | {decay:g} | {shift} | {epochs}": replace(
            SIZE,
            model=RepeatedBlocks(channels, repeats),
            weight_decay=decay,
            max_shift=shift,
            epochs=epochs,
        )
        for channels, repeats, decay, shift, epochs in SIZE_SETTINGS
    },
    "accuracy": {
        f"{decay:g} | {elastic:g} | {smoothing:g} | {epochs}": replace(
            ACCURACY["lenet5"],
            weight_decay=decay,
            augment=Warp(10, 0.1, 5, 0, elastic),
            label_smoothing=smoothing,
            epochs=epochs,
        )
        for decay, elastic, smoothing, epochs in ACCURACY_SETTINGS
    },
    "accuracy-conv": {
        f"{channels[0]}, {channels[1]}, {channels[2]} | {elastic:g} | {smoothing:g}": replace(
            ACCURACY["conv"],
            model=DeepConvolutions(channels),
            augment=Warp(elastic=elastic),
            label_smoothing=smoothing,
            epochs=10,
        )
        for channels, elastic, smoothing in CONV_SETTINGS
    },
}
HEADERS = {
    "speed": "filters | hidden | batch | smoothing",
    "speed-99.5": "filters | hidden | learning rate | epochs",
    "size": "channels | uses of the blocks | weight decay | shift | epochs",
    "accuracy": "weight decay | elastic | smoothing | epochs",
    "accuracy-conv": "channels | elastic | smoothing",
}
SEEDS = {"speed": 16, "speed-99.5": 4, "size": 2, "accuracy": 2, "accuracy-conv": 1}


def accuracy(recipe: Recipe, sets: tuple[Dataset, Dataset], seed: int) -> float:
    """Train by a recipe, and return the accuracy on the held-out images in percent."""
    part, held_out = sets
    model = recipe.model(seed=seed)
    trainer = recipe.trainer(model, len(part), progress=False)
    trainer.fit(part, epochs=recipe.epochs, batch_size=recipe.batch_size, seed=seed)
    return 100 * float(model.evaluate(held_out).accuracy)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--record", choices=SETTINGS, default="speed", help="default: speed")
    defaults = ", ".join(f"{count} for {name}" for name, count in SEEDS.items())
    parser.add_argument("--seeds", type=int, help=f"number of seeds (default: {defaults})")
    options = parser.parse_args()
    seeds = range(options.seeds or SEEDS[options.record])
    sets = mnist()[0].hold_out(1 / 12)
    columns = HEADERS[options.record].count("|") + 1
    print(f"| {HEADERS[options.record]} | mean | worst |")
    print("|" + "---|" * (columns + 2))
    for name, recipe in SETTINGS[options.record].items():
        found = [accuracy(recipe, sets, seed) for seed in seeds]
        print(f"| {name} | {statistics.fmean(found):.2f} % | {min(found):.2f} % |", flush=True)


if __name__ == "__main__":
    main()
