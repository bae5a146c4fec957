"""From a checkpoint to a file of another format that says all of itself."""

import contextlib
import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from visionkit.about import About
from visionkit.checkpoint import Loaded, version_of
from visionkit.errors import ConfigError
from visionkit.export import onnx, program
from visionkit.export.tracing import trace
from visionkit.geometry import PAD_COLOUR
from visionkit.heads.base import Graph
from visionkit.ops.suppression import as_one_operator
from visionkit.options import PredictOptions, options_from

Format = Literal["onnx", "program"]
Decode = Literal["nms", "topk", "raw"]
FLOOR = PredictOptions().confidence
"""Boxes of lower scores are of no use to evaluation, either."""
_PACKAGES = ("visionkit", "torch", "torchvision", "onnx", "onnxscript")


def build_file(
    loaded: Loaded,
    path: Path,
    kind: Format = "onnx",
    decode: Decode = "nms",
    *,
    predict: Mapping[str, Any] | None = None,
    dynamic: bool = True,
    run: Mapping[str, Any] | None = None,
    aot: bool = False,
) -> About:
    """Write a checkpoint's network as a file that runs without visionkit.

    Args:
        loaded: is left in evaluation mode on the CPU.
        path: ends in ``.onnx`` or ``.pt2``, as ``kind`` is.
        kind: ``onnx``, or ``program`` for torch's own format.
        decode: how far boxes are worked out, see :class:`About`.
        predict: options in the place of the training run's; None leaves one as it is.
        dynamic: whether the file is to take batches and canvases of any size.
        run: where the checkpoint came from, see :func:`origin`.
        aot: whether to compile a program ahead of time, for machines like this one.

    Returns:
        What the file says of itself.

    Raises:
        ConfigError: the network can't be written so, or a package isn't there.
    """
    model = loaded.model.to("cpu").eval()
    options = options_from(predict or {}, options_from(loaded.predict))
    if options.window is not None:
        raise ConfigError(
            "predict.window: windows that slide over a picture can't be in a file; export with "
            "predict.window=none"
        )
    model.set_options(options, loaded.canvas)
    model.requires_grad_(False)
    how = Graph(decode, FLOOR, options.iou, options.max_detections)
    as_operator = as_one_operator() if kind == "onnx" else contextlib.nullcontext()
    with as_operator:
        graph, source, names, sizes = trace(
            lambda canvas: model.traceable(how, canvas), loaded.canvas, dynamic
        )
    about = About(
        task=loaded.task,
        says=model.says,
        decode=decode,
        classes=loaded.classes,
        preprocess={
            "canvas": list(loaded.canvas),
            "colour": "RGB",
            "range": [0, 255],
            "layout": "NCHW uint8",
            "pad": list(PAD_COLOUR),
            "letterbox": "one scale for both sides (averaged where it shrinks, else bilinear), "
            "then a centred pad; normalisation is in the graph",
        },
        predict=asdict(options),
        floor=FLOOR,
        sizes=sizes,
        data=loaded.data,
        evaluator=loaded.evaluator,
        run=dict(run or {}),
        versions={name: version_of(name) for name in _PACKAGES},
        **source.facts | {"parts": _parts(loaded, source.facts)},
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "onnx":
        onnx.write(graph, path, tuple(source.inputs), names, about)
    elif aot:
        from visionkit.export.aot import write_compiled

        write_compiled(graph, path, about)
    else:
        program.write(graph, path, about)
    return about


def _parts(loaded: Loaded, facts: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What is said of each part of a joint network, none of others; see :class:`About`."""
    said: Mapping[str, Mapping[str, Any]] = facts.get("parts", {})
    return {name: {**of, "classes": list(loaded.parts[name])} for name, of in said.items()}


def origin(path: str | Path, content: Mapping[str, Any]) -> dict[str, Any]:
    """Say where an exported model comes from.

    Args:
        path: of the checkpoint.
        content: as :func:`visionkit.checkpoint.read` gives it.
    """
    with Path(path).open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    found: dict[str, Any] = {"checkpoint": Path(path).name, "sha256": digest}
    found |= {key: content[key] for key in ("epoch", "global_step") if key in content}
    return found | {"trained with": content["visionkit"].get("versions", {})}
