"""What kind of error costs a detector how much (TIDE: Bolya, Foley, Hays & Hoffman 2020).

Every false positive is one kind of error, and every truth that no detection explains is missed. A
kind costs what AP50 would gain if all errors of that kind were mended, and no other.
"""

from dataclasses import dataclass

import numpy as np

from visionkit.metrics.coco_curves import Array
from visionkit.metrics.matching import (
    Flags,
    Integers,
    Matches,
    Pairs,
    average_precision,
    mean_defined,
)

KINDS = ("classification", "localisation", "both", "duplicate", "background", "missed")


@dataclass(frozen=True)
class Errors:
    """What AP50 loses, and to what.

    Attributes:
        ap50: the mean over classes with truth at the IoU of the matching, COCO's AP50; -1 without.
        costs: by kind, what AP50 would gain, 0..1; -1 where there is no truth.
        counts: by kind, how many detections (``missed``: truths) it is.
    """

    ap50: float
    costs: dict[str, float]
    counts: dict[str, int]


@dataclass(frozen=True)
class _Nearest:
    """The truth that each of D detections overlaps most: its number or -1, and the IoU or 0."""

    truth: Integers
    iou: Array


def error_breakdown(matches: Matches, background: float = 0.1) -> Errors:
    """Sort the errors of a detector into six kinds and say what each costs.

    A false positive is measured against truths of its own class first, then against others. With
    t_f the IoU of the matching and t_b that of ``background`` it is

    - ``duplicate`` from t_f on with its own class: a better score has the truth. Mended: dropped.
    - ``localisation`` between t_b and t_f with its own class. Mended: the box becomes the truth's.
    - ``classification`` from t_f on with another class. Mended: it gets the truth's class.
    - ``both`` between t_b and t_f with another class. Mended: dropped.
    - ``background`` else. Mended: dropped.

    ``missed`` are truths without a match that no error of localisation or classification is about.
    Mended: they don't count; where a class has none left, and so nothing right, its AP stays 0.

    Where a mended detection meets a truth that another one has, that of the better score stays.
    Crowds, and what lies in them, count nowhere.

    Args:
        matches: made with ``least`` of ``background`` or less.
        background: t_b, the IoU below which a detection has nothing to do with a truth.
    """
    wrong, labels = matches.wrong, matches.labels
    real = wrong[matches.pairs.detection] & ~matches.truth_ignored[matches.pairs.truth]
    pairs = matches.pairs.take(real & (matches.pairs.iou >= background))
    mine = labels[pairs.detection] == matches.truth_labels[pairs.truth]
    own = _nearest(pairs.take(mine), len(labels))
    other = _nearest(pairs.take(~mine), len(labels))
    near = min(matches.iou, 1 - 1e-10)
    rules: dict[str, Flags] = {
        "duplicate": own.iou >= near,
        "localisation": own.truth >= 0,
        "classification": other.iou >= near,
        "both": other.truth >= 0,
        "background": wrong,
    }
    left, chosen = wrong.copy(), {}
    for kind, rule in rules.items():
        chosen[kind] = left & rule
        left &= ~rule
    missed = ~matches.truth_ignored
    missed[matches.truth[matches.right]] = False
    missed[own.truth[chosen["localisation"]]] = False
    missed[other.truth[chosen["classification"]]] = False
    truths = matches.truth_labels[missed]
    unseen = np.bincount(truths, minlength=len(matches.counts))

    def score(counts: Integers, dropped: Flags | None = None) -> float:
        keep = ~matches.ignored if dropped is None else ~matches.ignored & ~dropped
        return mean_defined(average_precision(labels[keep], matches.right[keep], counts))

    ap50 = score(matches.counts)
    some = np.minimum(matches.counts, 1)
    better = {
        "classification": _mended(matches, chosen["classification"], other.truth),
        "localisation": _mended(matches, chosen["localisation"], own.truth),
        **{k: score(matches.counts, chosen[k]) for k in ("both", "duplicate", "background")},
        "missed": score(np.maximum(matches.counts - unseen, some)),
    }
    counts = {kind: int(flags.sum()) for kind, flags in chosen.items()}
    counts["missed"] = int(missed.sum())
    return Errors(
        ap50,
        {kind: better[kind] - ap50 if ap50 > -1 else -1.0 for kind in KINDS},
        {kind: counts[kind] for kind in KINDS},
    )


def _nearest(pairs: Pairs, detections: int) -> _Nearest:
    order = np.lexsort((-pairs.truth, pairs.iou, pairs.detection))
    found = pairs.take(order)
    best = found.take(np.flatnonzero(np.diff(found.detection, append=-1)))
    nearest = _Nearest(np.full(detections, -1, np.int64), np.zeros(detections))
    nearest.truth[best.detection] = best.truth
    nearest.iou[best.detection] = best.iou
    return nearest


def _mended(matches: Matches, chosen: Flags, target: Integers) -> float:
    """The mean AP if the chosen detections found their targets."""
    claim = np.where(chosen, target, np.where(matches.right, matches.truth, -1))
    claimants = np.flatnonzero(claim >= 0)
    # detections come best first, and the first claim to a truth is the one that stays
    first = claimants[np.unique(claim[claimants], return_index=True)[1]]
    right = np.zeros(len(claim), bool)
    right[first] = True
    labels = matches.labels.copy()
    labels[first] = matches.truth_labels[claim[first]]
    keep = ~matches.ignored & (right | (claim < 0))
    return mean_defined(average_precision(labels[keep], right[keep], matches.counts))
