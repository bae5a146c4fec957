"""A set of pictures with masks, drawn, and the defects that tests plant in it."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from doctor.coco_set import jpeg, png, scenery

Planted = tuple[str, str]
"""The kind that must be found, and a text that its file or cause must have."""

CLASSES = ("ground", "sky", "tree")
HEIGHT, WIDTH = 60, 80
SEEDS: dict[str, Callable[["MaskSet"], Planted]] = {}


def draw_labels(rng: np.random.Generator) -> np.ndarray:
    """Ground below, sky above, a tree, and an edge of void."""
    labels = np.zeros((HEIGHT, WIDTH), np.uint8)
    labels[: int(rng.integers(20, 30))] = 1
    x = int(rng.integers(10, 50))
    labels[10:45, x : x + 20] = 2
    labels[:, :2] = 255
    return labels


def make_masks(root: Path, counts: dict[str, int] | None = None) -> Path:
    """A set without a defect: three classes in each mask, in pairs of folders."""
    rng = np.random.default_rng(0)
    for split, count in (counts or {"train": 12, "val": 4}).items():
        for kind in ("images", "masks"):
            (root / kind / split).mkdir(parents=True)
        for i in range(count):
            picture = jpeg(scenery(rng, HEIGHT, WIDTH))
            (root / "images" / split / f"{split}{i}.jpg").write_bytes(picture)
            mask = png(draw_labels(rng))
            (root / "masks" / split / f"{split}{i}.png").write_bytes(mask)
    (root / "classes.txt").write_text("\n".join(CLASSES))
    return root


class MaskSet:
    """A set to be damaged; every call of :meth:`fresh` gives another mask.

    Args:
        root: its folder, which is changed.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.used: dict[str, int] = {}

    def fresh(self, split: str = "train") -> Path:
        """A mask that no other seed has."""
        number = self.used[split] = self.used.get(split, -1) + 1
        path = self.root / "masks" / split / f"{split}{number}.png"
        assert path.is_file(), f"no mask of {split} is left"
        return path

    def picture(self, mask: Path) -> Path:
        return self.root / "images" / mask.parent.name / f"{mask.stem}.jpg"

    def declare(self, name: str) -> int:
        """Add a class; return its value."""
        file = self.root / "classes.txt"
        names = [*file.read_text().splitlines(), name]
        file.write_text("\n".join(names))
        return len(names) - 1


def labels_of(mask: Path) -> np.ndarray:
    return cv2.imread(str(mask), cv2.IMREAD_UNCHANGED)


def put(mask: Path, labels: np.ndarray) -> None:
    mask.write_bytes(png(labels))


def seed(plant: Callable[[MaskSet], Planted]) -> Callable[[MaskSet], Planted]:
    SEEDS[plant.__name__] = plant
    return plant


@seed
def mask_gone(s):
    mask = s.fresh()
    mask.unlink()
    return "missing-mask", mask.stem


@seed
def picture_gone(s):
    mask = s.fresh()
    s.picture(mask).unlink()
    return "mask-without-picture", mask.stem


@seed
def mask_cut_off(s):
    mask = s.fresh()
    rng = np.random.default_rng(1)
    put(mask, rng.integers(0, 3, (HEIGHT, WIDTH)).astype(np.uint8))  # too long for one read
    mask.write_bytes(mask.read_bytes()[:400])
    return "truncated-mask", mask.name


@seed
def mask_empty(s):
    mask = s.fresh()
    mask.write_bytes(b"")
    return "empty-mask", mask.name


@seed
def mask_of_text(s):
    mask = s.fresh()
    mask.write_text("<html>404 not found</html>")
    return "unreadable-mask", mask.name


@seed
def mask_as_jpeg(s):
    mask = s.fresh()
    mask.write_bytes(jpeg(labels_of(mask)))
    return "lossy-mask", mask.name


@seed
def mask_with_a_value_of_no_class(s):
    mask = s.fresh()
    labels = labels_of(mask)
    labels[5, 7] = 77
    put(mask, labels)
    return "unknown-value", mask.name


@seed
def mask_in_colours_of_no_class(s):
    mask = s.fresh()
    put(mask, np.full((HEIGHT, WIDTH, 3), (10, 20, 30), np.uint8))
    return "unknown-value", mask.name


@seed
def mask_of_another_size(s):
    mask = s.fresh()
    put(mask, labels_of(mask)[:-1])
    return "wrong-size", mask.name


@seed
def mask_of_nothing(s):
    mask = s.fresh()
    put(mask, np.full((HEIGHT, WIDTH), 255, np.uint8))
    return "void-mask", mask.name


@seed
def picture_cut_off(s):
    picture = s.picture(s.fresh())
    picture.write_bytes(picture.read_bytes()[:900])
    return "truncated", picture.name


@seed
def picture_twice_with_two_masks(s):
    mask, other = s.fresh(), s.fresh()
    s.picture(other).write_bytes(s.picture(mask).read_bytes())
    return "conflicting-label", other.stem


@seed
def picture_in_two_splits(s):
    s.picture(s.fresh("val")).write_bytes(s.picture(s.fresh()).read_bytes())
    return "split-overlap", "val"


@seed
def class_that_train_lacks(s):
    value = s.declare("unicorn")
    mask = s.fresh("val")
    labels = labels_of(mask)
    labels[50:] = value
    put(mask, labels)
    return "untrained-class", "unicorn"


@seed
def class_that_nothing_has(s):
    s.declare("yeti")
    return "unused-class", "yeti"


@seed
def class_in_two_masks(s):
    value = s.declare("lynx")
    for mask in (s.fresh(), s.fresh()):
        labels = labels_of(mask)
        labels[50:52] = value
        put(mask, labels)
    return "few-examples", "lynx has 2 training examples"


@seed
def class_of_a_few_pixels(s):
    mask = s.fresh()
    value = s.declare("bird")
    labels = labels_of(mask)
    labels[50, 50] = value
    put(mask, labels)
    return "imbalance", "bird 1:"
