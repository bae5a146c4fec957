"""A COCO annotation file: what readers of its boxes and of its masks share."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from visionkit.data.coco_entries import Entry, categories_of, images_of, load
from visionkit.data.defects import lose, note
from visionkit.data.layout import SPLITS, check_root, listed, lose_split, split_names
from visionkit.errors import DataError

_MENDED = {
    "missing-area": ("without an area: width * height taken", "add it to each"),
    "bad-area": ("with an area below 0 or above 1e10: width * height taken", "mend it"),
    "missing-iscrowd": ("without iscrowd: taken as 0", "add it to each"),
    "text-iscrowd": ("with iscrowd as text: taken as the number", "write it without quotes"),
    "bad-iscrowd": ("with an iscrowd other than 0 and 1: taken as 0", "write 0 or 1"),
}


def locate(root: str | Path, split: str) -> tuple[Path, list[Path]] | None:
    """Find the annotation file of a split, and the folders where its pictures may be.

    Args:
        root: the set's folder.
        split: ``train``, ``val`` or ``test``.

    Returns:
        The file and the folders; None where the set has no such split.

    Raises:
        DataError: the folder isn't there, or has no split at all.
    """
    root = check_root(root)
    found = _find(root, split)
    if found is None and not any(_find(root, other) for other in SPLITS):
        raise DataError(
            f"{root}: no COCO data set: neither annotations/instances_{split}.json, "
            f"annotations/instances_{split}2017.json nor {split}/_annotations.coco.json is "
            "there; set data.root to the folder that holds them, or choose another data="
        )
    return found


def _find(root: Path, split: str) -> tuple[Path, list[Path]] | None:
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


@dataclass(frozen=True)
class CocoFile:
    """What a file says of pictures and classes, and its annotations.

    Attributes:
        path: the file.
        images: its images that can be used.
        image_ids: their ids.
        names: their relative file names.
        given_up: the ids, as Python writes them, of images that can't be used.
        position: of each image id, where it stands in ``image_ids``.
        category_ids: ids of the classes, ascending.
        classes: their names.
        label_of: the label of each category id.
        annotations: all of them.
        told: what was mended, in words.
    """

    path: Path
    images: list[Entry]
    image_ids: list[int]
    names: list[str]
    given_up: frozenset[str]
    position: dict[int, int]
    category_ids: list[int]
    classes: list[str]
    label_of: dict[int, int]
    annotations: list[Entry]
    told: list[str]

    def place(self, number: int, annotation: Entry) -> tuple[int, int] | None:
        """The position of an annotation's picture, and its label; None if it has to be left out.

        Args:
            number: where the annotation stands in the file.
            annotation: what the file says.

        Raises:
            DataError: its category or its picture isn't declared, and nobody collects defects.
        """
        where = name_of(annotation.get("id"), number)
        category, image = annotation.get("category_id"), annotation.get("image_id")
        if type(category) is not int or category not in self.label_of:
            lose(
                "undeclared-category",
                self.path,
                f"{where} has category id {category!r}, which isn't declared "
                f"(declared: {listed(self.category_ids)})",
                "add it to categories or remove the annotation",
            )
            return None
        if type(image) is not int or image not in self.position:
            if repr(image) not in self.given_up:
                lose(
                    "dangling-annotation",
                    self.path,
                    f"{where} has image id {image!r}, which isn't among the images",
                    "add the image or remove the annotation",
                )
            return None
        return self.position[image], self.label_of[category]


def open_coco(path: Path, split: str) -> CocoFile | None:
    """Read a file's images and classes.

    Args:
        path: the file.
        split: the split that it is of.

    Returns:
        The file; None where it lists no images and somebody collects defects.

    Raises:
        DataError: the file is broken, or contradicts itself and nobody collects.
    """
    entries, annotations, categories = load(path)
    if not entries:
        cause = "lists no images; an empty split can't be used"
        lose_split(split, path, cause, "remove the file")
        return None
    images, image_ids, names = images_of(path, entries)
    if not images:
        raise DataError(f"{path}: none of its {len(entries)} images can be used; mend their ids")
    category_ids, classes, label_of, told = categories_of(path, categories, annotations)
    given_up = {repr(image.get("id")) for image in entries} - set(map(repr, image_ids))
    return CocoFile(
        path=path,
        images=images,
        image_ids=image_ids,
        names=names,
        given_up=frozenset(given_up),
        position={image_id: i for i, image_id in enumerate(image_ids)},
        category_ids=category_ids,
        classes=classes,
        label_of=label_of,
        annotations=annotations,
        told=told,
    )


class Mended:
    """Counts what is mended in a file's annotations, kind by kind.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._counts: Counter[str] = Counter()

    def add(self, kind: str) -> None:
        """Count one more of a kind."""
        self._counts[kind] += 1

    def is_crowd(self, given: object) -> bool:
        """What an ``iscrowd`` says, or is taken for."""
        if isinstance(given, int | float) and given in (0, 1):
            return bool(given)
        if given is None:
            self.add("missing-iscrowd")
        else:
            self.add("text-iscrowd" if given in ("0", "1") else "bad-iscrowd")
        return given == "1"

    def lines(self) -> list[str]:
        """Tell whoever collects defects, and say it in words."""
        lines = []
        for kind, count in self._counts.items():
            what, mend = _MENDED[kind]
            lines.append(f"{annotations_of(count)} {what}")
            note(kind, self.path, lines[-1], mend, "mended")
        return lines


def name_of(id_: object, number: int) -> str:
    """What messages call an annotation: by its id, or by where it stands in the file."""
    return f"annotation number {number}" if id_ is None else f"annotation {id_}"


def annotations_of(count: int) -> str:
    """So many annotations, in words."""
    return "1 annotation" if count == 1 else f"{count} annotations"
