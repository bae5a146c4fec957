"""What every segmentation head does with the scores of its classes."""

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import torch
from torch import Tensor, nn

from visionkit.argtypes import Range
from visionkit.backbones.base import FeatureSpec
from visionkit.batch import Batch
from visionkit.build import expect
from visionkit.data.index import DataInfo
from visionkit.errors import ConfigError
from visionkit.heads.base import Graph, Head
from visionkit.heads.segmentation.layers import enlarge
from visionkit.losses.segmentation import SegmentationLoss
from visionkit.ops.windows import blend
from visionkit.results import VOID, Result, SemanticMask

DropOut = Annotated[float, Range(0, 0.95)]
"""The part of the last layer's channels that is left out in training."""
AT_ONCE = 2**24
"""So many values of a picture's own size are held at a time: 64 MiB."""
_LEAST = 1e-30


@dataclass(frozen=True)
class MaskRaw:
    """All that the head computes without targets.

    Attributes:
        logits: [B, K, h, w] at the stride that the head ends at.
        canvas: height and width in pixels.
    """

    logits: Tensor
    canvas: tuple[int, int]


class DecodedMasks(NamedTuple):
    """What an exported model gives.

    Attributes:
        probabilities: [B, K, H, W] float32, for each pixel of the canvas.
    """

    probabilities: Tensor


class SegmentationHead(Head):
    """Scores of K classes for each pixel, whose softmax are their probabilities.

    A family of heads builds its layers from ``in_features``, sets ``used``, and gives
    :meth:`logits`; all else is here. Scores are enlarged bilinearly to the canvas, of whatever
    size it is, before the loss and before the softmax.

    Args:
        in_features: the maps to choose from.
        num_classes: K.
        loss: of the scores of each pixel.
        dropout: part of the last layer's channels that is left out in training.
    """

    learns = "masks"
    averages = True
    assembles = True

    def __init__(
        self,
        in_features: Sequence[FeatureSpec],
        num_classes: int,
        loss: SegmentationLoss,
        dropout: DropOut = 0.1,
    ) -> None:
        super().__init__(in_features, num_classes)
        self.criterion = expect(loss, SegmentationLoss, "head.loss")
        self.dropout = nn.Dropout2d(dropout)
        self.register_buffer("class_weights", torch.ones(num_classes))
        self.class_weights: Tensor

    @abstractmethod
    def logits(self, maps: Sequence[Tensor], canvas: tuple[int, int]) -> Tensor:
        """Return scores [B, K, h, w] of any size.

        Args:
            maps: those of ``used``, in that order.
            canvas: height and width in pixels.
        """

    def forward(self, features: dict[str, Tensor], canvas: tuple[int, int]) -> MaskRaw:
        """See :class:`Head`."""
        return MaskRaw(self.logits([features[f.name] for f in self.used], canvas), canvas)

    def loss(self, raw: MaskRaw, batch: Batch) -> dict[str, Tensor]:
        """See :class:`Head`. A key for each loss that ``head.loss`` adds up."""
        with torch.autocast(raw.logits.device.type, enabled=False):
            logits = on_canvas(raw.logits, raw.canvas)
            return self.criterion(logits, batch.masks.labels, self.class_weights.float())

    def decode(self, raw: MaskRaw) -> DecodedMasks:
        """See :class:`Head`."""
        return DecodedMasks(on_canvas(raw.logits, raw.canvas).softmax(1))

    def outputs(self, raw: MaskRaw, how: Graph) -> dict[str, Tensor]:
        """See :class:`Head`. Raw are logits as small as the head gives them."""
        if how.decode == "raw":
            return {"logits": raw.logits.float()}
        return self.decode(raw)._asdict()

    @torch.no_grad()
    def predict(self, raw: MaskRaw, batch: Batch) -> list[Result]:
        """See :class:`Head`. Probabilities are brought to the picture's size, then compared.

        With ``options.confidence`` above 1 / K, below which no largest probability is, pixels whose
        largest is less are void.
        """
        sure = self.options.confidence * self.num_classes <= 1
        found: list[Result] = []
        for logits, meta in zip(raw.logits, batch.meta, strict=True):
            box = meta.letterbox
            scores = on_canvas(logits[None], raw.canvas)[0][:, *box.window]
            if not sure or box.resized != box.size:  # else the largest score is the most probable
                scores = scores.softmax(0)
            largest, labels = strongest(scores, box.size)
            if not sure:
                labels.masked_fill_(largest < self.options.confidence, VOID)
            found.append(SemanticMask(labels.cpu().numpy()))
        return found

    def check(self, info: DataInfo) -> None:
        """See :class:`Head`. Refuses a single class, too."""
        super().check(info)
        if self.num_classes == 1:
            raise ConfigError(
                f"data: there is a single class ({info.classes[0]}), so every labelled pixel is of "
                "it; add a class for the background"
            )

    def prepare(self, info: DataInfo) -> None:
        """See :class:`Head`. Weighs the classes by their pixels, if the loss does."""
        self.class_weights.fill_(1.0)
        if self.criterion.weighs:  # else no mask is read to count them
            self.class_weights.copy_(self.criterion.weights(info.counts))

    def average(self, raws: Sequence[MaskRaw], mirrored: Sequence[bool]) -> MaskRaw:
        """See :class:`Head`. The mean is that of the probabilities."""
        canvas, total = raws[0].canvas, None
        for raw, turned in zip(raws, mirrored, strict=True):
            seen = on_canvas(raw.logits.flip(-1) if turned else raw.logits, canvas).softmax(1)
            total = seen if total is None else total + seen
        assert total is not None
        return MaskRaw(_as_logits(total / len(raws)), canvas)

    def assemble(
        self, raws: Iterable[MaskRaw], places: Sequence[tuple[int, int]], canvas: tuple[int, int]
    ) -> MaskRaw:
        """See :class:`Head`. Where windows overlap, their probabilities are blended."""
        parts = (self.decode(raw).probabilities for raw in raws)
        return MaskRaw(_as_logits(blend(parts, places, canvas)), canvas)


def on_canvas(logits: Tensor, canvas: tuple[int, int]) -> Tensor:
    """Return logits [B, K, h, w] in float32 and of the canvas's size."""
    logits = logits.float().contiguous()
    if not torch.compiler.is_compiling() and tuple(logits.shape[-2:]) == canvas:
        return logits
    return enlarge(logits, canvas)


def strongest(scores: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Bring scores [K, h, w] to (height, width) bilinearly, and find the largest of each pixel.

    Few classes at a time are held at that size, see :data:`AT_ONCE`: a photograph with 150 classes
    would take gigabytes.

    Returns:
        The largest score [H, W], and its class [H, W] uint8, the first where several are largest.
    """
    same = tuple(scores.shape[-2:]) == size
    best = scores.new_full(size, -torch.inf)
    labels = torch.zeros(size, dtype=torch.uint8, device=scores.device)
    together = max(1, AT_ONCE // (size[0] * size[1]))
    for first in range(0, len(scores), together):
        part = scores[first : first + together]
        if not same:
            part = enlarge(part[None], size)[0]
        for label, one in enumerate(part, first):
            labels.masked_fill_(one > best, label)
            torch.maximum(best, one, out=best)
    return best, labels


def _as_logits(probabilities: Tensor) -> Tensor:
    """Return logits whose softmax gives the probabilities again."""
    return probabilities.clamp(min=_LEAST).log()
