"""Which mask belongs to which picture: by lists of both, or by folders of equal names."""

import os
import re
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

from visionkit.data.class_listing import SPELLINGS
from visionkit.data.defects import lose, note
from visionkit.data.folder import files_below
from visionkit.data.layout import listed, names_in, read_text
from visionkit.data.mask_classes import Entry
from visionkit.errors import DataError
from visionkit.geometry import IMAGE_SUFFIXES

MASK_SUFFIXES = IMAGE_SUFFIXES | {".gif"}

_IMAGES = ("images", "image", "imgs", "img")
_MASKS = ("masks", "mask", "labels", "label", "annotations", "annotation", "gt")
_BESIDE = ("annot", "_annot", "_labels", "_label", "_masks", "_mask", "_gt", "labels", "masks")
_ENDINGS = ("", "_mask", "_l", "_gt", "_label", "_labels", "_seg")
_SUFFIX = "|".join(re.escape(suffix) for suffix in sorted(MASK_SUFFIXES))
_IN_LIST = re.compile(rf"(.+?(?:{_SUFFIX}))\s+(.+)", re.IGNORECASE)


@dataclass(frozen=True)
class Pairs:
    """Pictures, each with its mask.

    Attributes:
        source: where they are listed, for messages.
        base: the folder that hashes of the pictures' paths are relative to.
        pictures: paths.
        masks: paths.
        warnings: what was mended, one line each.
    """

    source: Path
    base: Path
    pictures: Sequence[str]
    masks: Sequence[str]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Found:
    """A set of a known layout.

    Attributes:
        splits: finds the pairs of each split; those of a set without splits under the empty name.
        homes: folders that may hold a list of the classes.
        entries: the classes, unless they are listed there.
        fixed: whether no list is looked for, and all values that have no class are void.
        palette: the colours of classes that are listed without any.
    """

    splits: Mapping[str, Callable[[], Pairs]]
    homes: tuple[Path, ...]
    entries: tuple[Entry, ...] = ()
    fixed: bool = False
    palette: Literal["voc"] | None = None


@dataclass
class _Finder:
    """Looks for the files of a list, each folder once."""

    root: Path
    seen: dict[str, frozenset[str]] = field(default_factory=dict)

    def find(self, name: str) -> str | None:
        """The path of a listed file: as it is, or below the root without its first folders."""
        name = name.replace("\\", "/")
        parts = [part for part in name.split("/") if part not in ("", ".")]
        absolute = [name] if os.path.isabs(name) else []
        below = [str(self.root.joinpath(*parts[k:])) for k in range(len(parts))]
        return next((path for path in (*absolute, *below) if self._is_there(path)), None)

    def _is_there(self, path: str) -> bool:
        folder, base = os.path.split(path)
        if folder not in self.seen:
            self.seen[folder] = names_in(folder)
        return base in self.seen[folder]


def in_lists(root: Path) -> Found | None:
    """Find ``{split}.txt`` with a picture and its mask in each line."""
    splits = {}
    names = {name.lower(): name for name in sorted(names_in(root))}
    for split, spellings in SPELLINGS.items():
        paths = [root / names[f"{s}.txt"] for s in spellings if f"{s}.txt" in names]
        path = next((path for path in paths if path.is_file() and _lists_pairs(path)), None)
        if path is not None:
            splits[split] = partial(_from_list, root, path)
    return Found(splits, (root,)) if splits else None


def _lists_pairs(path: Path) -> bool:
    """Whether the first line of a list has a picture and a mask."""
    lines = (line.strip() for line in read_text(path).splitlines())
    return _two(next((line for line in lines if line), "")) is not None


def _two(line: str) -> tuple[str, str] | None:
    """Picture and mask of a line; None where it hasn't both."""
    if re.search("[\t,;]", line):
        parts = [part.strip() for part in re.split("[\t,;]", line) if part.strip()]
    else:
        match = _IN_LIST.fullmatch(line)
        parts = [part.strip() for part in match.groups()] if match else []
    if len(parts) != 2 or os.path.splitext(parts[1])[1].lower() not in MASK_SUFFIXES:
        return None
    return parts[0], parts[1]


def _from_list(root: Path, source: Path) -> Pairs:
    finder = _Finder(root)
    pairs: dict[str, str] = {}
    lost: list[tuple[str, str, str, str]] = []
    warnings, first = [], ""
    for number, line in enumerate(read_text(source).splitlines(), 1):
        if not line.strip():
            continue
        where, two = f"{source}:{number}", _two(line.strip())
        if two is None:
            lost.append(("bad-line", where, "isn't a picture and its mask", "write both paths"))
            continue
        picture, mask = (finder.find(name) for name in two)
        if picture is None or mask is None:
            kind, name = ("missing-mask", two[1]) if picture else ("missing-file", two[0])
            first = first or name
            lost.append((kind, where, f"there is no {name}", "put it there or remove the line"))
        elif picture in pairs:
            cause = f"lists {two[0]} once more"
            note("listed-twice", where, cause, "list it once", "mended")
            warnings.append(f"{where}: {cause}: taken once")
        else:
            pairs[picture] = mask
    if first and not pairs:
        raise DataError(
            f"{source}: none of the files that it lists is there, first {first!r} (looked in "
            f"{root}); set data.root to the folder that its paths begin in"
        )
    for defect in lost:
        lose(*defect)
    return Pairs(source, root, list(pairs), list(pairs.values()), tuple(warnings))


def in_folders(root: Path) -> Found | None:
    """Find folders of pictures and of masks that have the same names."""
    splits: dict[str, Callable[[], Pairs]] = {}
    homes = [root]
    for split, spellings in SPELLINGS.items():
        for pictures, masks in _places(root, spellings):
            if _are_pairs(pictures, masks):
                splits[split] = partial(_from_folders, pictures, masks)
                homes.append(pictures)
                break
    if not splits:
        for pictures, masks in _both(root, _IMAGES, root, _MASKS):
            if _are_pairs(pictures, masks):
                splits[""] = partial(_from_folders, pictures, masks)
                break
    return Found(splits, tuple(homes)) if splits else None


def _places(root: Path, spellings: Iterable[str]) -> Iterator[tuple[Path, Path]]:
    """Folders of pictures and of masks that a split may have, if they are there."""
    for name in spellings:
        for images, masks in _both(root, _IMAGES, root, _MASKS):
            yield from _both(images, (name,), masks, (name,))
        for here in inside(root, (name,)):
            yield from _both(here, _IMAGES, here, _MASKS)
            for masks in inside(root, [name + ending for ending in _BESIDE]):
                yield here, masks
            yield here, here


def _both(
    first: Path, names: Iterable[str], second: Path, others: Iterable[str]
) -> Iterator[tuple[Path, Path]]:
    """Folders called as one of ``names`` in ``first`` with those called as ``others``."""
    there = list(inside(second, others))
    for one in inside(first, names):
        for other in there:
            yield one, other


def inside(folder: Path, names: Iterable[str]) -> Iterator[Path]:
    """Those folders in a folder that are called by one of ``names``, in any case."""
    there = {name.lower(): name for name in sorted(names_in(folder))}
    for name in names:
        if name in there and (folder / there[name]).is_dir():
            yield folder / there[name]


def _are_pairs(pictures: Path, masks: Path) -> bool:
    """Whether there are pictures, and masks apart or, as Roboflow exports them, among them."""
    if pictures == masks:
        return any(_is_mask(_parts(path)[0]) for path in files_below(masks))
    return _any(pictures, IMAGE_SUFFIXES) and _any(masks, MASK_SUFFIXES)


def _any(folder: Path, suffixes: frozenset[str]) -> bool:
    return any(_parts(path)[1] in suffixes for path in files_below(folder))


def _is_mask(stem: str) -> bool:
    return stem.lower().endswith("_mask")


def _parts(path: str) -> tuple[str, str]:
    """A path without its suffix, and the suffix in lower case."""
    stem, suffix = os.path.splitext(path)
    return stem, suffix.lower()


def _mask_of(
    stem: str, called: Mapping[str, Sequence[str]], masks: Path, others: Container[str]
) -> str | None:
    """The mask of a picture: of its own spelling first, and rather none that is a JPEG.

    Args:
        stem: the picture's path without suffix.
        called: masks by their paths without suffix, in lower case.
        masks: the folder that these are relative to.
        others: such paths of all pictures; a mask in another's spelling is the other's.
    """
    for ending in _ENDINGS:
        choice = []
        for path in called.get(stem.lower() + ending, ()):
            name, suffix = _parts(os.path.relpath(path, masks))
            own = name[: len(stem)]
            if own == stem or own not in others:
                choice.append((own != stem, suffix in (".jpg", ".jpeg"), path))
        if choice:
            return min(choice)[2]
    return None


def _from_folders(pictures: Path, masks: Path) -> Pairs:
    """Match pictures and masks by their paths without suffix, the masks' perhaps with an ending."""
    called: dict[str, list[str]] = {}
    for path in files_below(masks):
        stem, suffix = _parts(os.path.relpath(path, masks))
        if suffix in MASK_SUFFIXES and (pictures != masks or _is_mask(stem)):
            called.setdefault(stem.lower(), []).append(path)
    apart = pictures != masks
    stems = {}
    for path in files_below(pictures):
        stem, suffix = _parts(os.path.relpath(path, pictures))
        if suffix in IMAGE_SUFFIXES and (apart or not _is_mask(stem)):
            stems[path] = stem
    found: dict[str, str] = {}
    others = set(stems.values())
    for path, stem in stems.items():
        mask = _mask_of(stem, called, masks, others)
        if mask is not None:
            found[path] = mask
    if not found:
        few = listed([os.path.basename(paths[0]) for paths in list(called.values())[:2]])
        raise DataError(
            f"{pictures}: none of its {len(stems)} pictures has a mask of its name in {masks} "
            f"(which has {few}); name masks as their pictures"
        )
    for path in stems:
        if path not in found:
            lose(
                "missing-mask",
                path,
                f"has no mask in {masks}",
                "add one of its name or remove the picture",
            )
    used = set(found.values())
    for mask in sorted({path for paths in called.values() for path in paths} - used):
        alike = called[_parts(os.path.relpath(mask, masks))[0].lower()]
        cause, mend = f"there is no picture of its name in {pictures}", "add it or remove the mask"
        other = next((path for path in alike if path in used), None)
        if other is not None:
            cause, mend = f"is called as {other} is", "keep one of them"
        lose("mask-without-picture", mask, cause, mend)
    return Pairs(pictures, pictures.parent, list(found), list(found.values()))
