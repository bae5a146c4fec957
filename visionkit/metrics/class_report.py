"""Tables and pictures of what a classifier got right and wrong."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from visionkit.colours import class_colour
from visionkit.errors import DataError
from visionkit.geometry import Image
from visionkit.metrics import plots, sheets
from visionkit.metrics.sheets import Words
from visionkit.metrics.tables import cell, clean, write_csv
from visionkit.metrics.verdicts import THRESHOLD, Claim, Mistake
from visionkit.report import write_picture

if TYPE_CHECKING:
    from visionkit.metrics.classification import ClassificationEvaluator

MISTAKES = 24
PAIRS = 100
_JOIN = "|"


def write(folder: Path, evaluator: "ClassificationEvaluator") -> None:
    """Write what :meth:`visionkit.metrics.classification.ClassificationEvaluator.report` lists."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [clean(n) for n in evaluator.names]
    verdicts = evaluator.verdicts()
    rows = [
        [r.name, cell(r.precision), cell(r.recall), cell(r.f1), r.support]
        for r in evaluator.per_class()
    ]
    header: Sequence[str] = ("class", "precision", "recall", "f1", "support")
    write_csv(folder / "classes.csv", header, rows)
    header = ("true", "predicted", "pictures", "share")
    pairs = [[p.truth, p.said, p.pictures, cell(p.share)] for p in evaluator.most_confused(PAIRS)]
    write_csv(folder / "confused_pairs.csv", header, pairs)
    header = ("image_id", "file", "true", "predicted", "confidence")
    write_csv(folder / "predictions.csv", header, _predictions(evaluator))
    one = evaluator.index.exclusive
    plots.confusion(
        folder / "confusion_matrix.png",
        verdicts.confusion(),
        names,
        "" if one else f"from {THRESHOLD} on; off the diagonal: in place of one missed",
    )
    reliability = verdicts.calibration(evaluator.bins)
    plots.reliability(folder / "reliability.png", reliability, one)
    _write_mistakes(folder / "mistakes.jpg", evaluator, names)


def _predictions(evaluator: "ClassificationEvaluator") -> Iterator[list[object]]:
    verdicts, index, names = evaluator.verdicts(), evaluator.index, evaluator.names
    for i, place in enumerate(evaluator.positions().tolist()):
        claim = verdicts.claim(i)
        yield [
            int(index.image_ids[place]),
            index.path(place),
            _JOIN.join(names[k] for k in claim.truth),
            _JOIN.join(names[k] for k in claim.said),
            _JOIN.join(str(np.float32(s)) for s in claim.scores),
        ]


def _write_mistakes(path: Path, evaluator: "ClassificationEvaluator", names: Sequence[str]) -> None:
    """Draw the surest mistakes; a sheet of an earlier report is taken away where there are none."""
    verdicts, positions = evaluator.verdicts(), evaluator.positions()
    wrongness = verdicts.wrongness()
    wrong = int((~verdicts.right).sum())
    if not wrong:
        path.unlink(missing_ok=True)
        return
    tiles = [
        sheets.tile(
            _read(evaluator, int(positions[i])),
            _caption(verdicts.claim(i), verdicts.mistake(i), names),
        )
        for i in np.argsort(-wrongness, kind="stable")[: min(MISTAKES, wrong)].tolist()
    ]
    which = f"the {len(tiles)} surest of {wrong}" if wrong > len(tiles) else f"all {wrong}"
    mistakes = f"{which} mistakes" if wrong > 1 else "the only mistake"
    write_picture(path, sheets.sheet(tiles, f"{mistakes} in {len(positions)} pictures"))


def _read(evaluator: "ClassificationEvaluator", place: int) -> Image | None:
    try:
        return evaluator.index.image(place)
    except (DataError, OSError):  # files may have gone since, and the report goes on
        return None


def _caption(claim: Claim, mistake: Mistake, names: Sequence[str]) -> tuple[Words, Words]:
    truth = ", ".join(names[k] for k in claim.truth) or "none"
    colour = class_colour(claim.truth[0]) if len(claim.truth) == 1 else None
    first = Words("truth", truth, colour)
    if mistake.label < 0:
        return first, Words("said", "nothing finite")
    lead = "missed" if mistake.missed else "said"
    score = f"{mistake.score:.2f}"
    return first, Words(lead, names[mistake.label], class_colour(mistake.label), score)
