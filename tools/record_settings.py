"""Compare settings for `byhand record speed` on held-out training images.

python tools/record_settings.py
python tools/record_settings.py --seeds 12

The script trains on 55,000 images of MNIST, and prints the mean accuracy on the other 5,000.
docs/records.md has its table. The test set is not used.
"""

from __future__ import annotations

import argparse
import statistics
from dataclasses import replace

from byhand.bench.record.recipes import SPEED, AdamRecipe, SmallLeNet
from byhand.data import Dataset, mnist

# Filters of the two convolutions, outputs of the hidden layer, batch size, label smoothing.
SETTINGS = [
    ((12, 32), 64, 128, 0.0),
    ((12, 32), 64, 128, 0.1),
    ((12, 32), 64, 128, 0.2),
    ((8, 32), 64, 96, 0.1),
    ((6, 24), 64, 96, 0.1),
    ((6, 24), 64, 128, 0.1),
    ((4, 24), 64, 96, 0.1),
]


def accuracy(recipe: AdamRecipe, sets: tuple[Dataset, Dataset], seed: int) -> float:
    """Train by a recipe, and return the accuracy on the held-out images in percent."""
    part, held_out = sets
    model = recipe.model(seed=seed)
    trainer = recipe.trainer(model, len(part), progress=False)
    trainer.fit(part, epochs=recipe.epochs, batch_size=recipe.batch_size, seed=seed)
    return 100 * float(model.evaluate(held_out).accuracy)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=16, help="number of seeds (default: 16)")
    seeds = parser.parse_args().seeds
    sets = mnist()[0].hold_out(1 / 12)
    print("| filters | hidden | batch | smoothing | held-out accuracy |")
    print("|---|---|---|---|---|")
    for filters, hidden, batch, smoothing in SETTINGS:
        recipe = replace(
            SPEED["99"],
            model=SmallLeNet(filters, (hidden,)),
            batch_size=batch,
            label_smoothing=smoothing,
        )
        mean = statistics.fmean(accuracy(recipe, sets, seed) for seed in range(seeds))
        names = f"{filters[0]}, {filters[1]} | {hidden} | {batch} | {smoothing:g}"
        print(f"| {names} | {mean:.2f} % |", flush=True)


if __name__ == "__main__":
    main()
