"""From what an exported file gives to results in original pixels. NumPy and OpenCV only.

What a head's ``predict`` does after its ``decode``, once for each kind of answer.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visionkit.about import BETWEEN, JOINT, About
from visionkit.geometry import Image
from visionkit.options import PredictOptions, of_part
from visionkit.results import VOID, Classification, Detections, Generated, Joint, SemanticMask
from visionkit.runtimes.base import Float
from visionkit.runtimes.resize import resize
from visionkit.runtimes.suppress import Found, best, best_first, enough, suppress
from visionkit.sample import ImageMeta

Arrays = Mapping[str, NDArray[Any]]
"""Inputs or outputs of a file, by name."""


def input_names(about: About) -> tuple[str, ...]:
    """Return the names of what a file takes, in order."""
    if about.says != "noise":
        return ("images",)
    return ("z", "labels") if about.conditional else ("z",)


def output_names(about: About) -> tuple[str, ...]:
    """Return the names of what a file gives, in order; see :class:`visionkit.about.About`."""
    if about.says == JOINT:
        parts = {name: output_names(about.part(name)) for name in about.parts}
        return tuple(f"{part}{BETWEEN}{name}" for part, names in parts.items() for name in names)
    if about.says == "boxes":
        return ("boxes", "scores") if about.decode == "raw" else ("boxes", "scores", "labels")
    if about.says in ("pictures", "noise"):
        return ("pictures",)
    return ("logits",) if about.decode == "raw" else ("probabilities",)


def results(
    about: About, outputs: Arrays, meta: Sequence[ImageMeta], options: PredictOptions
) -> list[Any]:
    """Return a result for each picture, without names of classes.

    Args:
        about: of the file.
        outputs: those of :func:`output_names`.
        meta: of each picture.
        options: of which the file can follow all.
    """
    return list(_ANSWERS[about.says](about, outputs, meta, options))


def pictures(outputs: Arrays) -> list[Image]:
    """Return [H, W, 3] uint8 RGB for each picture of ``pictures`` [B, 3, H, W]."""
    return list(np.ascontiguousarray(outputs["pictures"].transpose(0, 2, 3, 1)))


def _boxes(
    about: About, outputs: Arrays, meta: Sequence[ImageMeta], options: PredictOptions
) -> list[Detections]:
    answers = []
    for i, one in enumerate(meta):
        boxes, scores = outputs["boxes"][i], outputs["scores"][i]
        if about.decode == "raw":
            found = best(boxes, scores, about.candidates)
        else:
            found = Found(boxes, scores, outputs["labels"][i])
        if about.decode == "nms" or not about.suppresses:
            kept = best_first(enough(found, options.confidence)).take(slice(options.max_detections))
        else:
            kept = suppress(found, options.confidence, options.iou, options.max_detections)
        answers.append(Detections(one.letterbox.to_image(kept.boxes), kept.scores, kept.labels))
    return answers


def _classes(
    about: About, outputs: Arrays, meta: Sequence[ImageMeta], options: PredictOptions
) -> list[Classification]:
    if about.decode != "raw":
        rows = outputs["probabilities"]
    elif about.exclusive:
        rows = softmax(outputs["logits"], 1)
    else:
        rows = sigmoid(outputs["logits"])
    return [
        Classification(row, exclusive=about.exclusive, confidence=options.confidence)
        for row, _ in zip(rows, meta, strict=True)
    ]


def _masks(
    about: About, outputs: Arrays, meta: Sequence[ImageMeta], options: PredictOptions
) -> list[SemanticMask]:
    raw = about.decode == "raw"
    answers = []
    for maps, one in zip(outputs["logits" if raw else "probabilities"], meta, strict=True):
        box = one.letterbox
        # below 1 / K no largest probability is
        sure = options.confidence * len(maps) <= 1
        if raw:
            maps = np.stack([resize(plane, box.canvas) for plane in maps])
        scores = maps[:, *box.window]
        if raw and (not sure or box.resized != box.size):
            scores = softmax(scores, 0)
        largest, labels = strongest(scores, box.size)
        if not sure:
            labels[largest < options.confidence] = VOID
        answers.append(SemanticMask(labels))
    return answers


def _joint(
    about: About, outputs: Arrays, meta: Sequence[ImageMeta], options: PredictOptions
) -> list[Joint]:
    found: dict[str, list[Any]] = {}
    for name in about.parts:
        part = about.part(name)
        given = {key: outputs[f"{name}{BETWEEN}{key}"] for key in output_names(part)}
        found[name] = results(part, given, meta, of_part(part.says, options))
    return [Joint({name: each[n] for name, each in found.items()}) for n, _ in enumerate(meta)]


def _pictures(
    about: About, outputs: Arrays, meta: Sequence[ImageMeta], options: PredictOptions
) -> list[Generated]:
    return [
        Generated(one.letterbox.picture_to_image(made))
        for made, one in zip(pictures(outputs), meta, strict=True)
    ]


_ANSWERS: dict[
    str, Callable[[About, Arrays, Sequence[ImageMeta], PredictOptions], Sequence[Any]]
] = {
    "boxes": _boxes,
    "classes": _classes,
    "masks": _masks,
    "pictures": _pictures,
    JOINT: _joint,
}
SAYS = (*_ANSWERS, "noise")
"""What files answer with, see :class:`visionkit.runtimes.base.Runtime`."""


def strongest(scores: Float, size: tuple[int, int]) -> tuple[Float, NDArray[np.uint8]]:
    """Bring scores [K, h, w] to (height, width) bilinearly, and find the largest of each pixel.

    One class at a time is held at that size: those of a photograph would take gigabytes.

    Returns:
        The largest score [H, W], and its class [H, W], the first where several are largest.
    """
    most = np.full(size, -np.inf, np.float32)
    labels = np.zeros(size, np.uint8)
    for label, plane in enumerate(scores):
        one = resize(plane, size)
        np.copyto(labels, label, where=one > most)
        np.maximum(most, one, out=most)
    return most, labels


def softmax(logits: Float, axis: int) -> Float:
    """Turn logits of classes that exclude each other into probabilities, which sum to 1."""
    powers = np.exp(logits - logits.max(axis, keepdims=True))
    shares: Float = powers / powers.sum(axis, keepdims=True)
    return shares


def sigmoid(logits: Float) -> Float:
    """Turn logits of classes that stand by themselves into probabilities."""
    # by tanh, which doesn't overflow
    halves: Float = np.float32(0.5) * (1 + np.tanh(np.float32(0.5) * logits))
    return halves
