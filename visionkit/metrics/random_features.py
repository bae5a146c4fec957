"""Features of pictures that nobody learned, for figures that need no download."""

from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

_EDGES = (32, 16, 16, 16)
_MIXED = (0, 32, 64, 80)
_GRID = 4
_EXAMPLES, _SIDE, _LEAVES = 64, 48, 30


class RandomFeatures(nn.Module):
    """A network of fixed random filters at four scales.

    Each stage has filters that look at the picture, reduced to its scale (they see edges, not
    brightness: their weights sum to 0), and filters that mix what the stage before it found. Of
    every filter the absolute response counts, as in scattering networks (Bruna & Mallat 2013). The
    features are mean and deviation of each response over the picture, which tell how much of which
    texture there is, and a reduced picture of 4 x 4, which tells where light and colour are.

    Responses and features are scaled by what they are on 64 pictures of overlapping discs, whose
    statistics are like those of photographs (Lee et al. 2001). The features of each picture are
    then brought to a mean square of 1, or a few with strong edges would outweigh all others in the
    cubes of :func:`visionkit.metrics.kid.kid`: x . y / D is the cosine of two pictures.

    Args:
        seed: of the filters; figures of different seeds can't be compared.

    Attributes:
        dimensions: D.
    """

    dimensions: int = 2 * (sum(_EDGES) + sum(_MIXED)) + 3 * _GRID**2

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        rng = np.random.default_rng((seed, 1))
        before = 0
        for stage, (edges, mixed) in enumerate(zip(_EDGES, _MIXED, strict=True)):
            kernels = rng.standard_normal((edges, 3, 3, 3))
            kernels -= kernels.mean((2, 3), keepdims=True)
            self.register_buffer(f"edges{stage}", _unit(kernels))
            self.register_buffer(
                f"mixed{stage}", _unit(rng.standard_normal((mixed, max(1, before), 3, 3)))
            )
            before = edges + mixed
            self.register_buffer(f"mean{stage}", torch.zeros(before, 1, 1))
            self.register_buffer(f"std{stage}", torch.ones(before, 1, 1))
        self.register_buffer("mean", torch.zeros(self.dimensions))
        self.register_buffer("std", torch.ones(self.dimensions))
        self._calibrate(torch.from_numpy(_discs(np.random.default_rng((seed, 2)))))
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        """Map pictures [B, 3, H, W], -1..1, to features [B, D]."""
        scaled = (self._raw(images) - self._get("mean")) / self._get("std")
        return scaled / scaled.square().mean(1, keepdim=True).sqrt().clamp(min=1e-6)

    def _get(self, name: str) -> Tensor:
        return cast(Tensor, getattr(self, name))

    def _raw(self, images: Tensor, calibrating: bool = False) -> Tensor:
        """Features before they are scaled."""
        found = [F.adaptive_avg_pool2d(images, _GRID).flatten(1)]
        maps = None
        for stage in range(len(_EDGES)):
            edges = _convolved(images, self._get(f"edges{stage}"))
            if maps is not None:
                mixed = _convolved(maps, self._get(f"mixed{stage}"))
                edges = torch.cat([edges, mixed], 1)
            if calibrating:
                self._get(f"mean{stage}").copy_(edges.mean((0, 2, 3))[:, None, None])
                self._get(f"std{stage}").copy_(edges.std((0, 2, 3))[:, None, None])
            maps = ((edges - self._get(f"mean{stage}")) / self._get(f"std{stage}")).abs()
            spread, mean = torch.var_mean(maps, (2, 3), correction=0)
            found += [mean, spread.sqrt()]
            images, maps = _halved(images), _halved(maps)
        return torch.cat(found, 1)

    @torch.no_grad()
    def _calibrate(self, images: Tensor) -> None:
        features = self._raw(images, calibrating=True)
        self._get("mean").copy_(features.mean(0))
        self._get("std").copy_(features.std(0))


def _unit(kernels: NDArray[np.float64]) -> Tensor:
    norm = np.sqrt(np.square(kernels).sum((1, 2, 3), keepdims=True))
    return torch.from_numpy((kernels / norm).astype(np.float32))


def _convolved(x: Tensor, kernels: Tensor) -> Tensor:
    """The border is repeated: one of zeros would be an edge of its own."""
    return F.conv2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), kernels)


def _halved(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 2, ceil_mode=True, count_include_pad=False)


def _discs(rng: np.random.Generator) -> NDArray[np.float32]:
    """Pictures [N, 3, S, S] of discs one above the other, small ones more often than large ones."""
    images = np.zeros((_EXAMPLES, 3, _SIDE, _SIDE), np.float32)
    rows, columns = np.mgrid[:_SIDE, :_SIDE]
    for image in images:
        middle, contrast = rng.uniform(-0.7, 0.7), rng.uniform(0.1, 1.0)
        colour = rng.uniform(0, 1)
        image += middle
        for _ in range(_LEAVES):
            radius = 2 / np.sqrt(rng.uniform(0.004, 1))
            y, x = rng.uniform(0, _SIDE, 2)
            inside = (rows - y) ** 2 + (columns - x) ** 2 < radius**2
            grey, tint = rng.standard_normal(), rng.standard_normal(3)
            image[:, inside] = (middle + contrast * (grey + colour * tint))[:, None]
    return images.clip(-1, 1)
