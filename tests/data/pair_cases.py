"""Pictures to be turned into others, in every layout."""

import cv2
import numpy as np


def noise(seed, size=(8, 8)):
    return np.random.default_rng(seed).integers(0, 256, (*size, 3)).astype(np.uint8)


def put(path, pixels):
    """Write a PNG; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _, data = cv2.imencode(".png", np.ascontiguousarray(pixels[:, :, ::-1]))
    path.write_bytes(data.tobytes())


def first(i, size=(8, 8)):
    return noise((0, i), size)


def second(i, size=(8, 8)):
    return noise((1, i), size)


def folders(root, one="trainA", other="trainB", count=3, others=None, size=(8, 8)):
    """Pictures ``first(i)`` in one folder and ``second(i)`` in the other."""
    for i in range(count):
        put(root / one / f"{i:02d}.png", first(i, size))
    for i in range(count if others is None else others):
        put(root / other / f"{i:02d}.png", second(i, size))
    return root


def beside(root, folder="train", count=3, size=(8, 8)):
    """Both beside each other in one file."""
    for i in range(count):
        both = np.concatenate([first(i, size), second(i, size)], 1)
        put(root / folder / f"{i:02d}.png", both)
    return root
