"""YOLO's text files: ``data.yaml``, and for each picture a file of ``class cx cy w h`` rows.

``data.yaml`` names the classes (``names``, a list or a mapping from number to name) and the
pictures of each split (``train``, ``val`` or ``valid``, ``test``: a folder, a list of folders, or
a .txt list of files), below ``path`` if that is given. The labels of ``.../images/a/b.jpg`` are in
``.../labels/a/b.txt``; numbers are parts of the picture's width and height. A row of more than
four numbers is a polygon, and stands for the box around it.
"""

import math
import os
import posixpath
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from visionkit.data.index import DetectionIndex
from visionkit.data.layout import (
    SPLITS,
    check_root,
    find_pictures,
    first_repeat,
    listed,
    make_index,
    names_in,
    read_text,
    split_names,
    upright_size,
)
from visionkit.errors import DataError
from visionkit.geometry import IMAGE_SUFFIXES

_NOT_NORMALISED = 10.0
_OUTSIDE = "with values outside 0..1: clipped"


def read_yolo_txt(root: str | Path, split: str) -> DetectionIndex | None:
    """Read one split of a set in YOLO's text format.

    A picture without a label file has no objects. Values outside 0..1 are clipped, with a line in
    ``warnings``. Category ids are the numbers of the classes in the files.

    Args:
        root: the folder with ``data.yaml``.
        split: ``train``, ``val`` or ``test``.

    Returns:
        The index, or None where ``data.yaml`` names no such split.

    Raises:
        DataError: ``data.yaml`` or pictures are missing, or a row is no label of the set.
    """
    root = check_root(root)
    config = _find_yaml(root)
    content = _load(config)
    numbers, classes = _classes(config, content)
    places = _places(content, split)
    if not places:
        if not any(_places(content, other) for other in SPLITS):
            raise DataError(f"{config}: names no pictures; add the keys train, val and test")
        return None
    files = [file for place in places for file in _pictures(config, content, split, place)]
    if not files:
        raise DataError(
            f"{config}: {split} ({listed(places)}) has no pictures; add some or remove the key"
        )
    mended: Counter[str] = Counter()
    label_of = {number: label for label, number in enumerate(numbers)}
    owner: list[int] = []
    labels: list[int] = []
    boxes: list[tuple[float, float, float, float]] = []
    sizes: list[tuple[int, int]] = []
    label_files = [_label_file(file) for file in files]
    there = _existing(label_files)
    if not there:
        raise DataError(
            f"{config}: none of the {len(files)} pictures of {split} has a label file "
            f"(first looked for {label_files[0]}); put labels/ beside images/"
        )
    for i, (file, label_file) in enumerate(zip(files, label_files, strict=True)):
        height, width = upright_size(file)
        sizes.append((height, width))
        if label_file not in there:
            continue
        for number, row in enumerate(read_text(Path(label_file)).splitlines(), 1):
            if not row.strip():
                continue
            category, (x1, y1, x2, y2) = _row(f"{label_file}:{number}", row, mended)
            if category not in label_of:
                raise DataError(
                    f"{label_file}:{number}: class {category} isn't declared in {config} "
                    f"(declared: {listed(numbers)}); add it to names or mend the row"
                )
            owner.append(i)
            labels.append(label_of[category])
            boxes.append((x1 * width, y1 * height, (x2 - x1) * width, (y2 - y1) * height))
    return make_index(
        files=files,
        sizes=sizes,
        owner=owner,
        boxes=boxes,
        labels=labels,
        classes=classes,
        category_ids=numbers,
        mended=[f"{config}: {split}: {count} row(s) {what}" for what, count in mended.items()],
    )


def _find_yaml(root: Path) -> Path:
    names = names_in(root)
    for name in ("data.yaml", "data.yml", "dataset.yaml"):
        if name in names:
            return root / name
    others = [name for name in sorted(names) if name.endswith((".yaml", ".yml"))]
    if len(others) == 1:
        return root / others[0]
    raise DataError(
        f"{root}: no YOLO data set: data.yaml isn't there; "
        "set data.root to the folder that holds it, or choose another data="
    )


def _load(path: Path) -> dict[str, Any]:
    """The mapping in data.yaml, with every value as text: a class may be called ``no`` or ``1``."""
    try:
        content = yaml.load(read_text(path), Loader=yaml.BaseLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        what = getattr(error, "problem", None) or "unreadable"
        raise DataError(f"{path}: broken YAML{where} ({what}); mend the file") from error
    if not isinstance(content, dict):
        raise DataError(f"{path}: isn't a mapping with names, train and val; mend the file")
    return content


def _classes(path: Path, content: dict[str, Any]) -> tuple[list[int], list[str]]:
    """Numbers and names of the classes, by ascending number."""
    names = content.get("names")
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not isinstance(names, dict) or not names:
        raise DataError(f"{path}: no names; list the classes as names: [first, second]")
    named: dict[int, str] = {}
    for number, name in names.items():
        if not re.fullmatch(r"\d{1,9}", str(number)) or not isinstance(name, str) or not name:
            raise DataError(
                f"{path}: names has {number!r}: {name!r}; give each class as number: name"
            )
        named[int(number)] = name
    repeated = first_repeat(named.values())
    if repeated is not None:
        raise DataError(f"{path}: two classes are called {repeated!r}; give each its own name")
    count = content.get("nc")
    if isinstance(count, str) and count.isdecimal() and int(count) != len(named):
        raise DataError(f"{path}: nc is {count}, but names has {len(named)}; make them agree")
    numbers = sorted(named)
    return numbers, [named[number] for number in numbers]


def _places(content: dict[str, Any], split: str) -> list[str]:
    """What data.yaml says about where a split's pictures are."""
    for name in split_names(split):
        value = content.get(name)
        values = value if isinstance(value, list) else [value]
        places = [v for v in values if isinstance(v, str) and v not in ("", "null", "~")]
        if places:
            return places
    return []


def _pictures(config: Path, content: dict[str, Any], split: str, place: str) -> list[str]:
    """The picture files of one folder or list."""
    root = config.parent
    base = content.get("path")
    # Roboflow writes ../train/images beside data.yaml; `path` is often one of another machine.
    inner = re.sub(r"^(\.\.?/)+", "", place)
    bases = [root / base, root.parent / base, root] if isinstance(base, str) and base else [root]
    candidates = [b / place for b in bases] + [root / inner]
    for path in candidates:
        if path.is_dir():
            return _walk(path)
        if path.is_file() and path.suffix == ".txt":
            return _from_list(path, bases)
    raise DataError(
        f"{config}: {split} is {place!r}, which isn't there "
        f"(looked for {listed(list(dict.fromkeys(map(str, candidates))))}); mend or remove the key"
    )


def _walk(folder: Path) -> list[str]:
    files = []
    for parent, folders, names in os.walk(folder, followlinks=True):
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        files += [
            os.path.join(parent, name)
            for name in sorted(names)
            if Path(name).suffix.lower() in IMAGE_SUFFIXES and not name.startswith(".")
        ]
    return files


def _from_list(path: Path, bases: Sequence[Path]) -> list[str]:
    rows = [row.strip() for row in read_text(path).splitlines()]
    names = [posixpath.normpath(row) for row in rows if row]
    if not names:
        return []
    folder = find_pictures(path, names, [path.parent, *bases])
    return [os.path.join(folder, name) for name in names]


def _label_file(picture: str) -> str:
    parts = picture.split(os.sep)
    folders = parts[:-1]
    if "images" in folders:
        folders[len(folders) - 1 - folders[::-1].index("images")] = "labels"
    return os.sep.join([*folders, os.path.splitext(parts[-1])[0] + ".txt"])


def _existing(files: Sequence[str]) -> set[str]:
    """Those of ``files`` that exist, listing each folder once."""
    listings: dict[str, frozenset[str]] = {}
    there = set()
    for file in files:
        parent, name = os.path.split(file)
        if parent not in listings:
            listings[parent] = names_in(parent)
        if name in listings[parent]:
            there.add(file)
    return there


def _row(
    where: str, row: str, mended: Counter[str]
) -> tuple[int, tuple[float, float, float, float]]:
    """Class, and corners of the box as parts of the picture."""
    try:
        category, *values = [float(v) for v in row.split()]
    except ValueError as error:
        raise DataError(
            f"{where}: {row.strip()[:60]!r} isn't numbers; write: class cx cy w h"
        ) from error
    polygon = len(values) >= 6 and len(values) % 2 == 0
    if not (len(values) == 4 or polygon) or not all(map(math.isfinite, [category, *values])):
        raise DataError(
            f"{where}: {row.strip()[:60]!r} is neither class cx cy w h nor class and a polygon "
            "of x y pairs; mend the row"
        )
    if category != int(category) or category < 0:
        raise DataError(f"{where}: class {category:g} isn't a whole number; mend the row")
    if max(map(abs, values)) > _NOT_NORMALISED:
        raise DataError(
            f"{where}: {row.strip()[:60]!r} isn't normalised; "
            "divide x and w by the picture's width, y and h by its height"
        )
    if min(values) < 0 or max(values) > 1:
        mended[_OUTSIDE] += 1
    if polygon:
        x, y = values[0::2], values[1::2]
        corners = min(x), min(y), max(x), max(y)
    else:
        cx, cy, w, h = values
        w, h = max(w, 0.0), max(h, 0.0)
        corners = cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2
    x1, y1, x2, y2 = (min(max(v, 0.0), 1.0) for v in corners)
    return int(category), (x1, y1, x2, y2)
