"""The entries of a COCO annotation file, one by one: what each of them must have."""

import json
import math
import os
import posixpath
from pathlib import Path
from typing import Any, TypeGuard

from visionkit.data.box_checks import is_box
from visionkit.data.defects import lose, note
from visionkit.data.layout import first_repeat, listed
from visionkit.errors import DataError

Entry = dict[str, Any]
_LARGEST = 2**63 - 1


def load(path: Path) -> tuple[list[Entry], list[Entry], list[Entry]]:
    """Read the images, annotations and categories of a file.

    Raises:
        DataError: it can't be read, or isn't COCO's format.
    """
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise DataError(f"{path}: can't be read ({error.strerror}); check the file") from error
    except json.JSONDecodeError as error:
        raise DataError(
            f"{path}: broken JSON at line {error.lineno}, column {error.colno} ({error.msg}); "
            "mend or export the file again"
        ) from error
    except (UnicodeDecodeError, RecursionError) as error:
        raise DataError(f"{path}: isn't JSON text; export the file again") from error
    if not isinstance(content, dict):
        raise DataError(
            f"{path}: isn't COCO's format: a JSON {type(content).__name__} where an object with "
            "images, annotations and categories belongs; export the set as COCO instances"
        )
    parts = []
    for key in ("images", "annotations", "categories"):
        part = content.get(key)
        if not isinstance(part, list):
            what = f"'{key}' isn't a list" if key in content else f"no '{key}'"
            raise DataError(
                f"{path}: isn't COCO's format: {what}; export the set as COCO instances"
            )
        for i, entry in enumerate(part):
            if not isinstance(entry, dict):
                cause = f"isn't COCO's format: {key}[{i}] isn't an object"
                lose("bad-entry", path, cause, "mend that entry")
        parts.append([entry for entry in part if isinstance(entry, dict)])
    return parts[0], parts[1], parts[2]


def images_of(path: Path, images: list[Entry]) -> tuple[list[Entry], list[int], list[str]]:
    """The images that can be used, their ids, and their relative file names.

    Args:
        path: the annotation file, for messages.
        images: its images.

    Raises:
        DataError: one has no id or file name of its own, and nobody collects defects.
    """
    good: dict[int, tuple[Entry, str]] = {}
    ambiguous = set()
    for i, image in enumerate(images):
        image_id = _id(path, image, f"images[{i}]")
        if image_id is None:
            continue
        name = _file_name(path, image)
        if image_id in good:
            lose(
                "duplicate-image-id",
                path,
                f"image id {image_id} is given to more than one image",
                "number the images uniquely",
            )
            if name != good[image_id][1]:  # whose the annotations are can't be known
                ambiguous.add(image_id)
        elif name is not None:
            good[image_id] = image, name
    ids = [image_id for image_id in good if image_id not in ambiguous]
    numbers: dict[str, list[int]] = {}
    for image_id in ids:
        numbers.setdefault(good[image_id][1], []).append(image_id)
    for name, same in numbers.items():
        if len(same) > 1:  # kept, since results name pictures by their ids
            cause = f"image ids {listed(same)} have the same file_name {name!r}"
            note("listed-twice", path, cause, "list it once", "noted")
    unsized = sum(size_of(good[image_id][0]) == (0, 0) for image_id in ids)
    if unsized:
        cause = f"{unsized} of {len(ids)} images have no width and height"
        note("missing-size", path, cause, "add them, so that they can be checked", "noted")
    return [good[i][0] for i in ids], ids, [good[i][1] for i in ids]


def _id(path: Path, entry: Entry, where: str) -> int | None:
    value = entry.get("id")
    if type(value) is int and abs(value) <= _LARGEST:
        return value
    cause = f"{where} has id {value!r}, which isn't a whole number"
    lose("bad-id", path, cause, "number the entries")
    return None


def _file_name(path: Path, image: Entry) -> str | None:
    given = image.get("file_name")
    if not isinstance(given, str) or not given:
        lose("bad-file-name", path, f"image id {image['id']} has no file_name", "add it")
        return None
    try:
        encoded = os.fsencode(given)
    except UnicodeEncodeError:
        encoded = b"\0"
    if b"\0" in encoded:
        cause = f"image id {image['id']} has file_name {given!r}, which no file can have"
        lose("bad-file-name", path, cause, "mend it")
        return None
    name = posixpath.normpath(given)
    if name.startswith(("/", "../")) or name in (".", ".."):
        lose(
            "bad-file-name",
            path,
            f"image id {image['id']} has file_name {given!r}, which leads out of the data set",
            "give it relative to the folder of the pictures",
        )
        return None
    return name


def size_of(image: Entry) -> tuple[int, int]:
    """Height and width of an image as stated, 0 0 where they aren't."""
    height, width = image.get("height"), image.get("width")
    if is_finite(height) and is_finite(width) and 0 < height < 2**31 and 0 < width < 2**31:
        return int(height), int(width)
    return 0, 0


def categories_of(
    path: Path, categories: list[Entry], annotations: list[Entry]
) -> tuple[list[int], list[str], dict[int, int], list[str]]:
    """Read the classes.

    Args:
        path: the annotation file, for messages.
        categories: its categories.
        annotations: its annotations.

    Returns:
        Ids and names by ascending id; the label of each id, where somebody collects defects also of
        ids whose name is another's; and what was mended, in words.

    Raises:
        DataError: there are none; or one has no id or name of its own, and nobody collects.
    """
    if not categories:
        raise DataError(f"{path}: declares no categories; list the classes under 'categories'")
    named: dict[int, str] = {}
    for i, category in enumerate(categories):
        category_id = _id(path, category, f"categories[{i}]")
        if category_id is None:
            continue
        name = category.get("name")
        if not isinstance(name, str) or not name:
            lose("bad-category", path, f"category id {category_id} has no name", "add it")
        elif category_id in named:
            cause = f"category id {category_id} is declared twice"
            lose("bad-category", path, cause, "keep one of them")
        else:
            named[category_id] = name
    if not named:
        raise DataError(f"{path}: no category has an id and a name; mend 'categories'")
    mended = []
    ids = sorted(named)
    # Roboflow puts an unused parent at id 0, which in sets of one class has that class's name.
    if (
        ids[0] == 0
        and named[0] in [named[i] for i in ids[1:]]
        and not any(annotation.get("category_id") == 0 for annotation in annotations)
    ):
        told = f"(id 0, {named[0]!r}) unused and named like another: dropped"
        mended.append(f"1 category {told}")
        note("unused-category", path, f"category {told}", "take it out", "mended")
        ids = ids[1:]
    repeated = first_repeat(named[i] for i in ids)
    while repeated is not None:
        same = [i for i in ids if named[i] == repeated]
        lose(
            "bad-category",
            path,
            f"category ids {listed(same)} have the same name {repeated!r}",
            "give each class its own name",
        )
        ids = [i for i in ids if i not in same[1:]]  # they count as the first
        repeated = first_repeat(named[i] for i in ids)
    if ids != list(range(ids[0], ids[0] + len(ids))):
        cause = f"the category ids have gaps ({listed(ids)})"
        note("id-gap", path, cause, "nothing need be done: results keep these ids", "noted")
    label = {named[i]: k for k, i in enumerate(ids)}
    labels = {i: label[name] for i, name in named.items() if name in label}
    if 0 in named and mended:
        del labels[0]
    return ids, [named[i] for i in ids], labels, mended


def is_finite(value: object) -> TypeGuard[float]:
    """Whether a value of JSON is a number that isn't NaN or infinite."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300


def id_problems(ids: list[Any]) -> dict[str, str]:
    """What makes annotation ids unusable: the kinds of defects, each with its cause."""
    found = {}
    numbers = [i for i in ids if type(i) is int and abs(i) <= _LARGEST]
    if len(numbers) < len(ids):
        found["missing-id"] = f"{len(ids) - len(numbers)} of {len(ids)} annotations have no id"
    if 0 in numbers:
        found["zero-id"] = "an annotation has id 0, which pycocotools counts as a miss"
    repeated = first_repeat(numbers)
    if repeated is not None:
        found["repeated-id"] = f"annotation id {repeated} is given more than once"
    return found


def box_of(annotation: Entry) -> list[float] | None:
    """The annotation's box, else that of its mask; None where neither makes a box."""
    box = annotation.get("bbox")
    if box is None:
        box = _box_of_mask(annotation.get("segmentation"))
    if not isinstance(box, list) or len(box) != 4 or not all(map(is_finite, box)):
        return None
    x, y, width, height = map(float, box)
    return [x, y, width, height] if is_box(x, y, width, height) else None


def _box_of_mask(segmentation: object) -> list[float] | None:
    if isinstance(segmentation, list):
        values = [v for polygon in segmentation if isinstance(polygon, list) for v in polygon]
        if len(values) < 6 or len(values) % 2 or not all(map(is_finite, values)):
            return None
        x, y = values[0::2], values[1::2]
        return [min(x), min(y), max(x) - min(x), max(y) - min(y)]
    if isinstance(segmentation, dict):
        from pycocotools import mask

        try:
            height, width = segmentation["size"]
            if isinstance(segmentation["counts"], list):
                segmentation = mask.frPyObjects(segmentation, height, width)
            box = mask.toBbox(segmentation).tolist()
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
            return None
        return box if len(box) == 4 and all(map(math.isfinite, box)) else None
    return None
