"""The defects that tests plant in sets of COCO's format."""

import importlib
from collections.abc import Callable

from doctor.coco_set import CocoSet

Planted = tuple[str, str]
"""The kind that must be found, and a text that its file or cause must have."""

SEEDS: dict[str, Callable[[CocoSet], Planted]] = {}
RUINOUS = ("json_cut_off", "json_without_images", "json_of_another_kind")
"""Seeds that leave nothing of their split."""


def seed(plant: Callable[[CocoSet], Planted]) -> Callable[[CocoSet], Planted]:
    SEEDS[plant.__name__] = plant
    return plant


for _part in ("files", "annotations", "sets"):
    importlib.import_module(f"doctor.seeds_of_{_part}")
