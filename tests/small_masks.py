"""Small sets of pictures with masks that several tests share."""

from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from tiny import draw_squares

CLASSES = ("background", "red", "green")
MASK = np.array([[0, 1, 2, 255], [2, 2, 1, 0], [1, 0, 0, 2]], np.uint8)


def draw_masked(side: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A dark picture with a red and a green square, and its labels; the last row is void."""
    image, boxes, labels = draw_squares(side, seed)
    mask = np.zeros((side, side), np.uint8)
    for (x, y, width, height), label in zip(boxes, labels, strict=True):
        mask[y : y + height, x : x + width] = 1 + label
    mask[-1] = 255
    return image, mask


def make_masks(root: Path, splits: dict[str, int] | None = None, side: int = 48) -> Path:
    """``images/{split}``, ``masks/{split}`` and ``classes.txt``: background, red, green."""
    for number, (split, count) in enumerate((splits or {"train": 8, "val": 4}).items()):
        for i in range(count):
            image, mask = draw_masked(side, 100 * number + i)
            write_png(root / "images" / split / f"{i}.png", image[..., ::-1])
            write_png(root / "masks" / split / f"{i}.png", mask)
    (root / "classes.txt").write_text("\n".join(CLASSES))
    return root


def write_png(path: Path, pixels: np.ndarray) -> Path:
    """Write grey or BGR pixels, making the folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _, data = cv2.imencode(".png", np.ascontiguousarray(pixels))
    path.write_bytes(data.tobytes())
    return path


def picture(path, size=MASK.shape):
    return write_png(path, np.full((*size, 3), 90, np.uint8))


def indices(path, mask=MASK, colours=((9, 9, 9), (200, 0, 0), (0, 200, 0))):
    """A palette PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(mask)
    image.putpalette([value for colour in colours for value in colour])
    image.save(path)
    return path


def names(index):
    return [Path(index.path(i)).stem for i in range(len(index))]


def lay_out(root, pairs, classes=CLASSES):
    """Write pictures and masks under the given names."""
    for a, b in pairs:
        picture(root / a)
        write_png(root / b, MASK)
    (root / "classes.txt").write_text("\n".join(classes))
    return root
