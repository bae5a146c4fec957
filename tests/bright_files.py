"""The model that finds bright rectangles (see ``bright.py``), as exported files."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from visionkit.about import About, Sizes

ABOUT = About(
    task="detection",
    says="boxes",
    decode="nms",
    classes=("lamp", "moon"),
    preprocess={"canvas": [64, 64], "colour": "RGB", "range": [0, 255]},
    predict={"confidence": 0.25, "iou": 0.7, "max_detections": 300},
    floor=0.001,
    versions={"torch": "2.0"},
)
SINGLE = replace(ABOUT, sizes=Sizes(batch=False, canvas=False))
"""A file that takes one picture at a time, on its own canvas."""

_GRAPH = """
<ir_version: 10, opset_import: ["" : 20]>
bright (uint8[{batch},3,{height},{width}] images)
    => (float[{batch},1,4] boxes, float[{batch},1] scores, int64[{batch},1] labels)
<float limit = {{250}}, float zero = {{0}}, float none = {{-1}},
 int64[1] one = {{1}}, int64[1] two = {{2}}, int64[2] both = {{1, 2}}, int64[1] nil = {{0}}>
{{
    levels = Cast <to = 1> (images)
    darkest = ReduceMin <keepdims = 0> (levels, one)
    found = Greater (darkest, limit)
    bright = Cast <to = 1> (found)
    columns = ReduceMax <keepdims = 0> (bright, one)
    rows = ReduceMax <keepdims = 0> (bright, two)
    left = ArgMax <axis = 1, keepdims = 1> (columns)
    top = ArgMax <axis = 1, keepdims = 1> (rows)
    right = ArgMax <axis = 1, keepdims = 1, select_last_index = 1> (columns)
    bottom = ArgMax <axis = 1, keepdims = 1, select_last_index = 1> (rows)
    beyond_right = Add (right, one)
    beyond_bottom = Add (bottom, one)
    corners = Concat <axis = 1> (left, top, beyond_right, beyond_bottom)
    box = Cast <to = 1> (corners)
    boxes = Unsqueeze (box, one)
    mean = ReduceMean <keepdims = 0> (bright, both)
    share = Unsqueeze (mean, one)
    any = Greater (share, zero)
    scores = Where (any, share, none)
    labels = Mul (left, nil)
}}
"""


def onnx_model(about: About = ABOUT) -> Any:
    """Return an ``onnx.ModelProto`` that takes the sizes that ``about`` says."""
    onnx = pytest.importorskip("onnx")
    batch = "batch" if about.sizes.batch else 1
    height, width = ("height", "width") if about.sizes.canvas else about.canvas
    model = onnx.parser.parse_model(_GRAPH.format(batch=batch, height=height, width=width))
    onnx.checker.check_model(model)
    onnx.helper.set_model_props(model, about.strings())
    return model


def write_onnx(path: Path, about: About = ABOUT) -> Path:
    path.write_bytes(onnx_model(about).SerializeToString())
    return path


def write_program(path: Path, about: About | None = ABOUT) -> Path:
    """Write a ``.pt2`` file; of another make, without ``about``."""
    import json
    from dataclasses import asdict

    import torch
    from torch.export import Dim

    entry = {} if about is None else {"visionkit.json": json.dumps(asdict(about))}
    shapes: dict[int, Any] = {0: Dim("batch"), 2: Dim("height"), 3: Dim("width")}
    example = torch.zeros(2, 3, 40, 48, dtype=torch.uint8)
    program = torch.export.export(torch_network(), (example,), dynamic_shapes=(shapes,))
    torch.export.save(program, path, extra_files=entry)
    return path


def torch_network() -> Any:
    """Return a network from pictures to boxes, scores and labels, without decisions in it."""
    import torch
    from torch import Tensor, nn

    class Network(nn.Module):
        def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            found = images.amin(1) > 250
            x1, x2 = _extent(found.any(1))
            y1, y2 = _extent(found.any(2))
            share = found.float().mean((1, 2))[:, None]
            boxes = torch.stack([x1, y1, x2, y2], 1)[:, None].float()
            return boxes, torch.where(share > 0, share, -1.0), torch.zeros_like(x1)[:, None]

    def _extent(there: Tensor) -> tuple[Tensor, Tensor]:
        place = torch.arange(there.shape[1])
        first = torch.where(there, place, there.shape[1]).amin(1)
        return first, torch.where(there, place + 1, 0).amax(1)

    return Network().eval()
