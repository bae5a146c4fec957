"""Boxes in COCO's formats (Lin et al. 2014)."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from visionkit.argtypes import nearest
from visionkit.errors import ConfigError, DataError
from visionkit.outputs.base import Entry, Output
from visionkit.outputs.places import Key
from visionkit.report import write_json
from visionkit.results import Detections


@dataclass(frozen=True)
class Ids:
    """The ids that a COCO file gives.

    Attributes:
        path: the file.
        categories: by name.
        images: for each last part of a path the parts of all paths that end so, and their ids.
    """

    path: Path
    categories: Mapping[str, int]
    images: Mapping[str, Sequence[tuple[tuple[str, ...], int]]]

    @staticmethod
    def read(path: Path) -> "Ids":
        """Read ``images`` and ``categories`` of a COCO file.

        Raises:
            DataError: the file can't be read, or has no such lists.
        """
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            categories = {str(c["name"]): int(c["id"]) for c in found["categories"]}
            images: dict[str, list[tuple[tuple[str, ...], int]]] = {}
            for image in found["images"]:
                parts = Path(image["file_name"]).parts
                images.setdefault(parts[-1], []).append((parts, int(image["id"])))
        except OSError as error:
            raise DataError(f"{path}: can't be read ({error.strerror}); check the path") from error
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise DataError(
                f"{path}: no COCO annotations ({type(error).__name__}: {error}); give a file with "
                "images and categories"
            ) from error
        return Ids(path, categories, images)

    def of_picture(self, file: Path) -> int:
        """Return the id of a picture: of the one path that it ends in, or else of the one name.

        Raises:
            ConfigError: there is none, or more than one.
        """
        named = self.images.get(file.name, ())
        parts = file.absolute().parts
        ending = [image for image in named if parts[-len(image[0]) :] == image[0]]
        chosen = ending or list(named)
        if len(chosen) != 1:
            cause = "lists no picture" if not chosen else f"lists {len(chosen)} pictures"
            raise ConfigError(
                f"annotations: {self.path} {cause} called {file.name}; give the pictures of that "
                "file alone, in their folders"
            )
        return chosen[0][1]

    def of_pictures(self, files: Sequence[Path]) -> dict[Key, int]:
        """Return the id of each picture.

        Raises:
            ConfigError: as for one, or two have the same.
        """
        known: dict[Key, int] = {}
        owners: dict[int, Path] = {}
        for file in files:
            number = known[file] = self.of_picture(file)
            if owners.setdefault(number, file) != file:
                raise ConfigError(
                    f"annotations: {self.path} has one picture for {owners[number]} and {file}; "
                    "give the pictures of that file alone"
                )
        return known

    def of_class(self, name: str) -> int:
        """Return the id of a category.

        Raises:
            ConfigError: there is none of that name.
        """
        if name not in self.categories:
            raise ConfigError(
                f"annotations: {self.path} has no category {name!r}, which the model knows"
                f"{nearest(name, self.categories)}"
            )
        return self.categories[name]


class CocoFiles(Output):
    """Writes ``coco_results.json`` and ``coco.json``.

    The former is COCO's results format, for pycocotools' ``loadRes`` and for servers that score.
    The latter is a whole annotation file, its annotations with a ``score``, for tools that show or
    correct labels. Pictures count from 1, and so do categories, in the model's order, unless an
    annotation file says otherwise.

    Args:
        folder: where they go.
        classes: the model's.
        files: all pictures, whose ids are looked up; none with a video.
        ids: of an annotation file.

    Raises:
        ConfigError: the annotation file has no id for a picture or a class, or the same for two
            pictures.
    """

    def __init__(
        self, folder: Path, classes: Sequence[str], files: Sequence[Path], ids: Ids | None = None
    ) -> None:
        self.folder = folder
        self._known: dict[Key, int] = {}
        self._categories = list(range(1, len(classes) + 1))
        if ids is not None:
            self._known = ids.of_pictures(files)
            self._categories = [ids.of_class(name) for name in classes]
        self._classes = tuple(classes)
        self._images: list[dict[str, Any]] = []
        self._found: list[dict[str, Any]] = []

    def add(self, entry: Entry) -> None:
        """See :class:`Output`."""
        number = self._known.get(entry.key, len(self._images) + 1)
        record = entry.record
        image = {"id": number, "file_name": entry.file}
        image |= {k: record[k] for k in ("width", "height", "frame", "seconds") if k in record}
        self._images.append(image)
        result = cast(Detections, entry.result)
        boxes = result.boxes.astype(np.float64)
        boxes[:, 2:] -= boxes[:, :2]
        for box, score, label in zip(
            boxes.tolist(), result.scores.tolist(), result.labels.tolist(), strict=True
        ):
            category = self._categories[label]
            self._found.append(
                {"image_id": number, "category_id": category, "bbox": box, "score": score}
            )

    def finish(self) -> None:
        """See :class:`Output`."""
        write_json(self.folder / "coco_results.json", self._found)
        annotations = [
            {"id": n, "area": found["bbox"][2] * found["bbox"][3], "iscrowd": 0} | found
            for n, found in enumerate(self._found, 1)
        ]
        named = zip(self._categories, self._classes, strict=True)
        categories = [{"id": number, "name": name} for number, name in named]
        data = {"images": self._images, "annotations": annotations, "categories": categories}
        write_json(self.folder / "coco.json", data)
