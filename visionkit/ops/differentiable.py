"""Changes to pictures that gradients pass through, for critics that see few pictures.

A critic that only ever sees changed pictures, real and made alike, can't learn the real ones by
heart; the generator doesn't learn the changes, as long as they can be told apart on average (Zhao
et al. 2020, Karras et al. 2020b). What is drawn comes from torch's generator of the device that the
pictures are on.
"""

import math
from collections.abc import Callable, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from visionkit.argtypes import Part, Positive

Policy = Literal["colour", "translation", "cutout"]


def augmented(images: Tensor, policy: Sequence[Policy]) -> Tensor:
    """Change every picture in its own way (DiffAugment, Zhao et al. 2020).

    Args:
        images: [B, C, H, W], -1..1.
        policy: what is done, in that order: ``colour`` (brightness by up to half the range to
            either side of 0, saturation times 0..2, contrast times 0.5..1.5), ``translation`` (by
            up to an eighth of each side; what comes in is mid-grey), ``cutout`` (a mid-grey
            rectangle of half of each side, its centre anywhere).

    Returns:
        The same shape; values may leave -1..1.
    """
    for name in policy:
        images = _CHANGES[name](images)
    return images


def _colour(images: Tensor) -> Tensor:
    drawn = torch.rand(3, len(images), 1, 1, 1, device=images.device)
    brightness, saturation, contrast = drawn.unbind()
    images = images + (brightness - 0.5)
    grey = images.mean(1, keepdim=True)
    images = grey + (images - grey) * (2 * saturation)
    mean = images.mean((1, 2, 3), keepdim=True)
    return mean + (images - mean) * (0.5 + contrast)


def _translation(images: Tensor) -> Tensor:
    down, right = (_whole(images, side // 8) for side in images.shape[-2:])
    return _moved(images, down, right, mirrored=False)


def _cutout(images: Tensor) -> Tensor:
    rows, columns = (_span(images, side) for side in images.shape[-2:])
    kept: Tensor = images * ~(rows[:, None, :, None] & columns[:, None, None, :])
    return kept


def _span(images: Tensor, side: int) -> Tensor:
    """Which of the places along a side lie in half of it, [B, side]; it may reach beyond."""
    length = (side + 1) // 2
    centre = torch.randint(side + 1 - length % 2, (len(images), 1), device=images.device)
    after = torch.arange(side, device=images.device) - centre + length // 2
    return (after >= 0) & (after < length)


_CHANGES: dict[Policy, Callable[[Tensor], Tensor]] = {
    "colour": _colour,
    "translation": _translation,
    "cutout": _cutout,
}


def _whole(images: Tensor, most: int) -> Tensor:
    """A whole number for each picture, -most..most, [B]."""
    return torch.randint(-most, most + 1, (len(images),), device=images.device)


def _moved(images: Tensor, down: Tensor, right: Tensor, mirrored: bool) -> Tensor:
    """Move pictures by whole pixels [B]; what comes in is 0, or the mirrored border."""
    for dim, shift in ((2, down), (3, right)):
        side = images.shape[dim]
        places = torch.arange(side, device=images.device) - shift[:, None]
        shape = [len(images), 1, 1, 1]
        shape[dim] = side
        inside = (places >= 0) & (places < side)
        last = side - 1
        places = last - (last - places.abs()).abs() if mirrored else places.clamp(0, last)
        images = images.gather(dim, places.view(shape).expand_as(images))
        if not mirrored:
            images = images * inside.view(shape)
    return images


class AdaptiveAugment(nn.Module):
    """A chain of changes, as frequent as the critic needs (ADA, Karras et al. 2020b).

    Mirroring, quarter turns and moves by whole pixels; scaling, turning and moving by any amount;
    brightness, contrast, inverted luma, hue and saturation: each of them with probability ``p``,
    for every picture anew, drawn from the paper's distributions. Its filters, noise and cutout,
    without which it trained best, aren't among them.

    Args:
        target: what the mean sign of the critic's logits of real pictures is to be; above it, ``p``
            grows.
        images: so many pictures let ``p`` go from 0 to 1.

    Attributes:
        p: [], 0..1, a buffer.
    """

    def __init__(self, target: Part = 0.6, images: Positive = 500_000) -> None:
        super().__init__()
        self.target, self.images = target, images
        self.register_buffer("p", torch.zeros(()))
        self.p: Tensor

    @torch.no_grad()
    def adapt(self, sureness: Tensor, count: int) -> None:
        """Make changes a little more frequent, or less.

        Args:
            sureness: mean sign of the logits of real pictures, [], -1..1, the same on every rank.
            count: pictures since the last call, of all ranks.
        """
        step = torch.sign(sureness.to(self.p) - self.target) * (count / self.images)
        self.p.add_(step).clamp_(0, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Change pictures [B, 3, H, W], -1..1; values may leave that range."""
        # small matrices decide where every pixel goes: they need more than bfloat16's digits
        with torch.autocast(images.device.type, enabled=False):
            images = self._blitted(images.float())
            return self._recoloured(self._warped(images))

    def _chosen(self, images: Tensor, p: Tensor | None = None) -> Tensor:
        """Which pictures are changed, [B]: each with probability ``p``."""
        return torch.rand(len(images), device=images.device) < (self.p if p is None else p)

    def _blitted(self, images: Tensor) -> Tensor:
        """Changes that move whole pixels."""
        height, width = images.shape[-2:]
        mirrored = self._chosen(images) & _half(images)
        images = _where(mirrored, images.flip(3), images)
        turns = torch.randint(4, (len(images),), device=images.device) * self._chosen(images)
        for bit in (1, 2):
            # a quarter turn would change the size of pictures that aren't square
            if bit == 2 or height == width:
                images = _where(turns & bit > 0, images.rot90(bit, (2, 3)), images)
        moved = self._chosen(images)
        down, right = (_whole(images, side // 8) * moved for side in (height, width))
        return _moved(images, down, right, mirrored=True)

    def _warped(self, images: Tensor) -> Tensor:
        """Scale, turn, scale along an axis, turn again and move, at once."""
        count, (height, width) = len(images), images.shape[-2:]
        # one of two turns happens as often as each of the other changes
        either = 1 - (1 - self.p).sqrt()
        chosen = [self._chosen(images, p) for p in (self.p, self.p, self.p, either, either)]
        same, across = (self._scale(images, c) for c in chosen[:2])
        shift = 0.125 * torch.randn(count, 2, device=images.device) * chosen[2][:, None]
        before, after = (self._turn(images, c) for c in chosen[3:])
        axes = torch.stack([same * across, same / across], 1)
        linear = after @ (axes[:, :, None] * before)
        # from square pixels to -1..1 along both sides
        sides = torch.tensor([width, height], device=images.device, dtype=linear.dtype)
        linear = linear * sides / sides[:, None]
        where = torch.cat([linear, 2 * shift[:, :, None]], 2)
        # twice as fine and averaged, so that smaller pictures aren't jagged
        grid = F.affine_grid(where, [count, 3, 2 * height, 2 * width], align_corners=False)
        warped = F.grid_sample(images, grid, "bilinear", "reflection", align_corners=False)
        return _where(torch.stack(chosen).any(0), F.avg_pool2d(warped, 2), images)

    def _scale(self, images: Tensor, chosen: Tensor, octaves: float = 0.2) -> Tensor:
        """Factors with a normally distributed logarithm, [B], 1 where nothing is chosen."""
        return torch.exp2(octaves * torch.randn(len(images), device=images.device) * chosen)

    def _angle(self, images: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """Cosine and sine of any angle, [B] each, of 0 where nothing is chosen."""
        angle = (2 * torch.rand(len(images), device=images.device) - 1) * math.pi * chosen
        return angle.cos(), angle.sin()

    def _turn(self, images: Tensor, chosen: Tensor) -> Tensor:
        cos, sin = self._angle(images, chosen)
        return torch.stack([cos, -sin, sin, cos], 1).view(-1, 2, 2)

    def _recoloured(self, images: Tensor) -> Tensor:
        """Brightness, then a matrix of what else is done to colours."""
        count = len(images)
        brightness = 0.2 * torch.randn(count, device=images.device) * self._chosen(images)
        contrast = self._scale(images, self._chosen(images), 0.5)
        inverted = (self._chosen(images) & _half(images)).float()
        cos, sin = self._angle(images, self._chosen(images))
        saturation = self._scale(images, self._chosen(images), 1.0)
        # a colour has a part along the grey axis, and one across it that is turned and stretched
        along = images.new_full((3, 3), 1 / 3)
        across = torch.eye(3, device=images.device) - along
        cross = images.new_tensor([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / math.sqrt(3)

        def each(values: Tensor) -> Tensor:
            return values[:, None, None]

        matrix = each(1 - 2 * inverted) * along
        matrix = matrix + each(saturation) * (each(cos) * across + each(sin) * cross)
        matrix = each(contrast) * matrix
        pixels = images.flatten(2) + each(brightness)
        return (matrix @ pixels).view_as(images)


def _half(images: Tensor) -> Tensor:
    """One of two pictures on average, [B]."""
    return torch.rand(len(images), device=images.device) < 0.5


def _where(chosen: Tensor, changed: Tensor, images: Tensor) -> Tensor:
    return torch.where(chosen[:, None, None, None], changed, images)
