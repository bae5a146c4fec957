"""COCO's JSON, as people have it: the original folders, or Roboflow's.

Layouts that are found, for ``split`` in train, val, test:

- ``annotations/instances_{split}.json`` or ``instances_{split}2017.json``, with the pictures in
  ``images/``, ``images/{split}/``, ``images/{split}2017/``, ``{split}/`` or ``{split}2017/``;
- ``{split}/_annotations.coco.json`` (``valid`` too, for val), with the pictures beside it.
"""

import json
import math
import posixpath
from collections import Counter
from pathlib import Path
from typing import Any, TypeGuard

from visionkit.data.index import DetectionIndex
from visionkit.data.layout import (
    SPLITS,
    check_root,
    find_pictures,
    first_repeat,
    listed,
    make_index,
    split_names,
)
from visionkit.errors import DataError

_LARGEST = 2**63 - 1


def read_coco(root: str | Path, split: str) -> DetectionIndex | None:
    """Read one split of a set in COCO's format.

    What can be mended is, with a line in ``warnings``: missing ``iscrowd``, ``area`` or annotation
    ids, ids that repeat or are 0 (pycocotools counts a match with 0 as a miss), boxes that are no
    boxes. Labels are given in the order of the category ids.

    Args:
        root: the set's folder.
        split: ``train``, ``val`` or ``test``.

    Returns:
        The index, or None where the set has no such split.

    Raises:
        DataError: nothing of the layouts above is there, pictures are missing, or the annotation
            file is broken or contradicts itself.
    """
    root = check_root(root)
    found = _find(root, split)
    if found is None:
        if not any(_find(root, other) for other in SPLITS):
            raise DataError(
                f"{root}: no COCO data set: neither annotations/instances_{split}.json, "
                f"annotations/instances_{split}2017.json nor {split}/_annotations.coco.json is "
                "there; set data.root to the folder that holds them, or choose another data="
            )
        return None
    return read_coco_file(*found)


def _find(root: Path, split: str) -> tuple[Path, list[Path]] | None:
    """The annotation file of a split, and where its pictures may be."""
    for name in split_names(split):
        for year in ("", "2017"):
            path = root / "annotations" / f"instances_{name}{year}.json"
            if path.is_file():
                spellings = dict.fromkeys(
                    f"{n}{y}" for n in split_names(split) for y in (year, "", "2017")
                )
                folders = [root / "images" / s for s in spellings] + [root / s for s in spellings]
                return path, [*folders, root / "images", root]
    for name in split_names(split):
        path = root / name / "_annotations.coco.json"
        if path.is_file():
            return path, [path.parent]
    return None


def read_coco_file(path: Path, folders: list[Path]) -> DetectionIndex:
    """Read one annotation file whose pictures lie in one of ``folders``; see :func:`read_coco`."""
    images, annotations, categories = _load(path)
    if not images:
        raise DataError(f"{path}: lists no images; an empty split can't be used, remove the file")
    mended: Counter[str] = Counter()

    image_ids = [_id(path, image, "id", f"images[{i}]") for i, image in enumerate(images)]
    position = {image_id: i for i, image_id in enumerate(image_ids)}
    if len(position) < len(image_ids):
        raise DataError(
            f"{path}: image id {first_repeat(image_ids)} is given to more than one image; "
            "number the images uniquely"
        )
    names = [_file_name(path, image) for image in images]
    category_ids, classes = _categories(path, categories, annotations, mended)
    label_of = {category_id: label for label, category_id in enumerate(category_ids)}

    owner: list[int] = []
    boxes: list[list[float]] = []
    labels: list[int] = []
    areas: list[float] = []
    crowd: list[bool] = []
    ids: list[Any] = []
    for i, annotation in enumerate(annotations):
        where = f"annotation {annotation.get('id', f'number {i}')}"
        category = annotation.get("category_id")
        if type(category) is not int or category not in label_of:
            raise DataError(
                f"{path}: {where} has category id {category!r}, which isn't declared "
                f"(declared: {listed(category_ids)}); add it to categories or remove the annotation"
            )
        image = annotation.get("image_id")
        if type(image) is not int or image not in position:
            raise DataError(
                f"{path}: {where} has image id {image!r}, which isn't among the images; "
                "add the image or remove the annotation"
            )
        box = _box(annotation)
        if box is None:
            mended["without a usable bbox (4 finite numbers, no negative size): dropped"] += 1
            continue
        area = annotation.get("area")
        if not _is_finite(area):
            mended["without an area: width * height taken"] += 1
            area = box[2] * box[3]
        flag = annotation.get("iscrowd")
        if flag is None:
            mended["without iscrowd: taken as 0"] += 1
        owner.append(position[image])
        boxes.append(box)
        labels.append(label_of[category])
        areas.append(area)
        crowd.append(bool(flag))
        ids.append(annotation.get("id"))
    if not _usable_ids(ids):
        mended["had missing, repeated or zero ids: all numbered from 1"] = len(ids)
        ids = list(range(1, len(ids) + 1))

    folder = find_pictures(path, names, folders)
    return make_index(
        files=[f"{folder}/{name}" for name in names],
        image_ids=image_ids,
        sizes=[_size(image) for image in images],
        owner=owner,
        boxes=boxes,
        labels=labels,
        areas=areas,
        crowd=crowd,
        annotation_ids=ids,
        classes=classes,
        category_ids=category_ids,
        mended=[f"{path}: {n} {_noun(what, n)} {what}" for what, n in mended.items()],
    )


def _noun(what: str, count: int) -> str:
    noun = "category" if what.startswith("(id 0") else "annotation"
    return noun if count == 1 else noun + "s"


def _load(path: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[dict[str, Any]]]:
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
                raise DataError(
                    f"{path}: isn't COCO's format: {key}[{i}] isn't an object; mend that entry"
                )
        parts.append(part)
    return parts[0], parts[1], parts[2]


def _id(path: Path, entry: dict[str, Any], key: str, where: str) -> int:
    value = entry.get(key)
    if type(value) is not int or abs(value) > _LARGEST:
        raise DataError(
            f"{path}: {where} has {key} {value!r}, which isn't a whole number; number the entries"
        )
    return value


def _file_name(path: Path, image: dict[str, Any]) -> str:
    name = image.get("file_name")
    if not isinstance(name, str) or not name:
        raise DataError(f"{path}: image id {image['id']} has no file_name; add it")
    name = posixpath.normpath(name)
    if name.startswith(("/", "../")) or name in (".", ".."):
        raise DataError(
            f"{path}: image id {image['id']} has file_name {image['file_name']!r}, which leads out "
            "of the data set; give it relative to the folder of the pictures"
        )
    return name


def _size(image: dict[str, Any]) -> tuple[int, int]:
    height, width = image.get("height"), image.get("width")
    if _is_finite(height) and _is_finite(width) and 0 < height < 2**31 and 0 < width < 2**31:
        return int(height), int(width)
    return 0, 0


def _categories(
    path: Path,
    categories: list[dict[str, Any]],
    annotations: list[dict[str, Any]],
    mended: Counter[str],
) -> tuple[list[int], list[str]]:
    """Ids and names, by ascending id."""
    if not categories:
        raise DataError(f"{path}: declares no categories; list the classes under 'categories'")
    named: list[tuple[int, str]] = []
    for i, category in enumerate(categories):
        category_id = _id(path, category, "id", f"categories[{i}]")
        name = category.get("name")
        if not isinstance(name, str) or not name:
            raise DataError(f"{path}: category id {category_id} has no name; add it")
        named.append((category_id, name))
    repeated_id = first_repeat(category_id for category_id, _ in named)
    if repeated_id is not None:
        raise DataError(f"{path}: category id {repeated_id} is declared twice; keep one of them")
    named.sort()
    # Roboflow puts an unused parent at id 0, which in sets of one class has that class's name.
    parent_id, parent = named[0]
    if (
        parent_id == 0
        and parent in [name for _, name in named[1:]]
        and not any(annotation.get("category_id") == 0 for annotation in annotations)
    ):
        mended[f"(id 0, {parent!r}) unused and named like another: dropped"] = 1
        del named[0]
    repeated = first_repeat(name for _, name in named)
    if repeated is not None:
        same = [category_id for category_id, name in named if name == repeated]
        raise DataError(
            f"{path}: category ids {listed(same)} have the same name {repeated!r}; "
            "give each class its own name"
        )
    return [category_id for category_id, _ in named], [name for _, name in named]


def _is_finite(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300


def _usable_ids(ids: list[Any]) -> bool:
    if not all(type(i) is int and i != 0 and abs(i) <= _LARGEST for i in ids):
        return False
    return len(set(ids)) == len(ids)


def _box(annotation: dict[str, Any]) -> list[float] | None:
    """The annotation's box, else that of its mask; None where neither makes a box."""
    box = annotation.get("bbox")
    if box is None:
        box = _box_of_mask(annotation.get("segmentation"))
    if not isinstance(box, list) or len(box) != 4 or not all(map(_is_finite, box)):
        return None
    return [float(v) for v in box] if box[2] >= 0 and box[3] >= 0 else None


def _box_of_mask(segmentation: object) -> list[float] | None:
    if isinstance(segmentation, list):
        values = [v for polygon in segmentation if isinstance(polygon, list) for v in polygon]
        if len(values) < 6 or len(values) % 2 or not all(map(_is_finite, values)):
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
        except (KeyError, TypeError, ValueError, AttributeError):
            return None
        return box if len(box) == 4 and all(map(math.isfinite, box)) else None
    return None
