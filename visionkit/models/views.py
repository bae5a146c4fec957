"""What a network says of a picture that is looked at more than once: mirrored, scaled, in windows.

How the views of one picture become one answer is the head's to know, see
:meth:`visionkit.heads.base.Head.average` and :meth:`visionkit.heads.base.Head.assemble`.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from visionkit.errors import ConfigError
from visionkit.geometry import window_places
from visionkit.ops.nested import map_tensors
from visionkit.options import PredictOptions
from visionkit.targets import first_line

if TYPE_CHECKING:
    from visionkit.models.model import Model

PIXELS = 1 << 21
"""Of the windows that go through the network together: eight of 512 by 512."""


def observe(model: "Model", images: Tensor, options: PredictOptions) -> Any:
    """Look at pictures as the options say: by windows, each at every scale, plain and mirrored.

    A window is cut to the canvas where that is smaller, and one that covers it all is no window.

    Args:
        model: whose head does what the options ask for, see its ``check_options``.
        images: [B, 3, H, W], uint8 or float in 0..255.
        options: of which ``flip``, ``scales``, ``window`` and ``overlap`` are heeded.

    Returns:
        the head's raw output for the canvas.
    """
    canvas = images.shape[-2], images.shape[-1]
    if options.window is None:
        return _averaged(model, images, options)
    window = min(canvas[0], options.window[0]), min(canvas[1], options.window[1])
    if window == canvas:
        return _averaged(model, images, options)
    places = window_places(canvas, window, options.overlap)
    raws = _window_by_window(model, images, options, window, places)
    return model.head.assemble(raws, places, canvas)


def check_views(model: "Model", canvas: tuple[int, int], options: PredictOptions) -> None:
    """Find out before training whether the network takes the sizes that its options ask for.

    Raises:
        ConfigError: it doesn't take one of them.
    """
    if options.window is None and tuple(options.scales) == (1.0,):
        return
    whole = [min(side, most) for side, most in zip(canvas, options.window or canvas, strict=True)]
    training = model.training
    model.eval()
    try:
        for scale in options.scales:
            height, width = (max(1, round(side * scale)) for side in whole)
            try:
                with torch.no_grad():
                    model(torch.zeros(1, 3, height, width))
            except (ConfigError, RuntimeError, ValueError, AssertionError) as error:
                raise ConfigError(
                    f"predict: the network can't look at {height} x {width} pixels "
                    f"({first_line(error)}); choose other predict.scales or another predict.window"
                ) from error
    finally:
        model.train(training)


def _window_by_window(
    model: "Model",
    images: Tensor,
    options: PredictOptions,
    window: tuple[int, int],
    places: Sequence[tuple[int, int]],
) -> Iterator[Any]:
    """Give the raw output of each window, all pictures of the batch together."""
    height, width = window
    batch = len(images)
    together = max(1, PIXELS // (batch * height * width))
    for first in range(0, len(places), together):
        group = places[first : first + together]
        cut = [images[..., top : top + height, left : left + width] for top, left in group]
        raw = _averaged(model, torch.cat(cut), options)
        for i in range(len(group)):
            yield _rows(raw, slice(i * batch, (i + 1) * batch))


def _rows(raw: Any, rows: slice) -> Any:
    return map_tensors(raw, lambda tensor: tensor[rows])


def _averaged(model: "Model", images: Tensor, options: PredictOptions) -> Any:
    """Give the mean over scales and mirror images, for a canvas of the images' own size."""
    if tuple(options.scales) == (1.0,) and not options.flip:
        return model(images)
    canvas = images.shape[-2], images.shape[-1]
    raws: list[Any] = []
    mirrored: list[bool] = []
    for scale in sorted(options.scales, key=lambda scale: scale != 1):  # its own size first
        scaled = _scaled(images, scale)
        for mirror in (False, True) if options.flip else (False,):
            view = scaled.flip(-1) if mirror else scaled
            # the average has the canvas of the first, whatever its scale
            size = (view.shape[-2], view.shape[-1]) if raws else canvas
            maps = model.neck(model.backbone(model.normalise(view)))
            raws.append(model.head(maps, size))
            mirrored.append(mirror)
    return raws[0] if len(raws) == 1 else model.head.average(raws, mirrored)


def _scaled(images: Tensor, scale: float) -> Tensor:
    """Resize images, smoothed where they shrink."""
    if scale == 1:  # a tracer can't tell that nothing is rounded
        return images
    height, width = (max(1, round(side * scale)) for side in images.shape[-2:])
    if (height, width) == images.shape[-2:]:
        return images
    return F.interpolate(images.float(), (height, width), mode="bilinear", antialias=scale < 1)
