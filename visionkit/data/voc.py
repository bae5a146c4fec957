"""Pascal VOC's devkit: ``ImageSets/Main/{split}.txt``, ``Annotations/*.xml``, ``JPEGImages/``.

VOC counts pixels from 1 and includes the last one: ``xmin ymin xmax ymax`` becomes the box from
``xmin - 1, ymin - 1`` to ``xmax, ymax``.

VOC leaves objects marked ``difficult`` out of its score. They are kept here as crowds, which means
the same: they don't train, and finding or missing them neither helps nor harms.
"""

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from visionkit.data.box_checks import is_box
from visionkit.data.defects import WAY_OUT, aside, is_collecting, lose, note
from visionkit.data.index import DetectionIndex
from visionkit.data.layout import (
    SPLITS,
    check_root,
    first_repeat,
    listed,
    lose_missing,
    lose_split,
    make_index,
    names_in,
    read_text,
)
from visionkit.errors import DataError
from visionkit.geometry import IMAGE_SUFFIXES

VOC_CLASSES = (
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
)

_NO_BOX = "without a usable bndbox (finite, xmax and ymax not below xmin and ymin): dropped"
_TWICE = "listed more than once: taken once"
_ONCE = "list it once"


@dataclass(frozen=True)
class _Object:
    number: int
    name: str
    box: tuple[float, float, float, float] | None
    difficult: bool


@dataclass(frozen=True)
class _Page:
    size: tuple[int, int]
    objects: tuple[_Object, ...]


def read_voc(root: str | Path, split: str) -> DetectionIndex | None:
    """Read one split of a set in VOC's format.

    Classes are VOC's twenty if all names are among them, else the sorted names in all splits.
    Category ids count from 1.

    Args:
        root: a folder like ``VOCdevkit/VOC2012``, or one or two above it.
        split: ``train``, ``val`` or ``test``.

    Returns:
        The index, or None where the set has no such split.

    Raises:
        DataError: lists, pictures or annotations are missing or broken. While somebody collects
            defects, single pictures and objects are left out instead.
    """
    home = _find(check_root(root))
    mended: Counter[str] = Counter()
    stems = {name: _stems(home, name, split, mended) for name in SPLITS}
    wanted = stems.get(split)
    if wanted is None:
        if not any(stems.values()):
            raise DataError(
                f"{home}: no split: none of ImageSets/Main/train.txt, val.txt and test.txt is "
                "there; list the pictures' names in them, one a line"
            )
        return None
    source = home / "ImageSets" / "Main" / f"{split}.txt"
    if not wanted:
        lose_split(split, source, "lists no pictures", "fill the list or remove it")
        return None
    pages = _read_pages(home, stems, split)
    broken = {stem for stem, page in pages.items() if page is None}
    _check_there(source, wanted, pages, home / "Annotations", "annotation files", ".xml")
    pictures = _pictures(home)
    _check_there(source, wanted, pictures, home / "JPEGImages", "pictures", ".jpg")
    wanted = [s for s in wanted if s in pages and s in pictures and s not in broken]
    if not wanted:
        raise DataError(f"{source}: none of its pictures can be used; mend or replace them")

    names = {o.name for page in pages.values() if page for o in page.objects}
    classes = VOC_CLASSES if names <= set(VOC_CLASSES) else tuple(sorted(names))
    label_of = {name: label for label, name in enumerate(classes)}
    owner: list[int] = []
    objects: list[_Object] = []
    for i, stem in enumerate(wanted):
        page = pages[stem]
        for o in page.objects if page else ():
            if o.box is None:
                mended[_NO_BOX] += 1
                cause = f"object {o.number} ({o.name}) has no usable bndbox"
                mend = "give it finite numbers, xmax and ymax not below xmin and ymin"
                note("bad-box", home / "Annotations" / f"{stem}.xml", cause, mend, "dropped")
                continue
            owner.append(i)
            objects.append(o)
    return make_index(
        files=[str(pictures[stem]) for stem in wanted],
        sizes=[page.size for stem in wanted if (page := pages[stem])],
        owner=owner,
        boxes=[o.box for o in objects if o.box],
        labels=[label_of[o.name] for o in objects],
        crowd=[o.difficult for o in objects],
        classes=classes,
        category_ids=range(1, len(classes) + 1),
        mended=[
            f"{source}: {count} {'object' if what == _NO_BOX else 'picture'}(s) {what}"
            for what, count in mended.items()
        ],
        source=str(source),
        where=lambda m: (
            str(home / "Annotations" / f"{wanted[owner[m]]}.xml"),
            f"object {objects[m].number} ({objects[m].name})",
        ),
    )


def _find(root: Path) -> Path:
    """The folder that holds ImageSets: the root, or one up to two levels below."""
    for pattern in ("", "*/", "*/*/"):
        found = sorted(p.parent.parent for p in root.glob(f"{pattern}ImageSets/Main") if p.is_dir())
        if len(found) > 1:
            raise DataError(
                f"{root}: holds several VOC sets ({listed([p.name for p in found])}); "
                "set data.root to one of them"
            )
        if found:
            return found[0]
    raise DataError(
        f"{root}: no VOC data set: ImageSets/Main isn't there; "
        "set data.root to the folder that holds it, or choose another data="
    )


def _stems(home: Path, name: str, split: str, mended: Counter[str]) -> list[str] | None:
    """Names of the pictures of the split ``name``, without suffix; None where there is no list.

    Only what is wrong with the list of ``split`` is told.
    """
    path = home / "ImageSets" / "Main" / f"{name}.txt"
    if not path.is_file():
        return None
    with aside(unless=name == split):
        try:
            text = read_text(path)
        except DataError:
            if name != split and is_collecting():
                return None
            raise
        rows = [re.sub(r"\s+-?[01]$", "", row.strip()) for row in text.splitlines()]
        stems = []
        for row in filter(None, rows):
            stem = row[: -len(Path(row).suffix)] if Path(row).suffix in IMAGE_SUFFIXES else row
            if stem.startswith("/") or ".." in Path(stem).parts:
                cause = f"{row!r} leads out of the data set"
                lose("bad-file-name", path, cause, "give a plain name")
                continue
            stems.append(stem)
        unique = list(dict.fromkeys(stems))
        if len(unique) < len(stems):
            note("listed-twice", path, f"{first_repeat(stems)!r} is listed twice", _ONCE, "mended")
            if name == split:
                mended[_TWICE] = len(stems) - len(unique)
    return unique


def _read_pages(
    home: Path, stems: Mapping[str, list[str] | None], split: str
) -> dict[str, _Page | None]:
    """The annotations that exist, of all splits: the classes must not depend on the split.

    Those that can't be read are None. Only what is wrong with those of ``split`` is told.
    """
    folder = home / "Annotations"
    there = names_in(folder)
    mine = frozenset(stems[split] or ())
    pages: dict[str, _Page | None] = {}
    for stem in dict.fromkeys(stem for names in stems.values() for stem in names or ()):
        path = folder / f"{stem}.xml"
        if path.name in there or ("/" in stem and path.is_file()):
            with aside(unless=stem in mine):
                pages[stem] = _read_page(path)
    return pages


def _pictures(home: Path) -> dict[str, Path]:
    """Stem -> picture."""
    folder = home / "JPEGImages"
    return {
        path.relative_to(folder).with_suffix("").as_posix(): path
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")
    }


def _check_there(
    source: Path,
    wanted: Sequence[str],
    there: Mapping[str, object],
    folder: Path,
    what: str,
    suffix: str,
) -> None:
    missing = [stem for stem in wanted if stem not in there]
    if missing and not is_collecting():
        way_out = WAY_OUT if len(missing) < len(wanted) else ""
        raise DataError(
            f"{source}: {len(missing)} of {len(wanted)} {what} are missing, first {missing[0]!r} "
            f"(looked in {folder}); put them there or take the names out of the list{way_out}"
        )
    for stem in missing:
        lose_missing(str(folder / (stem + suffix)), source)


def _read_page(path: Path) -> _Page | None:
    try:
        page = ElementTree.fromstring(path.read_bytes())
    except OSError as error:
        cause = f"can't be read ({error.strerror})"
        lose("broken-xml", path, cause, "check the file")
        return None
    except ElementTree.ParseError as error:
        line, column = error.position
        cause = f"broken XML at line {line}, column {column + 1}"
        lose("broken-xml", path, cause, "mend or remove the file")
        return None
    objects = []
    for number, entry in enumerate(page.findall("object"), 1):
        name = (entry.findtext("name") or "").strip()
        if not name:
            cause = f"object {number} has no name"
            lose("unnamed-object", path, cause, "add it or remove the object")
            continue
        difficult = (entry.findtext("difficult") or "0").strip() == "1"
        objects.append(_Object(number, name, _box(entry.find("bndbox")), difficult))
    height, width = _number(page.find("size/height")), _number(page.find("size/width"))
    known = 1 <= height < 2**31 and 1 <= width < 2**31
    return _Page((int(height), int(width)) if known else (0, 0), tuple(objects))


def _number(entry: ElementTree.Element | None) -> float:
    try:
        return float((entry.text or "") if entry is not None else "")
    except ValueError:
        return math.nan


def _box(entry: ElementTree.Element | None) -> tuple[float, float, float, float] | None:
    """``x1 y1 width height``, or None where there is no box."""
    if entry is None:
        return None
    x1, y1, x2, y2 = (_number(entry.find(key)) for key in ("xmin", "ymin", "xmax", "ymax"))
    if not all(map(math.isfinite, (x1, y1, x2, y2))) or x2 < x1 or y2 < y1:
        return None
    x1, y1 = max(0.0, x1 - 1), max(0.0, y1 - 1)  # some tools count from 0
    return (x1, y1, x2 - x1, y2 - y1) if is_box(x1, y1, x2 - x1, y2 - y1) else None
