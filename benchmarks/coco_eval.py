"""How long COCO's evaluation takes: pycocotools against the engine that visionkit uses.

    python benchmarks/coco_eval.py

5,000 pictures with 100 detections each, 80 classes and some crowds are drawn; truth and results
lie in memory. pycocotools is timed once, from its own objects: making them from the results is
stated apart and doesn't count. The other engine is timed whole, from the arrays in which an
evaluator keeps what it has seen, and so are the figures that a final report has besides. Printed
are seconds and how many times faster the engine is. All three arrays of both are compared bit by
bit; where one differs the exit code is 1.
"""

import argparse
import contextlib
import io
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from visionkit.data.index import DetectionIndex
from visionkit.data.layout import make_index
from visionkit.metrics.coco import CocoEvaluator
from visionkit.metrics.coco_curves import ENGINES, Rules, Seen, default_engine
from visionkit.results import Detections

SIZE = (480, 640)
TRUTHS = 7.3  # a picture of COCO has that many on the average
CROWDS = 0.012


def draw(pictures: int, detections: int, classes: int) -> tuple[DetectionIndex, list[Detections]]:
    """Draw a set: truth of all sizes, detections near it, near it with another class, and apart."""
    rng = np.random.default_rng(0)
    owner = np.sort(rng.integers(0, pictures, round(TRUTHS * pictures)))
    boxes = draw_boxes(rng, len(owner))
    common = rng.dirichlet(np.full(classes, 0.5))
    labels = rng.choice(classes, len(owner), p=common)
    index = make_index(
        files=[f"{i:012d}.jpg" for i in range(pictures)],
        sizes=np.tile(SIZE, (pictures, 1)),
        owner=owner,
        boxes=boxes,
        labels=labels,
        classes=[f"class {k}" for k in range(classes)],
        category_ids=range(1, classes + 1),
        areas=boxes[:, 2] * boxes[:, 3] * rng.uniform(0.4, 1, len(owner)),
        crowd=rng.random(len(owner)) < CROWDS,
    )
    results = []
    for i in range(pictures):
        here = slice(int(index.first[i]), int(index.first[i + 1]))
        found, said = draw_boxes(rng, detections), rng.choice(classes, detections, p=common)
        near = np.flatnonzero(rng.random(detections) < (0.5 if here.stop > here.start else 0))
        source = rng.integers(here.start, max(here.stop, here.start + 1), len(near))
        found[near] = index.boxes[source]
        found[near, :2] += rng.normal(0, 0.1, (len(near), 2)) * found[near, 2:]
        found[near, 2:] *= rng.lognormal(0, 0.15, (len(near), 2))
        same = rng.random(len(near)) < 0.8
        said[near[same]] = index.labels[source[same]]
        found[:, 2:] = found[:, :2] + np.maximum(found[:, 2:], 1)
        # a network's scores have three or four good digits, so some are equal
        scores = np.round(rng.beta(1, 6, detections), 4).astype(np.float32)
        results.append(Detections(found.astype(np.float32), scores, said.astype(np.int64)))
    return index, results


def draw_boxes(rng: np.random.Generator, count: int) -> np.ndarray:
    """[count, 4] ``x y width height`` in the picture, small ones the most frequent."""
    sides = np.minimum(np.exp(rng.normal(4, 0.9, (count, 2))), 460)
    return np.concatenate([rng.uniform(0, 1, (count, 2)) * ([640, 480] - sides), sides], 1)


def coco_objects(index: DetectionIndex, results: list[dict[str, Any]]) -> tuple[COCO, COCO]:
    """Truth and results as pycocotools wants them."""
    owner = np.repeat(index.image_ids, np.diff(index.first))
    columns = (owner, index.labels, index.boxes, index.areas, index.crowd)
    rows = zip(index.annotation_ids.tolist(), *(c.tolist() for c in columns), strict=True)
    truth = COCO()
    truth.dataset = {
        "images": [{"id": i} for i in index.image_ids.tolist()],
        "categories": [{"id": c} for c in index.category_ids],
        "annotations": [
            {
                "id": n,
                "image_id": image,
                "category_id": index.category_ids[label],
                "bbox": box,
                "area": area,
                "iscrowd": int(crowd),
            }
            for n, image, label, box, area, crowd in rows
        ],
    }
    truth.createIndex()
    return truth, truth.loadRes(results)


def seconds(work: Callable[[], object], times: int = 1) -> float:
    """The median time of a few runs."""
    spent = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        spent.append(time.perf_counter() - start)
    return statistics.median(spent)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=5000)
    parser.add_argument("--detections", type=int, default=100)
    parser.add_argument("--classes", type=int, default=80)
    parser.add_argument("--engine", choices=list(ENGINES), default=default_engine())
    parser.add_argument("--times", type=int, default=5, help="of the engine; its median counts")
    args = parser.parse_args()

    index, results = draw(args.pictures, args.detections, args.classes)
    evaluator = CocoEvaluator(index, engine=args.engine)
    evaluator.update(index.image_ids.tolist(), results)
    seen: Seen = evaluator.state()
    count = len(seen.scores)
    print(f"{len(index)} pictures, {len(index.boxes)} truths, {count} detections", flush=True)

    listed = evaluator.predictions()
    with contextlib.redirect_stdout(io.StringIO()):
        start = time.perf_counter()
        both = coco_objects(index, listed)
        loading = time.perf_counter() - start
        reference = COCOeval(*both, "bbox")
        slow = seconds(lambda: (reference.evaluate(), reference.accumulate()))
    print(f"pycocotools: objects {loading:.1f} s, evaluation {slow:.2f} s", flush=True)

    fast = seconds(lambda: ENGINES[args.engine](index, seen, Rules()), args.times)
    ratio = slow / fast
    print(f"{args.engine}: all {fast:.2f} s (median of {args.times}), {ratio:.1f} times faster")
    compute = seconds(evaluator.compute)
    details = seconds(evaluator.details)
    print(f"evaluator: figures {compute:.2f} s, F1 and errors {details:.2f} s more")
    print("  ".join(f"{k} {v:.3f}" for k, v in evaluator.compute().items() if "/" not in k))

    curves = evaluator.curves()
    equal = {
        name: reference.eval[name].tobytes() == getattr(curves, name).tobytes()
        for name in ("precision", "recall", "scores")
    }
    if not all(equal.values()):
        print("arrays differ:", *(name for name, same in equal.items() if not same))
        sys.exit(1)
    print("arrays identical:", *equal)


if __name__ == "__main__":
    main()
