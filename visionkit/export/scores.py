"""The figures of an exported file and of its checkpoint over a split."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from visionkit.about import BETWEEN
from visionkit.batch import Batch
from visionkit.metrics.base import Evaluator
from visionkit.options import PredictOptions
from visionkit.runtimes.base import Runtime
from visionkit.runtimes.torch_math import full_precision
from visionkit.tasks.scoring import Scorer, answers

_COMMON = ("loss", "images")


@dataclass(frozen=True)
class Scores:
    """The figures of a checkpoint and of a file on the same pictures of a split.

    Attributes:
        split: its name.
        images: their number.
        monitor: the figure that says how good a model is.
        mode: ``max`` or ``min``: which way it gets better.
        checkpoint: the headline figures of the checkpoint.
        file: those of the file.
        judged: the figures that the file has to share; ``monitor`` unless given, and of a joint
            network that of each part.
    """

    split: str
    images: int
    monitor: str
    mode: str
    checkpoint: Mapping[str, float]
    file: Mapping[str, float]
    judged: tuple[str, ...] = ()

    @property
    def difference(self) -> dict[str, float]:
        """By how much each figure differs; what is undefined in both doesn't."""
        return {name: _apart(value, self.file[name]) for name, value in self.checkpoint.items()}


def _apart(one: float, other: float) -> float:
    gap = 0.0 if np.isnan([one, other]).all() else abs(one - other)
    return gap if np.isfinite(gap) else float("inf")


def score_both(
    reference: Runtime,
    file: Runtime,
    batches: Iterable[Batch],
    evaluators: tuple[Evaluator, Evaluator],
    options: PredictOptions,
    split: str,
) -> Scores:
    """Score a checkpoint and a file in one pass over a split.

    Args:
        reference: the checkpoint's network.
        file: the exported one.
        batches: of the split, each picture once.
        evaluators: one for either, built for that split.
        options: that both follow.
        split: its name.
    """
    scorers = [Scorer(evaluator) for evaluator in evaluators]
    with full_precision():
        for batch in batches:
            for runtime, scorer in zip((reference, file), scorers, strict=True):
                scorer.update({}, answers(runtime, batch, options), batch)
    first, second = (scorer.metrics() for scorer in scorers)
    heads = [name for name in first if _is_headline(name, file) and name not in _COMMON]
    monitor, mode = scorers[0].monitor
    return Scores(
        split=split,
        images=int(first["images"]),
        monitor=monitor,
        mode=mode,
        checkpoint={name: first[name] for name in heads},
        file={name: second[name] for name in heads},
        judged=evaluators[0].judged,
    )


def _is_headline(name: str, file: Runtime) -> bool:
    """Whether a figure is of all classes together."""
    part, _, rest = name.partition(BETWEEN)
    return BETWEEN not in (rest if part in file.parts else name)
