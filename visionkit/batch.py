"""Samples stacked for the device."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from visionkit.results import Detections
from visionkit.sample import ImageMeta, Sample


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

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "BoxTargets":
        """Move every tensor to ``device``."""
        return BoxTargets(
            self.boxes.to(device, non_blocking=non_blocking),
            self.labels.to(device, non_blocking=non_blocking),
            self.image.to(device, non_blocking=non_blocking),
        )

    def pin_memory(self) -> "BoxTargets":
        """Pin every tensor."""
        return BoxTargets(
            self.boxes.pin_memory(), self.labels.pin_memory(), self.image.pin_memory()
        )


@dataclass(frozen=True)
class Batch:
    """B pictures on one canvas, with their targets.

    Attributes:
        images: [B, 3, H, W] uint8 RGB.
        targets: what the head's loss compares with.
        meta: of each picture.
    """

    images: Tensor
    targets: BoxTargets
    meta: tuple[ImageMeta, ...]

    def __len__(self) -> int:
        return len(self.images)

    @property
    def canvas(self) -> tuple[int, int]:
        """Height and width of the canvas."""
        return self.images.shape[-2], self.images.shape[-1]

    def truth(self) -> list[Detections]:
        """The targets of each picture as a result would state them, in original pixels."""
        return [
            Detections(
                boxes=meta.letterbox.to_image(self.targets.boxes[mine].cpu().numpy()),
                scores=np.ones(int(mine.sum()), np.float32),
                labels=self.targets.labels[mine].cpu().numpy(),
            )
            for meta, mine in ((m, self.targets.image == i) for i, m in enumerate(self.meta))
        ]

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "Batch":
        """Move images and targets to ``device``."""
        return replace(
            self,
            images=self.images.to(device, non_blocking=non_blocking),
            targets=self.targets.to(device, non_blocking=non_blocking),
        )

    def pin_memory(self) -> "Batch":
        """Pin images and targets, for asynchronous copies to a GPU."""
        return replace(self, images=self.images.pin_memory(), targets=self.targets.pin_memory())


def collate(samples: Sequence[Sample]) -> Batch:
    """Stack samples of one canvas size."""
    images = torch.from_numpy(np.stack([s.image for s in samples])).permute(0, 3, 1, 2)
    counts = torch.tensor([len(s.target.labels) for s in samples])
    return Batch(
        images=images.contiguous(),
        targets=BoxTargets(
            boxes=torch.from_numpy(np.concatenate([s.target.boxes for s in samples])),
            labels=torch.from_numpy(np.concatenate([s.target.labels for s in samples])),
            image=torch.repeat_interleave(torch.arange(len(samples)), counts),
        ),
        meta=tuple(s.meta for s in samples),
    )
