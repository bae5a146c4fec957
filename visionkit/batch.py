"""Samples stacked for the device."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from visionkit.ops.nested import map_tensors
from visionkit.results import Classification, Detections, Generated, Joint, Result, SemanticMask
from visionkit.sample import Boxes, ImageMeta, Labels, Mask, Parts, Picture, Sample


@dataclass(frozen=True)
class BoxTargets:
    """The boxes of a batch, flat: T boxes in all, of any image.

    Attributes:
        boxes: [T, 4] float32, ``x1 y1 x2 y2`` in canvas pixels.
        labels: [T] int64.
        image: [T] int64, the position of each box's image in the batch.
    """

    boxes: Tensor
    labels: Tensor
    image: Tensor

    @staticmethod
    def stack(targets: Sequence[Boxes]) -> "BoxTargets":
        """Put the boxes of several pictures one after the other."""
        counts = torch.tensor([len(t.labels) for t in targets])
        return BoxTargets(
            boxes=torch.from_numpy(np.concatenate([t.boxes for t in targets])),
            labels=torch.from_numpy(np.concatenate([t.labels for t in targets])),
            image=torch.repeat_interleave(torch.arange(len(targets)), counts),
        )

    def truth(self, meta: Sequence[ImageMeta]) -> list[Result]:
        """See :meth:`Batch.truth`."""
        mine = [self.image == i for i in range(len(meta))]
        return [
            Detections(
                boxes=m.letterbox.to_image(self.boxes[own].cpu().numpy()),
                scores=np.ones(int(own.sum()), np.float32),
                labels=self.labels[own].cpu().numpy(),
            )
            for m, own in zip(meta, mine, strict=True)
        ]


@dataclass(frozen=True)
class LabelTargets:
    """The classes of each picture.

    Attributes:
        values: [B, K] float32, 1 or 0; parts of 1 where pictures were mixed.
    """

    values: Tensor

    @staticmethod
    def stack(targets: Sequence[Labels]) -> "LabelTargets":
        """Put the classes of several pictures below each other."""
        return LabelTargets(torch.from_numpy(np.stack([t.values for t in targets])))

    def truth(self, meta: Sequence[ImageMeta]) -> list[Result]:
        """See :meth:`Batch.truth`."""
        return [Classification(row, exclusive=False) for row in self.values.cpu().numpy()]


@dataclass(frozen=True)
class MaskTargets:
    """The class of each pixel.

    Attributes:
        labels: [B, H, W] uint8, 0..K-1, or :data:`visionkit.results.VOID`, on the canvas.
    """

    labels: Tensor

    @staticmethod
    def stack(targets: Sequence[Mask]) -> "MaskTargets":
        """Put the masks of several pictures one after the other."""
        return MaskTargets(torch.from_numpy(np.stack([t.labels for t in targets])))

    def truth(self, meta: Sequence[ImageMeta]) -> list[Result]:
        """See :meth:`Batch.truth`."""
        return [
            SemanticMask(m.letterbox.labels_to_image(mask))
            for m, mask in zip(meta, self.labels.cpu().numpy(), strict=True)
        ]


@dataclass(frozen=True)
class PictureTargets:
    """Another picture for each.

    Attributes:
        images: [B, 3, H, W] uint8 RGB, on the canvas.
    """

    images: Tensor

    @staticmethod
    def stack(targets: Sequence[Picture]) -> "PictureTargets":
        """Put several pictures one after the other."""
        stacked = torch.from_numpy(np.stack([t.image for t in targets]))
        return PictureTargets(stacked.permute(0, 3, 1, 2).contiguous())

    def truth(self, meta: Sequence[ImageMeta]) -> list[Result]:
        """See :meth:`Batch.truth`."""
        pictures = self.images.permute(0, 2, 3, 1).cpu().numpy()
        return [
            Generated(m.letterbox.picture_to_image(picture))
            for m, picture in zip(meta, pictures, strict=True)
        ]


@dataclass(frozen=True)
class JointTargets:
    """Several targets of each picture.

    Attributes:
        parts: those of each part of a joint network, by the part's name. A batch of a set that
            labels some parts alone has those.
    """

    parts: Mapping[str, BoxTargets | LabelTargets | MaskTargets | PictureTargets]

    @staticmethod
    def stack(targets: Sequence[Parts]) -> "JointTargets":
        """Stack each part of several pictures of one set."""
        names = targets[0].parts
        return JointTargets({name: _stack([t.parts[name] for t in targets]) for name in names})

    def truth(self, meta: Sequence[ImageMeta]) -> list[Result]:
        """See :meth:`Batch.truth`."""
        known = {name: part.truth(meta) for name, part in self.parts.items()}
        return [Joint({name: known[name][i] for name in known}) for i in range(len(meta))]


Targets = BoxTargets | LabelTargets | MaskTargets | PictureTargets | JointTargets
_STACKED: dict[type, Any] = {
    Boxes: BoxTargets,
    Labels: LabelTargets,
    Mask: MaskTargets,
    Picture: PictureTargets,
    Parts: JointTargets,
}


def _stack(targets: Sequence[Any]) -> Any:
    return _STACKED[type(targets[0])].stack(targets)


@dataclass(frozen=True)
class Batch:
    """B pictures on one canvas, with their targets.

    Attributes:
        images: [B, 3, H, W] uint8 RGB.
        targets: what the head's loss compares with.
        meta: of each picture.
    """

    images: Tensor
    targets: Targets
    meta: tuple[ImageMeta, ...]

    def __len__(self) -> int:
        return len(self.images)

    @property
    def canvas(self) -> tuple[int, int]:
        """Height and width of the canvas."""
        return self.images.shape[-2], self.images.shape[-1]

    @property
    def boxes(self) -> BoxTargets:
        """The targets, where they are boxes."""
        assert isinstance(self.targets, BoxTargets), "this head learns boxes"
        return self.targets

    @property
    def labels(self) -> LabelTargets:
        """The targets, where they are classes."""
        assert isinstance(self.targets, LabelTargets), "this head learns classes"
        return self.targets

    @property
    def masks(self) -> MaskTargets:
        """The targets, where they are masks."""
        assert isinstance(self.targets, MaskTargets), "this head learns masks"
        return self.targets

    @property
    def parts(self) -> tuple[str, ...]:
        """The names of the parts that there are targets for; none where they are of one kind."""
        return tuple(self.targets.parts) if isinstance(self.targets, JointTargets) else ()

    def part(self, name: str) -> "Batch":
        """The batch as the head of one part learns it."""
        assert isinstance(self.targets, JointTargets), "these targets are of one kind"
        return replace(self, targets=self.targets.parts[name])

    def only(self, names: Iterable[str]) -> "Batch":
        """The batch with the targets of the named parts."""
        assert isinstance(self.targets, JointTargets), "these targets are of one kind"
        return replace(self, targets=JointTargets({n: self.targets.parts[n] for n in names}))

    def truth(self) -> list[Result]:
        """The targets of each picture as a result would state them, in original pixels."""
        return self.targets.truth(self.meta)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "Batch":
        """Move images and targets to ``device``."""
        return self._map(lambda t: t.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> "Batch":
        """Pin images and targets, for asynchronous copies to a GPU."""
        return self._map(Tensor.pin_memory)

    def without_pixels(self) -> "Batch":
        """The batch with images of no channel, in memory of its own: all but what takes room."""
        images = self.images.new_empty((len(self), 0, *self.canvas))
        return replace(self, images=images)._map(Tensor.clone)

    def _map(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        targets = map_tensors(self.targets, change)
        return replace(self, images=change(self.images), targets=targets)


def collate(samples: Sequence[Sample]) -> Batch:
    """Stack samples of one canvas size and one kind of target."""
    images = torch.from_numpy(np.stack([s.image for s in samples])).permute(0, 3, 1, 2)
    targets = _stack([s.target for s in samples])
    return Batch(images.contiguous(), targets, tuple(s.meta for s in samples))
