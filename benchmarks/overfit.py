"""Can a model learn a handful of pictures by heart?

    python benchmarks/overfit.py COCO_ROOT [key=value ...]

Takes the 16 pictures of the training split with the fewest boxes under 16 px (among those that have
boxes), trains on them as they are with experiment=overfit, and scores the same pictures. An AP50
below 0.95 says that something in the loss, the assignment or the geometry is wrong.
"""

import json
import sys
import tempfile
from pathlib import Path

import numpy as np

from visionkit.compose import compose
from visionkit.data.coco import read_coco
from visionkit.train import run

COUNT = 16
SMALL = 16


def subset(root: Path, target: Path) -> None:
    """Write a COCO-format set whose train and val are the same few pictures of ``root``."""
    index = read_coco(root, "train")
    assert index is not None
    picture = np.repeat(np.arange(len(index)), np.diff(index.first))
    small = (index.boxes[:, 2:].min(1) < SMALL) & ~index.crowd
    boxes = np.bincount(picture[~index.crowd], minlength=len(index))
    tiny = np.bincount(picture[small], minlength=len(index))
    order = [int(i) for i in np.argsort(tiny, kind="stable") if boxes[i]][:COUNT]
    images, annotations = [], []
    for i in order:
        height, width = index.size(i) or (0, 0)
        number = int(index.image_ids[i])
        images.append(
            {"id": number, "file_name": f"{number}.jpg", "height": height, "width": width}
        )
        for k in range(index.first[i], index.first[i + 1]):
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": index.category_ids[index.labels[k]],
                    "bbox": index.boxes[k].tolist(),
                    "area": float(index.areas[k]),
                    "iscrowd": int(index.crowd[k]),
                }
            )
    categories = [
        {"id": number, "name": name}
        for number, name in zip(index.category_ids, index.classes, strict=True)
    ]
    (target / "annotations").mkdir(parents=True)
    (target / "images").mkdir()
    for i, entry in zip(order, images, strict=True):
        (target / "images" / str(entry["file_name"])).symlink_to(index.path(i).resolve())
    content = {"images": images, "annotations": annotations, "categories": categories}
    for split in ("train", "val"):
        (target / "annotations" / f"instances_{split}.json").write_text(json.dumps(content))
    below = int(tiny[order].sum())
    print(f"{len(images)} pictures, {len(annotations)} boxes, {below} under {SMALL} px")


def main() -> None:
    """Make the set, train, print."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "overfit"
        subset(Path(sys.argv[1]), target)
        overrides = ["task=detection", "data=coco", "experiment=overfit", f"data.root={target}"]
        metrics = run(compose([*overrides, *sys.argv[2:]]))
        print(f"AP {metrics['AP']:.3f}  AP50 {metrics['AP50']:.3f}")


if __name__ == "__main__":
    main()
