"""Sets in COCO's format, drawn, and made ready to be damaged."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

Entry = dict[str, Any]


def scenery(rng: np.random.Generator, height: int = 96, width: int = 128) -> np.ndarray:
    """A picture [H, W, 3] that looks like no other: soft spots of colour, and a little noise."""
    spots = rng.integers(0, 256, (5, 6, 3)).astype(np.uint8)
    large = cv2.resize(spots, (width, height), interpolation=cv2.INTER_CUBIC).astype(int)
    return (large + rng.integers(-8, 9, large.shape)).clip(0, 255).astype(np.uint8)


def make_set(root: Path, counts: dict[str, int] | None = None) -> Path:
    """A set without a defect: two classes, three boxes in each picture, ids from 1."""
    rng = np.random.default_rng(0)
    (root / "annotations").mkdir(parents=True)
    for split, count in (counts or {"train": 10, "val": 4, "test": 3}).items():
        folder = root / split
        folder.mkdir()
        images, annotations = [], []
        for i in range(1, count + 1):
            name = f"{split}{i}.jpg"
            cv2.imwrite(str(folder / name), scenery(rng), [cv2.IMWRITE_JPEG_QUALITY, 95])
            images.append({"id": i, "file_name": name, "height": 96, "width": 128})
            for k in range(3):
                x, y = int(rng.integers(0, 90)), int(rng.integers(0, 60))
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": i,
                        "category_id": 1 + k % 2,
                        "bbox": [x, y, 20 + k, 30],
                        "area": (20 + k) * 30,
                        "iscrowd": 0,
                    }
                )
        content = {
            "images": images,
            "annotations": annotations,
            "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
        }
        (root / "annotations" / f"instances_{split}.json").write_text(json.dumps(content))
    return root


class CocoSet:
    """A set to be damaged; every call of :meth:`fresh` gives another picture.

    Args:
        root: its folder, which is changed.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.contents = {}
        self.raw: dict[str, str] = {}
        for split in ("train", "val", "test"):
            file = self.file(split)
            if file.is_file():
                self.contents[split] = json.loads(file.read_text())
        self.used: set[tuple[str, Any]] = set()
        self.rng = np.random.default_rng(1)

    def file(self, split: str) -> Path:
        return self.root / "annotations" / f"instances_{split}.json"

    def folder(self, split: str) -> Path:
        own = self.root / split
        return own if own.is_dir() else self.root / "images"

    def path(self, image: Entry, split: str = "train") -> Path:
        return self.folder(split) / image["file_name"]

    def fresh(self, split: str = "train") -> Entry:
        """A picture that no other seed has; it has an annotation that is no crowd."""
        content = self.contents[split]
        ready = {a["image_id"] for a in content["annotations"] if not a.get("iscrowd")}
        for image in content["images"]:
            if image["id"] in ready and (split, image["id"]) not in self.used:
                self.used.add((split, image["id"]))
                return image
        raise AssertionError(f"no picture of {split} is left")

    def boxed(self, split: str = "train") -> tuple[Entry, Entry]:
        """A picture that no other seed has, and one of its annotations."""
        image = self.fresh(split)
        return image, next(a for a in self.of(image, split) if not a.get("iscrowd"))

    def of(self, image: Entry, split: str = "train") -> list[Entry]:
        annotations = self.contents[split]["annotations"]
        return [a for a in annotations if a.get("image_id") == image["id"]]

    def clear(self, image: Entry) -> None:
        mine = [id(a) for a in self.of(image)]
        content = self.contents["train"]
        content["annotations"] = [a for a in content["annotations"] if id(a) not in mine]

    def annotate(self, image: Entry, category: int, box: list[float], split: str = "train") -> None:
        annotations = self.contents[split]["annotations"]
        known = [a["id"] for a in annotations if isinstance(a.get("id"), int)]
        annotations.append(
            {
                "id": max(known) + 1,
                "image_id": image["id"],
                "category_id": category,
                "bbox": box,
                "area": box[2] * box[3],
                "iscrowd": 0,
            }
        )

    def add(self, data: bytes, like: Entry, split: str, name: str) -> Entry:
        """Add a picture to a split, with one box."""
        image = {**like, "id": 10**6 + len(self.contents[split]["images"]), "file_name": name}
        (self.folder(split) / name).write_bytes(data)
        self.contents[split]["images"].append(image)
        self.used.add((split, image["id"]))
        category = self.contents[split]["categories"][0]["id"]
        self.annotate(image, category, [2, 2, 20, 20], split)
        return image

    def rename(self, image: Entry, suffix: str) -> Path:
        self.path(image).unlink()
        image["file_name"] = str(Path(image["file_name"]).with_suffix(suffix))
        return self.path(image)

    def pixels(self, image: Entry) -> np.ndarray:
        return cv2.imread(str(self.path(image)))

    def save(self) -> None:
        for split, content in self.contents.items():
            self.file(split).write_text(self.raw.get(split) or json.dumps(content))


def png(pixels: np.ndarray) -> bytes:
    return cv2.imencode(".png", pixels)[1].tobytes()


def jpeg(pixels: np.ndarray, quality: int = 95) -> bytes:
    return cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
