"""What helps when classes are rare: plain, class weights, balanced sampling, focal loss.

    python benchmarks/imbalance.py FASHION_MNIST_FOLDER [key=value ...]

Trains on four classes of Fashion-MNIST that are easily confused, of which the rarest has one
fiftieth of the pictures that the commonest has, and prints accuracy and macro-F1 on their (even)
test pictures, the mean of the seeds.
"""

import statistics
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from visionkit.compose import compose
from visionkit.data.class_index import ClassIndex
from visionkit.data.mnist import read_fashion_mnist
from visionkit.train import run

CLASSES = ("T-shirt/top", "Pullover", "Coat", "Shirt")
COUNTS = (4000, 1086, 295, 80)
SEEDS = (0, 1)
WAYS = {
    "plain": [],
    "class weights": ["head.class_weights=balanced"],
    "effective number": ["head.class_weights=effective"],
    "balanced sampling": ["data.sampling=balanced"],
    "focal loss": ["head.loss=focal"],
}


def read_imbalanced(
    root: str | Path, split: str, validation: int = 5000, download: bool = False
) -> ClassIndex | None:
    """The four classes of a split; in ``train`` with :data:`COUNTS` pictures."""
    whole = read_fashion_mnist(root, split, validation, download)
    if whole is None:
        return None
    rows = []
    for name, count in zip(CLASSES, COUNTS, strict=True):
        mine = np.flatnonzero(whole.labels == whole.classes.index(name))
        rows.append(mine[:count] if split == "train" else mine)
    labels = np.concatenate([np.full(len(mine), k) for k, mine in enumerate(rows)])
    chosen = np.concatenate(rows)
    assert whole.pixels is not None
    return replace(
        whole,
        classes=CLASSES,
        image_ids=whole.image_ids[chosen],
        labels=labels.astype(np.int64),
        pixels=whole.pixels[chosen],
    )


def main() -> None:
    """Train all ways and print the table."""
    root, *overrides = sys.argv[1:]
    table = Table(title=f"training pictures {COUNTS}, seeds {SEEDS}")
    for column in ("", "accuracy", "macro F1", *(f"F1 {name}" for name in CLASSES)):
        table.add_column(column)
    keys = ["accuracy", "macro_f1", *(f"f1/{name}" for name in CLASSES)]
    for way, words in WAYS.items():
        found = []
        for seed in SEEDS:
            with tempfile.TemporaryDirectory() as folder:
                common = [
                    "task=classification",
                    "data=fashion_mnist",
                    f"data.root={root}",
                    f"data.layout={{_target_: {__name__}.read_imbalanced, _partial_: true}}",
                    f"allow=[{__name__}]",
                    "experiment=small_images",
                    f"run_dir={folder}",
                    f"seed={seed}",
                ]
                found.append(run(compose([*common, *words, *overrides])))
        table.add_row(way, *(f"{statistics.mean(f[k] for f in found):.3f}" for k in keys))
    Console().print(table)


if __name__ == "__main__":
    main()
