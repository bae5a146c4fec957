"""How much memory an index costs the workers that read it, against a plain list of dicts.

    python benchmarks/index_memory.py

An index of COCO's size (118,000 pictures, 860,000 boxes) is made once; four forked workers then
walk all of it, each in its own order: paths, ids and targets, no pixels. Printed is each worker's
private memory (what it doesn't share with its parent: Private_Clean + Private_Dirty of
/proc/self/smaps_rollup) before and after. Reading a Python object writes its reference count, so
the kernel copies the page that it lies on; an array has one count for all its values. Linux only.
"""

import argparse
import gc
import multiprocessing
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np

from visionkit.data.index import DetectionIndex
from visionkit.data.layout import make_index

CLASSES = 80
SIZE = (480, 640)


def private() -> float:
    """MB that this process shares with no other."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    kb = sum(int(n.split()[1]) for n in lines if n.startswith(("Private_Clean", "Private_Dirty")))
    return kb / 1024


def make(pictures: int, boxes: int) -> DetectionIndex:
    rng = np.random.default_rng(0)
    corner = rng.uniform(0, 300, (boxes, 2))
    return make_index(
        files=[f"/data/coco/images/train2017/{i:012d}.jpg" for i in range(pictures)],
        sizes=np.tile(SIZE, (pictures, 1)),
        owner=rng.integers(0, pictures, boxes),
        boxes=np.concatenate([corner, rng.uniform(1, 180, (boxes, 2))], 1),
        labels=rng.integers(0, CLASSES, boxes),
        classes=[f"class {k}" for k in range(CLASSES)],
        category_ids=range(1, CLASSES + 1),
    )


def as_dicts(index: DetectionIndex) -> list[dict[str, Any]]:
    """The same as the JSON file has it: a dict for each picture, one for each annotation."""
    pictures = []
    for i in range(len(index)):
        here = slice(int(index.first[i]), int(index.first[i + 1]))
        rows = zip(
            index.annotation_ids[here].tolist(),
            index.boxes[here].tolist(),
            index.labels[here].tolist(),
            index.areas[here].tolist(),
            strict=True,
        )
        pictures.append(
            {
                "file_name": index.files[i],
                "image_id": int(index.image_ids[i]),
                "annotations": [
                    {"id": n, "bbox": box, "category_id": label, "area": area, "iscrowd": 0}
                    for n, box, label, area in rows
                ],
            }
        )
    return pictures


def walk_index(index: DetectionIndex, order: Sequence[int]) -> int:
    found = 0
    for i in order:
        boxes, labels = index.targets(i, SIZE)
        found += len(boxes)
        int(index.image_ids[i]), str(index.path(i)), labels.sum()
    return found


def walk_dicts(pictures: list[dict[str, Any]], order: Sequence[int]) -> int:
    found = 0
    for i in order:
        picture = pictures[i]
        annotations = [a for a in picture["annotations"] if not a["iscrowd"]]
        boxes = np.array([a["bbox"] for a in annotations], np.float32).reshape(-1, 4)
        labels = np.array([a["category_id"] for a in annotations], np.int64)
        found += len(boxes)
        int(picture["image_id"]), str(Path(picture["file_name"])), labels.sum()
    return found


def work(pipe: Connection, data: Any, walk: Callable[[Any, Sequence[int]], int], seed: int) -> None:
    order = np.random.default_rng(seed).permutation(len(data)).tolist()
    start = private()
    began = time.perf_counter()
    found = walk(data, order)
    pipe.send((start, private(), time.perf_counter() - began, found))


def measure(
    name: str, data: Any, walk: Callable[[Any, Sequence[int]], int], workers: int
) -> list[str]:
    gc.collect()
    fork = multiprocessing.get_context("fork")
    running: list[tuple[Connection, BaseProcess]] = []
    for seed in range(workers):
        ours, theirs = fork.Pipe()
        process = fork.Process(target=work, args=(theirs, data, walk, seed))
        process.start()
        theirs.close()
        running.append((ours, process))
    rows, counts, total = [], set(), 0.0
    for number, (pipe, child) in enumerate(running):
        start, end, seconds, found = pipe.recv()
        child.join()
        counts.add(found)
        total += end - start
        rows.append(
            f"| {name} | {number} | {start:.0f} | {end:.0f} | {end - start:+.0f} | {seconds:.0f} |"
        )
    assert len(counts) == 1, "workers saw different data"
    return [*rows, f"| {name} | all | | | {total:+.0f} | |"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=118_000)
    parser.add_argument("--boxes", type=int, default=860_000)
    parser.add_argument("--workers", type=int, default=4)
    args = parser.parse_args()

    index = make(args.pictures, args.boxes)
    columns = [v for v in vars(index).values() if isinstance(v, np.ndarray)]
    size = sum(c.nbytes for c in columns) + sum(v.nbytes for v in vars(index.files).values())
    print(f"{args.pictures} pictures, {args.boxes} boxes: {size / 2**20:.0f} MB of arrays\n")
    print("| index | worker | private MB at start | at end | growth MB | seconds |")
    print("|---|---|---|---|---|---|")
    print("\n".join(measure("visionkit", index, walk_index, args.workers)), flush=True)
    print("\n".join(measure("list of dicts", as_dicts(index), walk_dicts, args.workers)))


if __name__ == "__main__":
    main()
