"""Pictures to be turned into others: pairs of them, or two lists.

What is found, for ``split`` in train, val (also valid, validation), test:

- ``{split}A`` and ``{split}B`` (CycleGAN's), ``{split}/A`` and ``{split}/B``, ``A/{split}`` and
  ``B/{split}``;
- ``A`` and ``B``, split by visionkit;
- of pairs also ``{split}/**`` with both pictures beside each other in each file (pix2pix's).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from visionkit.argtypes import Range
from visionkit.data.class_listing import SPELLINGS, Listing, hold_out, parts
from visionkit.data.defects import aside, lose
from visionkit.data.folder import has_pictures, pictures_below, split_folders, tell_unread
from visionkit.data.layout import SPLITS, check_root, listed, lose_split
from visionkit.data.mask_pairs import inside
from visionkit.data.pair_index import PairIndex, UnpairedIndex
from visionkit.data.strings import StringTable
from visionkit.errors import DataError

Two = tuple[Path, Path]

_BESIDE = 1.5
"""Width over height, from which a file may well hold two pictures."""


def read_pairs(
    root: str | Path,
    split: str,
    layout: Literal["auto", "folders", "beside"] = "auto",
    sides: tuple[str, str] = ("A", "B"),
    reverse: bool = False,
    validation: Annotated[float, Range(0, 0.9)] = 0.1,
) -> PairIndex | None:
    """Read one split of a set of pairs of pictures of the same size.

    In folders, a picture's partner has its path without suffix; ``_A`` and ``_B`` at its end are
    left out. A set without ``val`` gives it ``validation`` of its training pairs, and one without
    any splits a tenth to ``test``, too: in the order of a hash of the first one's relative path.

    Args:
        root: the set's folder.
        split: ``train``, ``val`` or ``test``.
        layout: two ``folders``, or both pictures ``beside`` each other in each file; ``auto`` to
            find out.
        sides: how folders of the pictures and of what they are turned into are called.
        reverse: turn the second (the right one) into the first.
        validation: part of the training pairs that becomes ``val`` where there is none.

    Returns:
        The index, or None where the set has no such split.

    Raises:
        DataError: nothing of the layouts above is there, or pictures have no partner. While
            somebody collects defects, single pictures are left out instead.
    """
    root = check_root(root)
    if split not in SPLITS:
        return None
    folders = {} if layout == "beside" else _folders(root, sides)
    places: Mapping[str, Two | Path] = folders
    if not folders and layout != "folders":
        places = _beside(root, sure=layout == "beside")
    if not places:
        raise DataError(
            f"{root}: no pairs found: there are neither folders of both sides (train{sides[0]} and "
            f"train{sides[1]}, {sides[0]} and {sides[1]}) nor train/ with two pictures beside each "
            "other in each file; set data.root to the folder that holds them, or see data.layout"
        )
    source, held = _source(places, split, validation)
    if source is None:
        return None
    place = places[source]
    told: list[str] = []
    with aside(unless=source == split or (source, split) == ("", "train")):
        if isinstance(place, tuple):
            files, others, told = _match(*place, sides)
        else:
            files, unread = pictures_below(place)
            others = []
            told = tell_unread(place, unread)
    first = place[0] if isinstance(place, tuple) else place
    if not files:
        lose_split(source or split, first, "there are no pairs in it", "add some")
        return None
    ids, line = _part(first, files, split, held)
    if not len(ids):
        return None
    targets = _picked(others, ids) if others else None
    sources = _picked(files, ids)
    if reverse and targets is not None:
        sources, targets = targets, sources
    return PairIndex(
        files=sources,
        image_ids=ids,
        targets=targets,
        reverse=reverse and targets is None,
        warnings=(*told, *line),
    )


def read_unpaired(
    root: str | Path,
    split: str,
    sides: tuple[str, str] = ("A", "B"),
    reverse: bool = False,
    validation: Annotated[float, Range(0, 0.9)] = 0.1,
) -> UnpairedIndex | None:
    """Read one split of two lists of pictures, of any lengths, that are no pairs.

    Either list is split as :func:`read_pairs` does.

    Args:
        root: the set's folder.
        split: ``train``, ``val`` or ``test``.
        sides: see :func:`read_pairs`, as for the others.
        reverse: see there.
        validation: see there, of each list.

    Returns:
        The index, or None where the set has no such split.

    Raises:
        DataError: nothing of the layouts above is there.
    """
    root = check_root(root)
    if split not in SPLITS:
        return None
    places = _folders(root, sides)
    if not places:
        raise DataError(
            f"{root}: no folders of both sides found: neither train{sides[0]} and train{sides[1]} "
            f"nor {sides[0]} and {sides[1]} are there with pictures; set data.root to the folder "
            "that holds them, or name them by data.layout.sides"
        )
    source, held = _source(places, split, validation)
    if source is None:
        return None
    ids, lists, warnings = [], [], []
    for place in places[source]:
        with aside(unless=source == split or (source, split) == ("", "train")):
            files, unread = pictures_below(place)
            told = tell_unread(place, unread)
        mine, line = _part(place, files, split, held)
        ids.append(mine)
        lists.append(_picked(files, mine))
        warnings += [*told, *line]
    if not all(map(len, lists)):
        return None
    one, other = (1, 0) if reverse else (0, 1)
    return UnpairedIndex(
        files=lists[one], image_ids=ids[one], targets=lists[other], warnings=tuple(warnings)
    )


def _folders(root: Path, sides: tuple[str, str]) -> dict[str, Two]:
    """The folders of both sides for each split, or under the empty name for a set without any."""
    one, other = (side.lower() for side in sides)

    def beneath(folder: Path) -> list[Two]:
        return [(a, b) for a in inside(folder, (one,)) for b in inside(folder, (other,))]

    def having(twos: Sequence[Two]) -> Two | None:
        return next((two for two in twos if all(map(has_pictures, two))), None)

    apart = beneath(root)
    found = {}
    for split, spellings in SPELLINGS.items():
        twos: list[Two] = []
        for name in spellings:
            for joint in ("", "_"):
                for a in inside(root, (f"{name}{joint}{one}",)):
                    twos += [(a, b) for b in inside(root, (f"{name}{joint}{other}",))]
            for here in inside(root, (name,)):
                twos += beneath(here)
            for a, b in apart:
                twos += [(c, d) for c in inside(a, (name,)) for d in inside(b, (name,))]
        two = having(twos)
        if two is not None:
            found[split] = two
    if not found:
        two = having(apart)
        if two is not None:
            found[""] = two
    return found


def _beside(root: Path, sure: bool) -> dict[str, Path]:
    """The folder of each split whose files hold two pictures.

    Args:
        root: the set's folder.
        sure: whether somebody said so; else the first file has to look like it.

    Raises:
        DataError: it doesn't.
    """
    places = {s: place for s, place in split_folders(root).items() if has_pictures(place)}
    if not places and sure and has_pictures(root):
        return {"": root}
    if places and not sure:
        place = places.get("train") or next(iter(places.values()))
        file = pictures_below(place)[0][0]
        try:
            with Pillow.open(file) as picture:
                width, height = picture.size
        except (OSError, SyntaxError, ValueError, Pillow.DecompressionBombError):
            return places  # reading it will tell
        if width < _BESIDE * height:
            raise DataError(
                f"{file}: is {width} x {height} pixels, which doesn't look like two pictures beside"
                " each other; if it is, say so by data.layout.layout=beside"
            )
    return places


def _source(
    places: Mapping[str, object], split: str, validation: float
) -> tuple[str | None, Mapping[str, float]]:
    """Which folder a split is taken from, None for no such split; and what others take of it."""
    if "" in places:
        held = parts(validation)
        return ("" if split in ("train", *held) else None), held
    if "val" not in places and validation and split in ("train", "val"):
        return ("train" if "train" in places else None), {"val": validation}
    return (split if split in places else None), {}


def _part(
    place: Path, files: Sequence[str], split: str, held: Mapping[str, float]
) -> tuple[NDArray[np.int64], list[str]]:
    """Positions of the pictures that a split gets, and what is to be said of it."""
    if not held:
        return np.arange(len(files)), []
    of = hold_out(Listing(place, place, files, [()] * len(files)), held)
    ids = np.flatnonzero(of == (list(held).index(split) if split in held else -1))
    line = (
        f"{place}: has no {' or '.join(held)} of its own: by a hash of their paths, "
        f"{len(ids)} of {len(files)} pictures are {split}"
    )
    return ids, [line]


def _picked(files: Sequence[str], ids: NDArray[np.int64]) -> StringTable:
    return StringTable([files[i] for i in ids.tolist()])


def _match(
    first: Path, second: Path, sides: tuple[str, str]
) -> tuple[list[str], list[str], list[str]]:
    """The pictures of one folder, their partners in another, and what is to be said of both."""
    mine, my_unread = _by_name(first, sides[0])
    theirs, their_unread = _by_name(second, sides[1])
    told = tell_unread(first, list(my_unread.values()))
    told += tell_unread(second, list(their_unread.values()))
    common = [name for name in mine if name in theirs]
    if not common:
        few = listed([Path(path).name for path in list(theirs.values())[:2]])
        raise DataError(
            f"{first}: none of its {len(mine)} pictures has a partner of its name in {second} "
            f"(which has {few}); name pairs alike, or choose data=unpaired"
        )
    for here, there, unread, folder in (
        (mine, theirs, their_unread, second),
        (theirs, mine, my_unread, first),
    ):
        for name, path in here.items():
            if name not in there and name in unread:
                cause = f"has a partner of a kind that isn't read, {unread[name]}"
                lose("missing-partner", path, cause, "convert it to JPEG or PNG, or remove both")
            elif name not in there:
                cause = f"has no partner of its name in {folder}"
                lose("missing-partner", path, cause, "add one or remove it")
    return [mine[name] for name in common], [theirs[name] for name in common], told


def _by_name(folder: Path, side: str) -> tuple[dict[str, str], dict[str, str]]:
    """Pictures, and files of kinds that aren't read, by relative paths without suffix."""
    files, others = pictures_below(folder)
    found: dict[str, str] = {}
    for path in files:
        name = _name(path, folder, side)
        if name in found:
            cause = f"is called as {found[name]} is"
            lose("called-alike", path, cause, "keep one of them")
        else:
            found[name] = path
    return found, {_name(path, folder, side): path for path in others}


def _name(path: str, folder: Path, side: str) -> str:
    return Path(path).relative_to(folder).with_suffix("").as_posix().removesuffix(f"_{side}")
