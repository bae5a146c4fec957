"""The layouts of well-known segmentation sets: Pascal VOC's and Cityscapes'."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from visionkit.data.class_listing import SPELLINGS
from visionkit.data.defects import lose, note
from visionkit.data.folder import files_below
from visionkit.data.layout import listed, names_in, read_text
from visionkit.data.mask_classes import Colour, Entry
from visionkit.data.mask_pairs import MASK_SUFFIXES, Found, Pairs
from visionkit.data.voc import VOC_CLASSES
from visionkit.errors import DataError
from visionkit.geometry import IMAGE_SUFFIXES

CITYSCAPES = {
    "road": 7,
    "sidewalk": 8,
    "building": 11,
    "wall": 12,
    "fence": 13,
    "pole": 17,
    "traffic light": 19,
    "traffic sign": 20,
    "vegetation": 21,
    "terrain": 22,
    "sky": 23,
    "person": 24,
    "rider": 25,
    "car": 26,
    "truck": 27,
    "bus": 28,
    "train": 31,
    "motorcycle": 32,
    "bicycle": 33,
}
"""The classes that are scored, and their values in ``_labelIds.png``."""

VOC_ENTRIES = tuple(Entry(name, k) for k, name in enumerate(("background", *VOC_CLASSES)))
"""Pascal VOC's classes; 255 is void."""

_LISTS = "ImageSets/Segmentation"
_MASK_FOLDERS = ("SegmentationClass", "SegmentationClassAug", "SegmentationClassPNG")
_PICTURE, _IDS, _TRAIN_IDS = "_leftImg8bit", "_gtFine_labelIds", "_gtFine_labelTrainIds"


def voc_colour(value: int) -> Colour:
    """The colour that VOC's palette gives to a value 0..255.

    From the lowest on, three bits of the value at a time become the next lower bit of red, of green
    and of blue.
    """
    red = green = blue = 0
    for k in range(8):
        three = value >> 3 * k
        red |= (three & 1) << 7 - k
        green |= (three >> 1 & 1) << 7 - k
        blue |= (three >> 2 & 1) << 7 - k
    return red, green, blue


def in_voc(root: Path) -> Found | None:
    """Find ``ImageSets/Segmentation``, in the folder itself or up to two levels below.

    Raises:
        DataError: there are several.
    """
    for pattern in ("", "*/", "*/*/"):
        homes = [p.parent.parent for p in sorted(root.glob(pattern + _LISTS)) if p.is_dir()]
        if len(homes) > 1:
            raise DataError(
                f"{root}: holds several VOC sets ({listed([p.name for p in homes])}); "
                "set data.root to one of them"
            )
        if homes:
            break
    else:
        return None
    home = homes[0]
    masks = next((home / name for name in _MASK_FOLDERS if (home / name).is_dir()), None)
    if masks is None:
        return None
    there = {Path(name).stem for name in names_in(masks)}
    splits = {}
    for split, spellings in SPELLINGS.items():
        for spelling in spellings:
            path = home / _LISTS / f"{spelling}.txt"
            if split not in splits and path.is_file() and there & set(_stems(path)):
                splits[split] = partial(_from_voc, home, masks, path)
    if not splits:
        return None
    return Found(splits, tuple({home: 0, root: 0}), VOC_ENTRIES, palette="voc")


def _stems(path: Path) -> list[str]:
    """The pictures of a list, in order."""
    return [line.split()[0] for line in read_text(path).splitlines() if line.split()]


def _from_voc(home: Path, masks: Path, source: Path) -> Pairs:
    folder = home / "JPEGImages"
    pictures = _by_stem(folder, IMAGE_SUFFIXES)
    of_stem = _by_stem(masks, MASK_SUFFIXES)
    found: dict[str, str] = {}
    warnings = []
    for stem in _stems(source):
        if stem in found:
            note("listed-twice", source, f"lists {stem} once more", "list it once", "mended")
            warnings.append(f"{source}: lists {stem} once more: taken once")
        elif stem not in pictures:
            lose(
                "missing-file",
                folder / f"{stem}.jpg",
                f"there is no such picture, but {source} names it",
                "put it there or take it out of the list",
            )
        elif stem not in of_stem:
            lose(
                "missing-mask",
                masks / f"{stem}.png",
                f"there is no such mask, but {source} names it",
                "put it there or take it out of the list",
            )
        else:
            found[stem] = of_stem[stem]
    return Pairs(source, home, [pictures[s] for s in found], list(found.values()), tuple(warnings))


def _by_stem(folder: Path, suffixes: frozenset[str]) -> dict[str, str]:
    paths = [folder / name for name in sorted(names_in(folder))]
    return {path.stem: str(path) for path in paths if path.suffix.lower() in suffixes}


def in_cityscapes(root: Path) -> Found | None:
    """Find ``leftImg8bit/{split}/<city>`` and ``gtFine/{split}/<city>``."""
    pictures, masks = root / "leftImg8bit", root / "gtFine"
    if not (pictures.is_dir() and masks.is_dir()):
        return None
    splits = [s for s in SPELLINGS if (pictures / s).is_dir() and (masks / s).is_dir()]
    if not splits:
        return None
    named = next((p for p in files_below(masks / splits[0]) if f"{_TRAIN_IDS}." in p), None)
    ending = _TRAIN_IDS if named else _IDS
    numbered = enumerate(CITYSCAPES) if named else ((v, name) for name, v in CITYSCAPES.items())
    return Found(
        {s: partial(_from_cityscapes, pictures / s, masks / s, ending) for s in splits},
        (root,),
        tuple(Entry(name, value) for value, name in numbered),
        fixed=True,
    )


def _from_cityscapes(pictures: Path, masks: Path, ending: str) -> Pairs:
    found: dict[str, str] = {}
    there = set(files_below(masks))
    for path in files_below(pictures):
        own = Path(path)
        if not own.stem.endswith(_PICTURE):
            continue
        stem = own.stem.removesuffix(_PICTURE)
        mask = str(masks / own.parent.relative_to(pictures) / f"{stem}{ending}.png")
        if mask in there:
            found[path] = mask
        else:
            lose("missing-mask", path, f"there is no {mask}", "add it or remove the picture")
    unused = there - set(found.values())
    for mask in sorted(m for m in unused if m.endswith(f"{ending}.png")):
        lose(
            "mask-without-picture",
            mask,
            f"there is no picture of its name in {pictures}",
            "add it or remove the mask",
        )
    return Pairs(pictures, pictures, list(found), list(found.values()))


def with_palette(entries: Sequence[Entry], colours: Sequence[Colour] | str) -> list[Entry]:
    """Give each class a colour: the one in its place, or that of VOC's palette for its value."""
    if isinstance(colours, str):
        values = [k if e.value is None else e.value for k, e in enumerate(entries)]
        colours = [voc_colour(value & 255) for value in values]
    return [
        Entry(entry.name, entry.value, colour)
        for entry, colour in zip(entries, colours, strict=True)
    ]
