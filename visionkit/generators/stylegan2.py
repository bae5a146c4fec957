"""The generator of StyleGAN2."""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from visionkit.argtypes import Part, Positive
from visionkit.backbones.equalised import equalised, leaky
from visionkit.generators.base import Generator, start_of
from visionkit.generators.layers import ModulatedConv

CENTRE_RATE = 0.005
"""What the styles of a batch count for in the running mean of styles."""
MAPPING_PACE = 0.01
"""The mapping's learning rate over that of the other layers."""


class StyleGenerator(Generator):
    """Styles that scale the weights of convolutions, layer by layer (Karras et al. 2019, 2020).

    The noise becomes a style by fully connected layers; a learned small map is doubled until it
    has the size of the pictures, and each size adds to the picture. Pictures aren't bounded by a
    tanh: what lies outside of -1..1 is for the critic to correct, and is cut off when it is shown.

    In training there is fresh noise in each layer, and some pictures have the style of another one
    from some layer on; in evaluation the noise is always the same, so that a picture depends on its
    ``z`` and its class alone.

    Args:
        canvas: height and width of the pictures.
        channels: of the pictures.
        num_classes: K, or 0; an embedding of the class stands beside the noise.
        latent: how many numbers the noise has.
        style: how many numbers a style has.
        mapping_layers: from noise to style: 8 in the paper, 2 for small sets (Karras et al.
            2020 b).
        width: channels of the last map; each one before it has twice as many, up to ``widest``
            times.
        widest: see ``width``.
        mixing: how often two styles are mixed in training.

    Attributes:
        layers: L, how many styles a picture takes.
        centres: running mean of the styles of each class, [max(1, K), D]; with a truncation below
            1 a style is brought so much closer to the one of its class.
    """

    centres: Tensor

    def __init__(
        self,
        canvas: tuple[int, int],
        channels: int = 3,
        num_classes: int = 0,
        latent: Positive = 128,
        style: Positive = 128,
        mapping_layers: Positive = 2,
        width: Positive = 32,
        widest: Positive = 4,
        mixing: Part = 0.9,
    ) -> None:
        super().__init__(canvas, channels, num_classes)
        self.latent, self.mixing = latent, mixing
        start, doublings = start_of(canvas, "generator=stylegan2")
        self.layers = 2 + 2 * doublings
        widths = [width * min(widest, 2**i) for i in reversed(range(doublings + 1))]
        self.mapping = Mapping(latent, style, mapping_layers, num_classes)
        self.register_buffer("centres", torch.zeros(max(1, num_classes), style))
        self.constant = nn.Parameter(torch.randn(1, widths[0], *start))
        self.first = StyledLayer(widths[0], widths[0], style, start)
        self.first_picture = ToPicture(widths[0], channels, style)
        self.steps = nn.ModuleList(
            Step(before, after, channels, style, (start[0] << i, start[1] << i))
            for i, (before, after) in enumerate(pairwise(widths), 1)
        )

    def forward(self, z: Tensor, labels: Tensor | None = None, truncation: float = 1.0) -> Tensor:
        """See :class:`Generator`; values may lie outside of -1..1."""
        styles = self.styles(z, labels)
        if truncation < 1:
            with torch.autocast(z.device.type, enabled=False):
                centres = self._members(z, labels) @ self.centres
                styles = torch.lerp(centres[:, None].expand_as(styles), styles, truncation)
        return self.synthesise(styles)

    def styles(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Map noise [B, latent] and classes [B, K] to a style for each layer, [B, L, D]."""
        style: Tensor = self.mapping(z, labels)
        styles = style[:, None].expand(-1, self.layers, -1)
        if not self.training:
            return styles
        self._remember(style.detach(), self._members(z, labels))
        if not self.mixing:
            return styles
        other: Tensor = self.mapping(torch.randn_like(z), labels)
        cut = torch.randint(1, self.layers, (len(z), 1), device=z.device)
        mixed = torch.rand(len(z), 1, device=z.device) < self.mixing
        late = torch.arange(self.layers, device=z.device) >= cut
        return torch.where((mixed & late)[..., None], other[:, None], styles)

    def synthesise(self, styles: Tensor) -> Tensor:
        """Map styles [B, L, D] to pictures [B, channels, H, W]."""
        x: Tensor = self.first(self.constant.expand(styles.shape[0], -1, -1, -1), styles[:, 0])
        picture: Tensor = self.first_picture(x, styles[:, 1])
        for i, step in enumerate(self.steps, 1):
            x, picture = step(x, picture, styles[:, 2 * i - 1 : 2 * i + 2])
        return picture

    def _members(self, z: Tensor, labels: Tensor | None) -> Tensor:
        """Which class each picture is of, [B, K]; one for all where there are none."""
        if not self.num_classes:
            return z.new_ones(z.shape[0], 1)
        assert labels is not None
        return labels.to(z.dtype)

    @torch.no_grad()
    def _remember(self, style: Tensor, members: Tensor) -> None:
        """Bring the mean style of each class that a batch has closer to the batch's."""
        with torch.autocast(style.device.type, enabled=False):
            counts = members.sum(0)[:, None]
            means = members.T @ style / counts.clamp(min=1)
            self.centres.lerp_(means, CENTRE_RATE * (counts > 0).to(means.dtype))


class Mapping(nn.Module):
    """From noise, and the class, to a style (Karras et al. 2019).

    Args:
        latent: how many numbers the noise has.
        style: how many a style has.
        layers: fully connected ones.
        num_classes: K, or 0.
    """

    def __init__(self, latent: int, style: int, layers: int, num_classes: int) -> None:
        super().__init__()
        self.classes: nn.Linear | None = None
        if num_classes:
            self.classes = equalised(nn.Linear(num_classes, latent, bias=False))
        inputs = [latent * (2 if num_classes else 1)] + [style] * (layers - 1)
        self.layers = nn.ModuleList(
            equalised(nn.Linear(before, style), pace=MAPPING_PACE) for before in inputs
        )

    def forward(self, z: Tensor, labels: Tensor | None) -> Tensor:
        """Map [B, latent] and [B, K] to [B, D], in the precision of ``z``."""
        with torch.autocast(z.device.type, enabled=False):
            x = _normalised(z)
            if self.classes is not None:
                assert labels is not None
                x = torch.cat([x, _normalised(self.classes(labels.to(z.dtype)))], 1)
            for layer in self.layers:
                x = leaky(layer(x))
        return x


def _normalised(x: Tensor) -> Tensor:
    """Divide each row by the root of its mean square."""
    return x * (x.square().mean(1, keepdim=True) + 1e-8).rsqrt()


class StyledLayer(nn.Module):
    """A modulated convolution, noise, a bias and an activation.

    Args:
        inputs: channels in.
        outputs: channels out.
        style: how many numbers a style has.
        size: height and width of the result.
        doubles: whether the map is doubled.
    """

    noise: Tensor

    def __init__(
        self, inputs: int, outputs: int, style: int, size: tuple[int, int], doubles: bool = False
    ) -> None:
        super().__init__()
        self.conv = ModulatedConv(inputs, outputs, 3, style, doubles)
        self.strength = nn.Parameter(torch.zeros(()))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.register_buffer("noise", torch.randn(1, 1, *size))

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """Map [B, inputs, h, w] and styles [B, D] to [B, outputs, H, W]."""
        x = self.conv(x, style)
        noise = torch.randn_like(x[:, :1]) if self.training else self.noise
        x = x + (noise * self.strength).to(x.dtype) + self.bias.to(x.dtype)[:, None, None]
        return leaky(x)


class ToPicture(nn.Module):
    """What a map adds to the picture.

    Args:
        inputs: channels of the map.
        channels: of the picture.
        style: how many numbers a style has.
    """

    def __init__(self, inputs: int, channels: int, style: int) -> None:
        super().__init__()
        self.conv = ModulatedConv(inputs, channels, 1, style, demodulates=False)
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """Map [B, inputs, H, W] and styles [B, D] to [B, channels, H, W], in their precision."""
        with torch.autocast(x.device.type, enabled=False):
            picture: Tensor = self.conv(x.to(style.dtype), style)
            return picture + self.bias[:, None, None]


class Step(nn.Module):
    """Doubles a map and the picture so far.

    Args:
        inputs: channels of the map.
        outputs: channels of the doubled one.
        channels: of the picture.
        style: how many numbers a style has.
        size: height and width of the result.
    """

    def __init__(
        self, inputs: int, outputs: int, channels: int, style: int, size: tuple[int, int]
    ) -> None:
        super().__init__()
        self.doubling = StyledLayer(inputs, outputs, style, size, doubles=True)
        self.layer = StyledLayer(outputs, outputs, style, size)
        self.picture = ToPicture(outputs, channels, style)

    def forward(self, x: Tensor, picture: Tensor, styles: Tensor) -> tuple[Tensor, Tensor]:
        """Map [B, inputs, h, w] and [B, channels, h, w], with styles [B, 3, D], to twice the sides.

        The picture's doubling is bilinear, which is the filter [1, 3, 3, 1] of the maps.
        """
        x = self.doubling(x, styles[:, 0])
        x = self.layer(x, styles[:, 1])
        larger = F.interpolate(picture, scale_factor=2.0, mode="bilinear", align_corners=False)
        return x, larger + self.picture(x, styles[:, 2])
