"""Pictures in class folders, or in any folder beside a table of their classes.

Layouts that are found, for ``split`` in train, val (also valid, validation), test:

- ``{split}.csv``, or ``{split}/_classes.csv``, ``{split}/labels.csv``, ``{split}/metadata.csv``;
- ``labels.csv`` or ``metadata.csv``, with a column ``split`` or split by visionkit;
- ``{split}/<class>/**``, as torchvision's ImageFolder has it;
- ``<class>/**``, split by visionkit.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated

from visionkit.argtypes import Range
from visionkit.data.class_index import ClassIndex
from visionkit.data.class_listing import SPELLINGS, Listing, make_class_index, parts
from visionkit.data.defects import aside, lose, note
from visionkit.data.label_table import Columns
from visionkit.data.layout import SPLITS, check_root, listed, lose_split, names_in
from visionkit.data.table_folder import find_tables, read_tables
from visionkit.errors import DataError
from visionkit.geometry import IMAGE_SUFFIXES

_NOT_READ = frozenset({".gif", ".heic", ".heif", ".tga", ".svg", ".psd"})
_HIDDEN = (".", "__MACOSX")
_CONVERT = "convert to JPEG or PNG"


def read_folder(
    root: str | Path,
    split: str,
    table: str | None = None,
    file_column: str | None = None,
    label_column: str | None = None,
    multi_label: bool | None = None,
    validation: Annotated[float, Range(0, 0.9)] = 0.1,
) -> ClassIndex | None:
    """Read one split of a set of pictures with classes.

    A set without ``val`` gives it ``validation`` of its training pictures, and one without any
    splits a tenth to ``test``, too: class by class in the order of a hash of the relative path, the
    same on every machine. ``warnings`` says so. Folders of classes are sorted by name.

    Args:
        root: the set's folder.
        split: ``train``, ``val`` or ``test``.
        table: a table of the whole set, in ``root``; None for those above.
        file_column: the table's column of the pictures; None for ``file``, ``image`` and the like.
        label_column: the table's column of the classes; None for ``label``, ``class`` and the
            like, else each further column is a class, with 0 or 1.
        multi_label: whether pictures may have several classes, or none; None to see from the table.
        validation: part of the training pictures that becomes ``val`` where there is none.

    Returns:
        The index, or None where the set has no such split.

    Raises:
        DataError: nothing of the layouts above is there, pictures or classes are missing, or a
            table contradicts itself. While somebody collects defects, single pictures, rows and
            classes are left out instead.
    """
    root = check_root(root)
    if split not in SPLITS:
        return None
    tables = find_tables(root, table)
    if tables:
        columns = Columns(file_column, label_column, multi_label)
        return read_tables(root, split, tables, columns, validation)
    places = {s: place for s, place in split_folders(root).items() if _folders_in(place)}
    if places:
        return _from_splits(split, places, validation)
    return _from_one(root, split, validation)


def _from_splits(split: str, places: Mapping[str, Path], validation: float) -> ClassIndex | None:
    """Read ``{split}/<class>/**``."""
    of_all = [places["train"]] if "train" in places else list(places.values())
    classes = sorted({name for place in of_all for name in _folders_in(place)})
    for name, place in places.items():
        extra = [c for c in _folders_in(place) if c not in classes and has_pictures(place / c)]
        if extra:
            with aside(unless=name == split):
                lose(
                    "class-in-one-split",
                    place,
                    f"has pictures of {listed(extra)}, which {of_all[0]} lacks",
                    "add folders of that name there or take them out here",
                )
    held: Mapping[str, float] = {}
    source = split
    if "val" not in places and validation and split in ("train", "val"):
        source, held = "train", {"val": validation}
    if source not in places:
        return None
    with aside(unless=source == split):
        listing = _walk(places[source], classes)
    if listing.files:
        return make_class_index(listing, classes, True, split, held)
    cause = "there are no pictures in its class folders"
    lose_split(source, listing.source, cause, "put them there")
    return None


def _from_one(root: Path, split: str, validation: float) -> ClassIndex | None:
    """Read ``<class>/**``."""
    classes = [name for name in _folders_in(root) if has_pictures(root / name)]
    flat = [c for c in classes if c.lower() in (*SPELLINGS["val"], *SPELLINGS["test"])]
    if flat or len(classes) < 2:  # a class may be called train, but hardly test
        found = "no folder in it has pictures"
        if classes:
            found = f"{flat[0]}/ has none" if flat else f"only {classes[0]}/ has pictures"
        tables = [name for name in sorted(names_in(root)) if name.lower().endswith(".csv")]
        raise DataError(
            f"{root}: no class folders ({found}): neither {split}/<class>/ nor <class>/ nor a "
            f"table ({split}.csv, labels.csv) is there; set data.root to the folder that holds "
            f"them, or name a table with data.layout.table={tables[0] if tables else 'NAME.csv'}"
        )
    with aside(unless=split == "train"):
        listing = _walk(root, classes)
    return make_class_index(listing, classes, True, split, parts(validation))


def _walk(place: Path, classes: Sequence[str]) -> Listing:
    """All pictures in the class folders of ``place``."""
    files: list[str] = []
    rows: list[tuple[str, ...]] = []
    empty: list[str] = []
    unread: list[str] = []
    for name in classes:
        before = len(files)
        found, others = pictures_below(place / name)
        files += found
        unread += others
        rows += [(name,)] * (len(files) - before)
        if len(files) == before:
            empty.append(name)
    warnings = []
    if empty and files:
        note("empty-class", place, f"has no picture of {listed(empty)}", "add some", "noted")
        warnings.append(f"{place}: has no picture of {listed(empty)}")
    warnings += tell_unread(place, unread)
    return Listing(place, place, files, rows, tuple(warnings))


def pictures_below(folder: Path) -> tuple[list[str], list[str]]:
    """All pictures below a folder, in order, and the files of kinds that aren't read."""
    files: list[str] = []
    unread: list[str] = []
    for path in files_below(folder):
        suffix = os.path.splitext(path)[1].lower()
        if suffix in IMAGE_SUFFIXES:
            files.append(path)
        elif suffix in _NOT_READ:
            unread.append(path)
    return files, unread


def tell_unread(place: Path, unread: Sequence[str]) -> list[str]:
    """Tell of files of kinds that aren't read, and return the warning, if there are any."""
    for path in unread:
        note("unread-suffix", path, "is of a kind that isn't read", _CONVERT, "dropped")
    if not unread:
        return []
    return [
        f"{place}: {len(unread)} file(s) of a kind that isn't read were left out, first "
        f"{unread[0]}; {_CONVERT}"
    ]


def files_below(folder: Path) -> Iterator[str]:
    """All files below a folder but hidden ones, in order."""
    for parent, folders, names in os.walk(folder, followlinks=True):
        folders[:] = sorted(f for f in folders if not f.startswith(_HIDDEN))
        for name in sorted(names):
            if not name.startswith("."):
                yield os.path.join(parent, name)


def has_pictures(folder: Path) -> bool:
    """Whether there are any below a folder."""
    return any(os.path.splitext(path)[1].lower() in IMAGE_SUFFIXES for path in files_below(folder))


def split_folders(root: Path) -> dict[str, Path]:
    """The folder of each split that is there."""
    names = {name.lower(): name for name in _folders_in(root)}
    found = {}
    for split, spellings in SPELLINGS.items():
        here = next((names[s] for s in spellings if s in names), None)
        if here is not None:
            found[split] = root / here
    return found


def _folders_in(place: Path) -> list[str]:
    """The folders in a folder, sorted; no hidden ones."""
    names = sorted(names_in(place))
    return [name for name in names if not name.startswith(_HIDDEN) and (place / name).is_dir()]
