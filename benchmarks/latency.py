"""Latency of model=yolo, suppression and all, beside torchvision's small detectors.

    python benchmarks/latency.py [--threads 2] [--seconds 20] [--runs onnx|torch]

All are files of ONNX Runtime with weights drawn at random: ours as ``visionkit export`` makes it,
with its defaults; those of torchvision by torch's older exporter, for which torchvision registers
its operators, at a fixed size that none of them resizes. A call takes one picture in memory (bytes,
or what torchvision wants: numbers 0..1) to boxes, with normalisation, decoding and suppression.
They take turns in one process, on the same pictures; the first call of a turn, which finds the
caches as the others left them, doesn't count.

The biases of our classes are raised, so that all scores lie above the file's floor and suppression
has all of its candidates to look at; so it has in SSDlite by itself. The scores of Faster R-CNN lie
below its own threshold of 0.05, and it suppresses proposals only. A network that can't be exported
with this torch is timed in torch, and the table says so.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnxruntime
import torch
import torchvision
from numpy.typing import NDArray

from visionkit.benchmarking.machine import processor
from visionkit.build import plain
from visionkit.checkpoint import Loaded
from visionkit.compose import compose
from visionkit.data import drawing
from visionkit.export.build import build_file
from visionkit.export.tracing import quietly
from visionkit.models.build import build_network

CLASSES = 80
SIZE = 320
"""Of the canvas: the one that torchvision made both of its detectors for."""
PICTURES = 8
TURN = 0.5
"""Seconds."""
THEIRS = ("fasterrcnn_mobilenet_v3_large_320_fpn", "ssdlite320_mobilenet_v3_large")
Picture = NDArray[np.uint8]


class Contestant(NamedTuple):
    """Someone who takes part: ``call`` takes [H, W, 3] uint8 RGB, and gives how many boxes."""

    name: str
    by: str
    parameters: int
    call: Callable[[Picture], int]


def session(path: Path, threads: int) -> onnxruntime.InferenceSession:
    """A file in ONNX Runtime, on the processor."""
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = threads
    settings.log_severity_level = 3
    return onnxruntime.InferenceSession(path, settings, ["CPUExecutionProvider"])


def count(network: torch.nn.Module) -> int:
    """The network's parameters."""
    return sum(p.numel() for p in network.parameters())


def ours(folder: Path, size: int, threads: int) -> Contestant:
    """The default detector, exported."""
    words = ["task=detection", "model=yolo", "data.root=.", f"data.image_size={size}"]
    spec = plain(compose(words))
    torch.manual_seed(0)
    network: Any = build_network(spec, CLASSES, (size, size)).eval()
    with torch.no_grad():
        for layers in network.head.many.classes:
            layers[-1].bias.fill_(-4.0)
    names = tuple(map(str, range(CLASSES)))
    loaded = Loaded(network, names, (size, size), "detection", {}, None, spec["predict"])
    build_file(loaded, folder / "ours.onnx")
    runs = session(folder / "ours.onnx", threads)

    def call(picture: Picture) -> int:
        images = np.ascontiguousarray(picture.transpose(2, 0, 1)[None])
        scores = runs.run(["scores", "boxes", "labels"], {"images": images})[0]
        return int((scores >= 0).sum())

    return Contestant("model=yolo", "ONNX Runtime", count(network), call)


def theirs(name: str, folder: Path, size: int, threads: int, export: bool) -> Contestant:
    """A detector of torchvision's, exported if it can be."""
    torch.manual_seed(0)
    network = torchvision.models.get_model(
        name, weights=None, weights_backbone=None, num_classes=CLASSES + 1
    ).eval()
    path = folder / f"{name}.onnx"
    try:
        if not export:
            raise RuntimeError("not asked for")
        example = torch.rand(3, size, size)
        with quietly():
            torch.onnx.export(network, ([example],), path, opset_version=17, dynamo=False)
        runs = session(path, threads)
    except Exception as error:
        print(f"{name} runs in torch: {str(error).strip().splitlines()[0]}", flush=True)
        return Contestant(name, "torch", count(network), in_torch(network))
    wanted = runs.get_inputs()[0].name

    def call(picture: Picture) -> int:
        image = picture.transpose(2, 0, 1).astype(np.float32) / 255
        return len(runs.run(None, {wanted: image})[0])

    return Contestant(name, "ONNX Runtime", count(network), call)


def in_torch(network: torch.nn.Module) -> Callable[[Picture], int]:
    """The network itself."""

    @torch.inference_mode()
    def call(picture: Picture) -> int:
        image = torch.from_numpy(picture.transpose(2, 0, 1).astype(np.float32) / 255)
        return len(network([image])[0]["boxes"])

    return call


def in_turns(
    contestants: list[Contestant], pictures: list[Picture], seconds: float
) -> dict[str, list[float]]:
    """Milliseconds of each call, after a turn of each that doesn't count."""
    spent: dict[str, list[float]] = {one.name: [] for one in contestants}
    for turn in range(-1, max(1, round(seconds / TURN))):
        for one in contestants if turn % 2 else reversed(contestants):
            found: list[float] = []
            end = time.perf_counter() + TURN
            while time.perf_counter() < end or len(found) < 2:
                picture = pictures[len(found) % len(pictures)]
                start = time.perf_counter()
                one.call(picture)
                found.append(1000 * (time.perf_counter() - start))
            if turn >= 0:
                spent[one.name] += found[1:]
    return spent


def main() -> None:
    """Read the arguments, measure, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=20, help="for each")
    parser.add_argument("--runs", choices=("onnx", "torch"), default="onnx", help="torchvision's")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    pictures = [
        drawing.one_shape(np.random.default_rng(n), "star", (SIZE, SIZE), (40, 160))
        for n in range(PICTURES)
    ]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        given: tuple[Any, ...] = (folder, SIZE, options.threads)
        contestants = [ours(*given)]
        contestants += [theirs(name, *given, options.runs == "onnx") for name in THEIRS]
        spent = in_turns(contestants, pictures, options.seconds)
        print(
            f"{processor()}, {options.threads} threads, {SIZE} px, ONNX Runtime "
            f"{onnxruntime.__version__}, torch {torch.__version__}"
        )
        print(f"{'milliseconds':40}{'M':>6}{'median':>8}{'p95':>8}{'calls':>7}{'boxes':>7}  by")
        for one in contestants:
            times = spent[one.name]
            print(
                f"{one.name:40}{one.parameters / 1e6:6.1f}{statistics.median(times):8.1f}"
                f"{np.percentile(times, 95):8.1f}{len(times):7d}{one.call(pictures[0]):7d}"
                f"  {one.by}"
            )


if __name__ == "__main__":
    main()
