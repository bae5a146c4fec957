"""What several heads say of one picture, drawn together."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from visionkit.colours import Colour
from visionkit.geometry import Image
from visionkit.render.boxes import draw_boxes
from visionkit.render.classes import both, wording
from visionkit.render.masks import (
    explained,
    explained_both,
    overlay,
    percent_right,
    same_size,
    where_scored,
)
from visionkit.render.panels import (
    INK,
    captioned,
    enlarged,
    enlargement,
    on_paper,
    side_by_side,
)
from visionkit.results import VOID, Classification, Detections, Joint, SemanticMask

Lines = list[tuple[str, Colour]]


def draw_joint(image: Image, result: Joint, scores: bool, line: int | None) -> Image:
    """See :func:`visionkit.render.draw`.

    Classes of one name have one colour in all parts. Of several masks each has a picture of its
    own, below the other.

    Raises:
        ValueError: a mask isn't of the picture's size.
    """
    parts = _in_common_colours(result.parts)
    rows = [
        explained(_body(image, parts, mask, scores, line), mask, scores)
        for mask in _of(parts, SemanticMask).values()
    ]
    lines: Lines = [
        (_before(parts, name, ": ") + wording(said, scores), INK)
        for name, said in _of(parts, Classification).items()
    ]
    return _stacked(rows or [_body(image, parts, None, scores, line)], lines)


def compare_joint(image: Image, truth: Joint, result: Joint) -> Image:
    """See :func:`visionkit.render.compare`; parts without a truth are left out.

    Raises:
        ValueError: a mask isn't of the picture's size.
    """
    result = Joint({name: result.parts[name] for name in truth.parts})
    true, said = (_in_common_colours(joint.parts) for joint in (truth, result))
    rows, lines = [], Lines()
    for name, mask in _of(true, SemanticMask).items():
        found = where_scored(mask, said[name])
        pair = [_body(image, true, mask, False, None), _body(image, said, found, True, None)]
        body = side_by_side(pair, ["truth", f"prediction{percent_right(mask, found)}"])
        rows.append(explained_both(body, mask, found))
    for name, shown in _of(true, Classification).items():
        lines += both(shown, said[name], _before(true, name, ", "))
    if not rows and _of(true, Detections):
        pair = [_body(image, true, None, False, None), _body(image, said, None, True, None)]
        rows = [side_by_side(pair, ["truth", "prediction"])]
    return _stacked(rows or [image], lines)


def _of(parts: Mapping[str, Any], kind: type) -> dict[str, Any]:
    return {name: part for name, part in parts.items() if isinstance(part, kind)}


def _before(parts: Mapping[str, Any], name: str, mark: str) -> str:
    """What tells the classes of one part from those of another."""
    return f"{name}{mark}" if len(_of(parts, Classification)) > 1 else ""


def _body(
    image: Image,
    parts: Mapping[str, Any],
    mask: SemanticMask | None,
    scores: bool,
    line: int | None,
) -> Image:
    """The picture with a mask below and all boxes above, legible as far as words are below it."""
    factor = enlargement(image) if mask is not None or _of(parts, Classification) else 1
    out = enlarged(image, factor)
    if mask is not None:
        same_size(image, mask)
        out = overlay(out, enlarged(mask.labels, factor), line)
    for found in _of(parts, Detections).values():
        out = draw_boxes(out, found.scaled(factor), scores, line)
    return on_paper(out) if mask is not None else out


def _stacked(rows: Sequence[Image], lines: Lines) -> Image:
    out = np.concatenate(rows)
    return captioned(out, lines) if lines else out


def _in_common_colours(parts: Mapping[str, Any]) -> dict[str, Any]:
    """Number the classes of all masks and boxes as one list, where each name stands once.

    Results without names, and those with more classes than a mask has labels, stay as they are.
    """
    chosen = {**_of(parts, SemanticMask), **_of(parts, Detections)}
    names = tuple(dict.fromkeys(name for part in chosen.values() for name in part.classes))
    if len(names) > VOID or not all(part.classes for part in chosen.values()):
        return dict(parts)
    changed = {}
    for key, part in chosen.items():
        table = np.arange(VOID + 1)
        table[: len(part.classes)] = [names.index(name) for name in part.classes]
        labels = table[part.labels].astype(part.labels.dtype)
        changed[key] = replace(part, labels=labels, classes=names)
    return {**parts, **changed}
