"""Boxes of one picture that several looks at it found, put together. NumPy only."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from visionkit.runtimes.suppress import Found

Floats = NDArray[np.float64]
Places = NDArray[np.int64]

SAME_IN_VIEWS = 0.55
"""Boxes of two views of one region that overlap by more are one object: the paper's value."""
SAME_IN_WINDOWS = 0.5
"""Likewise of two windows, of which one may show the object smaller, or only a part of it."""
_NEAR = 0.01  # of a window's side: who ends so near to its border may go on beyond it
_LEAST_NEAR = 2.0  # pixels


def stacked(parts: Sequence[Found]) -> tuple[Found, Places]:
    """Return the boxes of all parts, and the part of each."""
    if not parts:
        return Found(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), _none()), _none()
    number = np.repeat(np.arange(len(parts)), [len(part.scores) for part in parts])
    return Found(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True))), number


def overlaps(a: NDArray[np.floating], b: NDArray[np.floating]) -> Floats:
    """Intersection over union [A, B] of boxes [A, 4] and [B, 4]; 0 for empty ones."""
    return _overlap(a.astype(np.float64)[:, None], b.astype(np.float64)[None])


def _overlap(a: Floats, b: Floats) -> Floats:
    low, high = np.maximum(a[..., :2], b[..., :2]), np.minimum(a[..., 2:], b[..., 2:])
    shared = np.clip(high - low, 0, None).prod(-1)
    area_a, area_b = (np.clip(x[..., 2:] - x[..., :2], 0, None).prod(-1) for x in (a, b))
    whole = area_a + area_b - shared
    return np.asarray(shared / np.maximum(whole, 1e-9), np.float64)


def fuse(views: Sequence[Found]) -> Found:
    """Weighted boxes fusion (Solovyev et al. 2021) of what views of one region say.

    Best first, each box joins the group of its class that it overlaps most, and by more than 0.55,
    of those that have no box of the same view; else it begins a group. The box of a group is the
    mean of its boxes, weighted by their scores. Its score is their mean over all views, with 0 for
    those that have no box in it. As no view has two, objects that a view tells apart stay apart.

    Args:
        views: boxes in the pixels of one picture.

    Returns:
        A box for each group, best first.
    """
    if len(views) == 1:
        return views[0]
    found, view = stacked(views)
    order = np.argsort(-found.scores, kind="stable")
    count = len(order)
    sums, boxes = np.zeros((count, 4)), np.zeros((count, 4))
    scores, labels = np.zeros(count), np.zeros(count, np.int64)
    seen = np.zeros((count, len(views)), bool)
    groups = 0
    for i in order.tolist():
        box, score = found.boxes[i].astype(np.float64), float(found.scores[i])
        free = (labels[:groups] == found.labels[i]) & ~seen[:groups, view[i]]
        overlap = np.where(free, _overlap(boxes[:groups], box[None]), 0.0)
        group = int(overlap.argmax()) if groups else 0
        if not groups or overlap[group] <= SAME_IN_VIEWS:
            group, groups = groups, groups + 1
            labels[group] = found.labels[i]
        weight = max(score, 1e-9)
        sums[group] += weight * box
        scores[group] += weight
        boxes[group] = sums[group] / scores[group]
        seen[group, view[i]] = True
    fused = Found(
        boxes[:groups].astype(np.float32),
        (scores[:groups] / len(views)).astype(np.float32),
        labels[:groups],
    )
    return fused.take(np.argsort(-fused.scores, kind="stable"))


class _Seen(NamedTuple):
    """Boxes and how each was seen.

    Attributes:
        found: N boxes.
        window: [N], where each was seen.
        area: [N, 4], what was seen there.
        cut: [N, 4], whether a side lies at the border of its window, inside the picture.
        near: [N, 4], how near that is, in pixels.
    """

    found: Found
    window: Places
    area: Floats
    cut: NDArray[np.bool_]
    near: Floats


def join(parts: Sequence[Found], windows: Floats, size: tuple[int, int], iou: float) -> Found:
    """Make one list of what windows over a picture, which overlap, say.

    A side of a box that lies at a border of its window, inside the picture, is cut: the object may
    go on there. Two windows say the same of an object if their boxes overlap by half in what both
    see, where a box that is cut goes on beyond its window.

    A box with a cut side is left out if another window says the same with a box that isn't cut, as
    a window does that shows the whole object. Otherwise pieces that say the same are joined: the
    box around them, with the best of their scores. If a side is still cut then, the window that
    sees what is beyond it saw no such object, and the piece is left out.

    Boxes that aren't cut suppress one another as in non-maximum suppression, within each class, but
    only across windows, and by two measures. By an overlap of more than ``iou`` any. By more than a
    half, if that is less, only the box of each other window that overlaps most: what one window saw
    smaller, and so less exactly, is one object with it, but never two that a window tells apart.

    Args:
        parts: for each window what it found, in the picture's pixels.
        windows: [W, 4], ``x1 y1 x2 y2`` of each in the picture.
        size: height and width of the picture.
        iou: as above.

    Returns:
        Boxes, best first.
    """
    found, window = stacked(parts)
    area = windows[window]
    near = np.tile(np.maximum(_LEAST_NEAR, _NEAR * (area[:, 2:] - area[:, :2])), 2)
    edge = np.array([0, 0, size[1], size[0]], np.float64)
    cut = (np.abs(found.boxes - area) <= near) & (area != edge)
    seen = _Seen(found, window, area, cut, near)
    pieces = np.flatnonzero(cut.any(1))
    whole = np.flatnonzero(~cut.any(1))
    pieces = np.array([i for i in pieces.tolist() if not _alike(seen, i, whole).any()], np.int64)
    joined = [box for group in _groups(seen, pieces) if (box := _around(seen, group)) is not None]
    every, place = stacked([found.take(whole), *joined])
    # what was joined was seen in no single window
    where = np.where(place == 0, -1, len(windows) + place)
    where[place == 0] = window[whole]
    return every.take(_once(every, where, iou))


def _alike(seen: _Seen, i: int, others: Places) -> NDArray[np.bool_]:
    """Whether other windows say the same as box ``i``, for each of their boxes ``others``."""
    limits = np.array([-np.inf, -np.inf, np.inf, np.inf])
    mine = np.where(seen.cut[i], limits, seen.found.boxes[i])
    theirs = np.where(seen.cut[others], limits, seen.found.boxes[others])
    # a little more than both see, for windows that only touch
    near = np.maximum(seen.near[i], seen.near[others])
    low = np.maximum(seen.area[i], seen.area[others])[:, :2] - near[:, :2]
    high = np.minimum(seen.area[i], seen.area[others])[:, 2:] + near[:, 2:]
    low, high = np.tile(low, 2), np.tile(np.maximum(low, high), 2)
    shared = _overlap(np.clip(mine, low, high), np.clip(theirs, low, high))
    labels, window = seen.found.labels, seen.window
    possible = (labels[others] == labels[i]) & (window[others] != window[i])
    return np.asarray(possible & (shared >= SAME_IN_WINDOWS), np.bool_)


def _groups(seen: _Seen, pieces: Places) -> list[Places]:
    """Put pieces together that say the same, directly or by way of others."""
    left = np.ones(len(pieces), bool)
    groups = []
    for start in range(len(pieces)):
        if not left[start]:
            continue
        left[start] = False
        group, reached = [start], 0
        while reached < len(group):
            rest = np.flatnonzero(left)
            more = rest[_alike(seen, int(pieces[group[reached]]), pieces[rest])]
            left[more] = False
            group += more.tolist()
            reached += 1
        groups.append(pieces[group])
    return groups


def _around(seen: _Seen, group: Places) -> Found | None:
    """The box around pieces, None if it is still cut."""
    boxes, cut = seen.found.boxes[group], seen.cut[group]
    box = np.concatenate([boxes[:, :2].min(0), boxes[:, 2:].max(0)])
    reaches = np.abs(boxes - box) <= 2 * seen.near[group]
    if (cut | ~reaches).all(0).any():
        return None
    best = group[[seen.found.scores[group].argmax()]]
    return Found(box[None], seen.found.scores[best], seen.found.labels[best])


def _once(found: Found, window: Places, iou: float) -> Places:
    """Places of the boxes that stand for what other windows say of the same, best first."""
    boxes, scores, labels = found
    free = np.ones(len(scores), bool)
    kept = []
    for i in np.argsort(-scores, kind="stable").tolist():
        if not free[i]:
            continue
        free[i] = False
        kept.append(i)
        rest = np.flatnonzero(free & (labels == labels[i]) & (window != window[i]))
        overlap = overlaps(boxes[[i]], boxes[rest])[0]
        free[rest[overlap > iou]] = False
        order = np.argsort(-overlap, kind="stable")
        order = order[overlap[order] > SAME_IN_WINDOWS]
        _, first = np.unique(window[rest[order]], return_index=True)
        free[rest[order[first]]] = False
    return np.array(kept, np.int64)


def _none() -> Places:
    return np.zeros(0, np.int64)
