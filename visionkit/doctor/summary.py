"""A data set in figures."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visionkit.data.defects import Defect
from visionkit.data.index import DetectionIndex, Index
from visionkit.data.mask_index import MaskIndex
from visionkit.data.pair_index import UnpairedIndex
from visionkit.doctor.classes import amounts, examples, extremes
from visionkit.doctor.examine import Findings, Place, harms
from visionkit.doctor.masks import mask_pixels
from visionkit.doctor.scan import shapes_of

SMALL, LARGE = 32.0**2, 96.0**2
"""COCO's limits of small and large objects, in square pixels."""
_QUANTILES = (0, 0.05, 0.25, 0.5, 0.75, 0.95, 1)


@dataclass(frozen=True)
class BoxFigures:
    """The usable boxes of a split, crowds left out.

    Attributes:
        sides: [M, 2], width and height in original pixels, clipped to the picture where its size is
            known.
        centres: [M, 2], x and y as parts of the picture.
        scale: [M], from original pixels to the canvas.
    """

    sides: NDArray[np.float64]
    centres: NDArray[np.float64]
    scale: NDArray[np.float64]


def box_figures(
    index: DetectionIndex, sizes: NDArray[np.int64], canvas: tuple[int, int]
) -> BoxFigures:
    """Measure the boxes of a split.

    Args:
        index: the split.
        sizes: [N, 2], height and width of its pictures; those of 0 0 are left out.
        canvas: height and width.
    """
    owner = np.repeat(np.arange(len(index)), np.diff(index.first))
    size = sizes[owner].reshape(-1, 2)[:, ::-1].astype(np.float64)
    low = np.clip(index.boxes[:, :2], 0, size)
    high = np.clip(index.boxes[:, :2] + index.boxes[:, 2:], 0, size)
    kept = (high > low).all(1) & ~index.crowd
    low, high, size = low[kept], high[kept], size[kept]
    scale = np.min(np.array([canvas[1], canvas[0]]) / np.maximum(size, 1), axis=1)
    return BoxFigures(high - low, (low + high) / 2 / np.maximum(size, 1), scale)


def summarise(found: Findings) -> dict[str, Any]:
    """What there is in a set, as plain data.

    ``splits`` has, for each, ``pictures``, ``readable``, the counts of ``classes``, and for boxes
    ``boxes``, ``crowds`` and ``empty`` pictures; for masks the counts are pixels, and there are
    ``masks`` (readable ones), ``unlabelled`` (all void), ``void`` (part of the pixels) and
    ``shown_in`` (masks that show each class); for two lists of pictures ``others``, how many the
    second has. Lengths are in original pixels; ``on_canvas`` is
    after scaling to the canvas. Quantiles are those of 0, 5, 25, 50, 75, 95 and 100 %.
    """
    sizes = {split: shapes_of(found.looks[split], i) for split, i in found.splits.items()}
    summary: dict[str, Any] = {
        "splits": {split: _split(found, split, index) for split, index in found.splits.items()},
        "pictures": _pictures(found, list(sizes.values())),
        "imbalance": _imbalance(found),
    }
    boxes = [
        box_figures(index, sizes[split], found.canvas)
        for split, index in found.splits.items()
        if isinstance(index, DetectionIndex)
    ]
    if any(len(b.sides) for b in boxes):
        summary["boxes"] = _boxes(boxes)
    groups = {"exact": found.exact, "near": found.near}
    summary["duplicates"] = {
        kind: {
            "pictures": sum(len(group) - 1 for group in each),
            "between_splits": sum(_between(group) for group in each),
            "groups": [[{"split": p.split, "file": p.file} for p in group] for group in each],
        }
        for kind, each in groups.items()
    }
    return summary


def report_data(found: Findings) -> dict[str, Any]:
    """All that was found, as plain data: what ``report.json`` holds."""
    kinds = Counter(defect.kind for defect in found.defects)
    return {
        "root": str(found.root),
        "canvas": list(found.canvas),
        "suffers": found.suffers,
        "kinds": dict(kinds.most_common()),
        "defects": [_plain(defect) for defect in found.defects],
        "notes": list(found.notes),
        "summary": summarise(found),
    }


def _plain(defect: Defect) -> dict[str, Any]:
    return {
        "kind": defect.kind,
        "file": defect.file,
        "cause": defect.cause,
        "mend": defect.mend,
        "effect": defect.effect,
        "split": defect.split,
        "suffers": harms(defect),
    }


def _between(group: Sequence[Place]) -> bool:
    return len({place.split for place in group}) > 1


def _split(found: Findings, split: str, index: Index) -> dict[str, Any]:
    looks = found.looks[split]
    figures: dict[str, Any] = {
        "pictures": len(index),
        "readable": sum(look.size is not None for look in looks),
    }
    if isinstance(index, DetectionIndex):
        figures["boxes"] = int((~index.crowd).sum())
        figures["crowds"] = int(index.crowd.sum())
        figures["empty"] = int((np.diff(index.first) == 0).sum())
    elif isinstance(index, MaskIndex):
        pixels = mask_pixels(index, looks)
        each, void = pixels.sum(1), pixels[:, -1]
        figures["masks"] = int((each > 0).sum())
        figures["unlabelled"] = int(((each > 0) & (each == void)).sum())
        figures["void"] = round(float(void.sum() / max(1, each.sum())), 6)
        figures["shown_in"] = examples(index, looks)
    elif isinstance(index, UnpairedIndex):
        figures["others"] = len(index.targets)
    return figures | {"classes": amounts(index, looks)}


def _pictures(found: Findings, sizes: Sequence[NDArray[np.int64]]) -> dict[str, Any]:
    looks = [look for split in found.splits for look in found.looks[split]]
    known = np.concatenate([s[s[:, 0] > 0] for s in sizes]) if sizes else np.zeros((0, 2))
    figures: dict[str, Any] = {
        "formats": dict(Counter(look.form for look in looks if look.form).most_common())
    }
    if len(known):
        height, width = known.T
        common = Counter(map(tuple, known[:, ::-1].tolist())).most_common(5)
        figures |= {
            "width": _quantiles(width),
            "height": _quantiles(height),
            "aspect": _quantiles(width / height),
            "most_common": [{"width": w, "height": h, "pictures": n} for (w, h), n in common],
        }
    return figures


def _boxes(figures: Sequence[BoxFigures]) -> dict[str, Any]:
    sides = np.concatenate([b.sides for b in figures])
    scaled = sides * np.concatenate([b.scale for b in figures])[:, None]

    def by_size(pixels: NDArray[np.float64]) -> dict[str, int]:
        area = pixels.prod(1)
        small, large = int((area < SMALL).sum()), int((area >= LARGE).sum())
        return {"small": small, "medium": len(area) - small - large, "large": large}

    return {
        "width": _quantiles(sides[:, 0]),
        "height": _quantiles(sides[:, 1]),
        "aspect": _quantiles(sides[:, 0] / sides[:, 1]),
        "sizes": by_size(sides),
        "on_canvas": {
            "width": _quantiles(scaled[:, 0]),
            "height": _quantiles(scaled[:, 1]),
            "sizes": by_size(scaled),
        },
    }


def _imbalance(found: Findings) -> dict[str, Any] | None:
    split = "train" if found.splits.get("train") else next(iter(found.splits), None)
    if split is None:
        return None
    counts = amounts(found.splits[split], found.looks[split])
    ends = extremes(counts)
    if ends is None:
        return None
    most, fewest, ratio = ends
    what = "pixels" if isinstance(found.splits[split], MaskIndex) else "examples"
    return {
        "most": {"class": most, what: counts[most]},
        "fewest": {"class": fewest, what: counts[fewest]},
        "ratio": ratio,
    }


def _quantiles(values: NDArray[Any]) -> list[float]:
    return [round(float(v), 3) for v in np.quantile(values, _QUANTILES)]
