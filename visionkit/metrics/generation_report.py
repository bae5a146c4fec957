"""What made pictures were compared with, and which real ones are nearest to them."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from visionkit.data.index import Index
from visionkit.errors import DataError
from visionkit.geometry import Image
from visionkit.metrics import real_pictures, sheets
from visionkit.metrics.manifold import nearest
from visionkit.metrics.sheets import Words
from visionkit.report import write_json, write_picture

if TYPE_CHECKING:
    from visionkit.metrics.generation import GenerationEvaluator

_ROWS, _SUSPECT = 10, 5
_NEIGHBOURS = 5
_TILE = 96


def write(folder: Path, evaluator: "GenerationEvaluator") -> None:
    """Write what :meth:`visionkit.metrics.generation.GenerationEvaluator.report` lists."""
    folder.mkdir(parents=True, exist_ok=True)
    real, _ = evaluator.features()
    train = evaluator.training()
    about = evaluator.extractor.describe() | {
        "dimensions": real.shape[1] if len(real) else None,
        "images": len(real),
        "training_images": min(evaluator.searched, len(train)) if train is not None else 0,
        "picture_size": list(evaluator.size) if evaluator.size is not None else None,
    }
    write_json(folder / "extractor.json", about, indent=2)
    _write_nearest(folder / "nearest.jpg", evaluator)


def _write_nearest(path: Path, evaluator: "GenerationEvaluator") -> None:
    """Draw neighbours; a sheet of an earlier report is taken away where there are none."""
    (real, fake), pictures = evaluator.features(), evaluator.pictures()
    train = evaluator.training() if evaluator.searched else None
    index: Index
    if train is not None and evaluator.train is not None:
        among, index, split = train[: evaluator.searched], evaluator.train, "training"
        places = evaluator.training_places()
    else:
        among, index, split, places = real, evaluator.index, "real", evaluator.real_places()
    if not pictures or not len(among):
        path.unlink(missing_ok=True)
        return
    rows = sorted(pictures)
    found, far = nearest(fake[rows], among, _NEIGHBOURS)
    order = np.argsort(far[:, 0], kind="stable")
    tiles: list[Image] = []
    for n in _spread(order.tolist()):
        tiles.append(sheets.tile(pictures[rows[n]], [Words("made", "")], _TILE))
        for column, distance in zip(found[n].tolist(), far[n].tolist(), strict=True):
            image = _real(index, places[column], evaluator.size)
            tiles.append(sheets.tile(image, [Words("", f"{distance:.3g}")], _TILE))
    title = f"made pictures and the nearest of {len(among)} {split} ones, with their distance"
    write_picture(path, sheets.sheet(tiles, title, 1 + found.shape[1]))


def _spread(order: list[int]) -> list[int]:
    """The first few, and some of the rest at even distances."""
    rest = order[_SUSPECT:]
    some = np.linspace(0, len(rest) - 1, min(len(rest), _ROWS - _SUSPECT)).round()
    return order[:_SUSPECT] + [rest[int(i)] for i in some]


def _real(index: Index, place: int, size: tuple[int, int] | None) -> Image | None:
    assert size is not None
    try:
        image: Image = real_pictures.read(index, [place], size)[0]
    except (DataError, OSError):  # files may have gone since, and the report goes on
        return None
    return image
