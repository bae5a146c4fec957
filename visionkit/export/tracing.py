"""From a network to a graph of tensors that takes as many sizes as the network does."""

import contextlib
import logging
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn
from torch.export import Dim, ExportedProgram

from visionkit.about import Sizes
from visionkit.errors import ConfigError
from visionkit.models.graphs import Traceable
from visionkit.targets import first_line

log = logging.getLogger(__name__)

MOST_SIDE = 16384
"""Of a dynamic canvas, in pixels."""
MOST_PICTURES = 4096
_NO_GRAPH = "checkpoint: there is no graph of this network ({})"


class Positional(nn.Module):
    """Gives outputs as a tuple: formats name them by their order."""

    def __init__(self, module: nn.Module, names: tuple[str, ...]) -> None:
        super().__init__()
        self.module, self.names = module, names

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return the outputs in the order of ``names``."""
        found = self.module(*inputs)
        return tuple(found[name] for name in self.names)


def trace(
    make: Callable[[tuple[int, int]], Traceable], canvas: tuple[int, int], dynamic: bool = True
) -> tuple[ExportedProgram, Traceable, tuple[str, ...], Sizes]:
    """Trace a network for as many sizes as it takes.

    Tried in turn: any batch on any canvas; any batch on canvases whose sides are multiples of the
    coarsest map's stride; any batch on the canvas of the training run; one picture on it. What is
    lost on the way is told.

    Args:
        make: gives the network with an example of this height and width.
        canvas: of the training run.
        dynamic: whether to try more than a single picture on that canvas.

    Returns:
        The graph, what it was traced from, the outputs' names, and the sizes that it takes.

    Raises:
        ConfigError: there is no graph of this network.
    """
    whole = make(canvas)
    names = _names(whole)
    looks = "images" in whole.inputs
    tries = _tries(whole.stride, canvas, looks) if dynamic else [Sizes(batch=False, canvas=False)]
    reasons: list[str] = []
    for sizes in tries:
        source = make(_example(canvas, sizes, whole.stride)) if sizes.canvas and looks else whole
        try:
            program = _exported(source, names, sizes)
        except Exception as error:
            reasons.append(first_line(error).partition(" For more information")[0])
            log.debug("not exported for %s", sizes, exc_info=True)
            continue
        if sizes != tries[0]:
            log.warning(
                "the network can't be exported for %s (%s): the file takes %s",
                said(tries[0]), reasons[0], said(sizes),
            )  # fmt: skip
        return program, source, names, sizes
    raise ConfigError(_NO_GRAPH.format(reasons[-1]))


def _tries(stride: int, canvas: tuple[int, int], looks: bool) -> list[Sizes]:
    """What to try in turn; the training run's own canvas is always among what is taken."""
    fixed = [Sizes(canvas=False), Sizes(batch=False, canvas=False)]
    if not looks:
        return fixed
    # a map of one cell would be taken for a constant
    least = min(2 * max(16, stride), *canvas)
    steps = [1, stride] if not (canvas[0] % stride or canvas[1] % stride) else [1]
    return [*(Sizes(multiple=step, least=least) for step in steps), *fixed]


def said(sizes: Sizes) -> str:
    """Say in words which pictures a file takes."""
    batch = "any number of pictures" if sizes.batch else "one picture at a time"
    if not sizes.canvas:
        return f"{batch} on the training run's canvas"
    if sizes.multiple == 1:
        return f"{batch} on any canvas from {sizes.least} pixels"
    return f"{batch} on canvases whose sides are multiples of {sizes.multiple}"


def _names(source: Traceable) -> tuple[str, ...]:
    try:
        with torch.no_grad():
            return tuple(source.module(*source.inputs.values()))
    except Exception as error:
        raise ConfigError(_NO_GRAPH.format(first_line(error))) from error


def _example(canvas: tuple[int, int], sizes: Sizes, stride: int) -> tuple[int, int]:
    """An oblong canvas like the given one: equal sides would be taken for the same number."""
    unit = max(stride, sizes.multiple)
    height, width = (max(2, round(side / unit)) * unit for side in canvas)
    return (height, width) if height != width else (height, width + unit)


def _exported(source: Traceable, names: tuple[str, ...], sizes: Sizes) -> ExportedProgram:
    inputs = source.inputs
    if not sizes.batch:
        inputs = {name: tensor[:1] for name, tensor in inputs.items()}
    batch = Dim("batch", min=1, max=MOST_PICTURES)
    shapes: list[dict[int, Any]] = []
    for tensor in inputs.values():
        shape: dict[int, Any] = {0: batch} if sizes.batch else {}
        if sizes.canvas and tensor.ndim == 4:
            shape |= _sides(sizes)
        shapes.append(shape)
    module = Positional(source.module, names).eval()
    with torch.no_grad(), quietly():
        return torch.export.export(
            module, tuple(inputs.values()), dynamic_shapes=(tuple(shapes),), strict=False
        )


def _sides(sizes: Sizes) -> dict[int, Any]:
    if sizes.multiple == 1:
        bounds = {"min": sizes.least, "max": MOST_SIDE}
        return {2: Dim("height", **bounds), 3: Dim("width", **bounds)}
    least, most = -(-sizes.least // sizes.multiple), MOST_SIDE // sizes.multiple
    rows, columns = (Dim(name, min=least, max=most) for name in ("rows", "columns"))
    return {2: sizes.multiple * rows, 3: sizes.multiple * columns}


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Keep what exporters say for their own developers away from people."""
    names = ("torch.onnx", "torch.export", "torch.fx", "onnxscript", "onnx_ir", "torch._dynamo")
    levels = {name: logging.getLogger(name).level for name in names}
    try:
        for name in names:
            logging.getLogger(name).setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
