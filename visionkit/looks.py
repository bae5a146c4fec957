"""Boxes of a picture that is looked at more than once: mirrored, scaled, in windows. NumPy only.

Any runtime that finds boxes can look so, as each look is an ordinary letterboxed picture. What
classes and masks make of views is their heads' to know, see :mod:`visionkit.models.views`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from visionkit.geometry import Image, Letterbox, window_places
from visionkit.merging import fuse, join
from visionkit.options import PredictOptions
from visionkit.results import Detections
from visionkit.runtimes.base import Runtime
from visionkit.runtimes.suppress import Found, enough, suppress
from visionkit.sample import ImageMeta

_FLOOR = 0.001
"""Of scores that are averaged, so that the mean depends on no confidence that is asked for."""
_MULTIPLE = 64
"""Of the sides of enlarged canvases: a multiple of the strides that detectors have."""


@dataclass(frozen=True)
class Inset(Letterbox):
    """The map onto a part of the canvas, in its middle.

    Attributes:
        part: height and width of the part.
    """

    part: tuple[int, int]

    @property
    def resized(self) -> tuple[int, int]:
        """Height and width of the picture on the canvas."""
        return Letterbox(self.size, self.part).resized


@dataclass(frozen=True)
class Look:
    """One look at a picture.

    Attributes:
        picture: which one.
        window: which of its windows.
        corner: top and left of the window in the picture.
        letterbox: from the window onto the canvas.
        mirrored: whether left and right are exchanged.
    """

    picture: int
    window: int
    corner: tuple[int, int]
    letterbox: Letterbox
    mirrored: bool

    def canvas(self, image: Image) -> NDArray[np.uint8]:
        """Return what the model sees of the picture, [3, H, W]."""
        (top, left), (height, width) = self.corner, self.letterbox.size
        seen = image[top : top + height, left : left + width]
        if self.mirrored:
            seen = seen[:, ::-1]
        return self.letterbox.apply(np.ascontiguousarray(seen)).transpose(2, 0, 1)

    def in_picture(self, result: Detections) -> Found:
        """Return boxes of the window, as it was seen, in the picture's pixels."""
        (top, left), width = self.corner, self.letterbox.size[1]
        boxes = result.boxes.astype(np.float64)
        if self.mirrored:
            boxes[:, [0, 2]] = width - boxes[:, [2, 0]]
        boxes += [left, top, left, top]
        return Found(boxes.astype(np.float32), result.scores, result.labels)


def takes(runtime: Runtime) -> bool:
    """Whether a runtime's looks are put together here, and not in its network."""
    return runtime.says == "boxes"


def several(options: PredictOptions) -> bool:
    """Whether pictures are looked at more than once, or not as a whole."""
    return options != once(options)


def once(options: PredictOptions) -> PredictOptions:
    """Return the options of a single look at the whole picture."""
    return replace(options, flip=False, scales=(1.0,), window=None)


def detect(
    runtime: Runtime, images: Sequence[Image], options: PredictOptions, batch_size: int
) -> list[Detections]:
    """Find boxes by many looks.

    With ``options.window``, windows of that size slide over each picture in its own pixels, and the
    whole picture is one more; a window that covers the picture is none. Each is put on the model's
    canvas: so a window of the canvas's size shows objects as they are, and a smaller one
    enlarges them. With ``flip`` and ``scales`` each of them is seen mirrored, too, and at each
    scale. Smaller ones stay on the model's canvas, with a wider pad; larger ones need a runtime
    that takes larger canvases.

    What the views of a window say is fused (:func:`visionkit.merging.fuse`): unlike suppression,
    which keeps the boldest view's box, the mean places a box better, and scores fall where views
    disagree. What the windows say is joined (:func:`visionkit.merging.join`).

    Args:
        runtime: that says ``boxes``.
        images: [H, W, 3] uint8 RGB each.
        options: how to look; ``confidence`` and ``max_detections`` hold for what is left at last.
        batch_size: canvases computed at once.

    Returns:
        A result for each picture, in its own pixels.
    """
    plan = [
        look
        for number, image in enumerate(images)
        for look in _looks(number, (image.shape[0], image.shape[1]), runtime.canvas, options)
    ]
    found = _found(runtime, images, plan, options, batch_size)
    results = []
    for number, image in enumerate(images):
        mine = [
            (look, boxes) for look, boxes in zip(plan, found, strict=True) if look.picture == number
        ]
        size = (image.shape[0], image.shape[1])
        results.append(_together(mine, size, options))
    return results


def _looks(
    picture: int, size: tuple[int, int], canvas: tuple[int, int], options: PredictOptions
) -> list[Look]:
    """All looks at one picture, window by window; the first is the whole."""
    windows = [((0, 0), size)]
    if options.window is not None:
        window = min(size[0], options.window[0]), min(size[1], options.window[1])
        if window != size:
            windows += [(at, window) for at in window_places(size, window, options.overlap)]
    return [
        Look(picture, number, corner, _letterbox(part, canvas, scale), mirrored)
        for number, (corner, part) in enumerate(windows)
        for scale in options.scales
        for mirrored in ((False, True) if options.flip else (False,))
    ]


def _letterbox(size: tuple[int, int], canvas: tuple[int, int], scale: float) -> Letterbox:
    if scale == 1:
        return Letterbox(size, canvas)
    height, width = (max(1, round(side * scale)) for side in canvas)
    if scale < 1:
        return Inset(size, canvas, (height, width))
    larger = -(-height // _MULTIPLE) * _MULTIPLE, -(-width // _MULTIPLE) * _MULTIPLE
    return Inset(size, larger, (height, width))


def _found(
    runtime: Runtime,
    images: Sequence[Image],
    plan: Sequence[Look],
    options: PredictOptions,
    batch_size: int,
) -> list[Found]:
    """What each look finds, in the pixels of its picture; canvases of one size go together."""
    # what one look finds beyond them may be what others confirm
    most = max(options.max_detections, runtime.options.max_detections)
    single = replace(once(options), max_detections=most)
    if options.flip or len(options.scales) > 1:
        single = replace(single, confidence=min(_FLOOR, options.confidence))
    by_canvas: dict[tuple[int, int], list[int]] = {}
    for place, look in enumerate(plan):
        by_canvas.setdefault(look.letterbox.canvas, []).append(place)
    found: dict[int, Found] = {}
    for places in by_canvas.values():
        for first in range(0, len(places), batch_size):
            few = places[first : first + batch_size]
            canvases = np.stack([plan[i].canvas(images[plan[i].picture]) for i in few])
            meta = [ImageMeta(i, "", plan[i].letterbox) for i in few]
            answers = runtime.predict(canvases, meta, single)
            found |= {i: plan[i].in_picture(a) for i, a in zip(few, answers, strict=True)}
    return [found[place] for place in range(len(plan))]


def _together(
    mine: Sequence[tuple[Look, Found]], size: tuple[int, int], options: PredictOptions
) -> Detections:
    """Make one result of all looks at a picture."""
    views: dict[int, list[tuple[Look, Found]]] = {}
    for look, boxes in mine:
        views.setdefault(look.window, []).append((look, boxes))
    parts, windows = [], []
    for each in views.values():
        part = fuse([boxes for _, boxes in each])
        if len(each) > 1:
            part = suppress(part, options.confidence, options.iou, len(part.scores))
        (top, left), (height, width) = each[0][0].corner, each[0][0].letterbox.size
        parts.append(enough(part, options.confidence))
        windows.append([left, top, left + width, top + height])
    found = parts[0]
    if len(parts) > 1:
        found = join(parts, np.array(windows, np.float64), size, options.iou)
    most = options.max_detections
    return Detections(found.boxes[:most], found.scores[:most], found.labels[:most])
