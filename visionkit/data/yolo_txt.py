"""YOLO's text files: ``data.yaml``, and for each picture a file of ``class cx cy w h`` rows.

``data.yaml`` names the classes (``names``, a list or a mapping from number to name) and the
pictures of each split (``train``, ``val`` or ``valid``, ``test``: a folder, a list of folders, or
a .txt list of files), below ``path`` if that is given. The labels of ``.../images/a/b.jpg`` are in
``.../labels/a/b.txt``; numbers are parts of the picture's width and height. A row of more than
four numbers is a polygon, and stands for the box around it.
"""

import os
import posixpath
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from visionkit.data.defects import note
from visionkit.data.index import DetectionIndex
from visionkit.data.layout import (
    SPLITS,
    check_root,
    find_pictures,
    first_repeat,
    listed,
    lose_split,
    make_index,
    names_in,
    read_text,
    split_names,
)
from visionkit.data.yolo_labels import Labels, existing, label_file_of
from visionkit.errors import DataError
from visionkit.geometry import IMAGE_SUFFIXES


def read_yolo_txt(root: str | Path, split: str) -> DetectionIndex | None:
    """Read one split of a set in YOLO's text format.

    A picture without a label file has no objects. One that is listed twice counts once, and values
    outside 0..1 are clipped, each with a line in ``warnings``. Category ids are the numbers of the
    classes in the files.

    Args:
        root: the folder with ``data.yaml``.
        split: ``train``, ``val`` or ``test``.

    Returns:
        The index, or None where ``data.yaml`` names no such split.

    Raises:
        DataError: ``data.yaml`` or pictures are missing, or a row is no label of the set. While
            somebody collects defects, single pictures and rows are left out instead.
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
    named = [file for place in places for file in _pictures(config, content, split, place)]
    files = _once(named)
    if not files:
        cause = f"{split} ({listed(places)}) has no pictures"
        lose_split(split, config, cause, "add some or remove the key")
        return None
    label_files = [label_file_of(file) for file in files]
    there = existing(label_files)
    if not there:
        raise DataError(
            f"{config}: none of the {len(files)} pictures of {split} has a label file "
            f"(first looked for {label_files[0]}); put labels/ beside images/"
        )
    reader = Labels(config, numbers)
    for file, label_file in zip(files, label_files, strict=True):
        reader.take(file, label_file if label_file in there else None)
    if not reader.files:
        raise DataError(f"{config}: no picture of {split} can be used; mend or replace them")
    mended = []
    if len(files) < len(named):
        twice = f"{len(named) - len(files)} picture(s) listed more than once: taken once"
        mended.append(f"{config}: {split}: {twice}")
        note("listed-twice", config, f"{split} has {twice}", "list each once", "mended")
    if reader.clipped:
        clipped = f"{reader.clipped} row(s) with values outside 0..1: clipped"
        mended.append(f"{config}: {split}: {clipped}")
    return make_index(
        files=reader.files,
        sizes=reader.sizes,
        owner=reader.owner,
        boxes=reader.boxes,
        labels=reader.labels,
        classes=classes,
        category_ids=numbers,
        mended=mended,
        source=f"{config}: {split}",
        where=reader.place,
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


def _once(files: Sequence[str]) -> list[str]:
    """Each file once, though folders or lists that name it overlap."""
    folders = {folder: os.path.abspath(folder) for folder in {os.path.dirname(f) for f in files}}
    first: dict[tuple[str, str], str] = {}
    for file in files:
        folder, name = os.path.split(file)
        first.setdefault((folders[folder], name), file)
    return list(first.values())


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
    folder, missing = find_pictures(path, names, [path.parent, *bases])
    return [os.path.join(folder, name) for name in names if name not in missing]
