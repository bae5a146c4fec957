"""What tells pictures of the data from pictures of a generator."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from visionkit.backbones.base import Backbone
from visionkit.errors import ConfigError
from visionkit.heads.discriminator import DiscriminatorHead
from visionkit.models.normalise import Normalise
from visionkit.necks.base import Neck


class Critic(nn.Module):
    """A backbone, a neck and a head that says how real a picture is.

    Args:
        backbone: sees the pictures; a frozen one with weights gives Projected GAN's critic.
        neck: made from the backbone's maps.
        head: made from the neck's maps; of a pair of pictures that the backbone sees one by one,
            from twice as many channels.
        size: pictures are resized so that their shorter side has so many pixels; None to see them
            as they are.
    """

    def __init__(
        self, backbone: Backbone, neck: Neck, head: DiscriminatorHead, size: int | None = None
    ) -> None:
        super().__init__()
        self.normalise = Normalise(backbone.mean, backbone.std)
        self.backbone, self.neck, self.head = backbone, neck, head
        self.size = size

    def forward(self, images: Tensor, labels: Tensor | None = None) -> list[Tensor]:
        """Say how real pictures are.

        Args:
            images: [B, 3, H, W], -1..1; or [B, 6, H, W], a picture and what it is to be turned
                into.
            labels: [B, K], of the classes that the pictures are to show.

        Returns:
            float32 logits of each of the head's discriminators, [B] or [B, h, w]; the larger, the
            more real.
        """
        pictures = images.shape[1] // 3
        x = self._seen(images.reshape(-1, 3, *images.shape[2:]))
        if pictures == 1 or self.backbone.in_channels == images.shape[1]:
            maps = self.neck(self.backbone(x.reshape(len(images), -1, *x.shape[2:])))
        else:
            # a picture's map beside that of the picture that it belongs to
            maps = {
                name: m.reshape(len(images), -1, *m.shape[2:])
                for name, m in self.neck(self.backbone(x)).items()
            }
        return [logits.float() for logits in self.head(maps, labels)]

    def _seen(self, images: Tensor) -> Tensor:
        """What the backbone sees of [B, 3, H, W], -1..1."""
        if self.size is not None:
            height, width = images.shape[-2:]
            factor = self.size / min(height, width)
            sides = round(height * factor), round(width * factor)
            images = F.interpolate(images, sides, mode="bilinear", antialias=factor < 1)
        seen: Tensor = self.normalise((images + 1) * 127.5)
        return seen

    @property
    def batched(self) -> bool:
        """Whether what it says of a picture depends on the others of its batch."""
        return self.head.batched or any(
            m.training for m in self.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)
        )

    def compare(
        self, real: Tensor, fake: Tensor, labels: Tensor | None = None
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Judge real and made pictures: together where that changes nothing, which is quicker."""
        if self.batched:
            return self(real, labels), self(fake, labels)
        both = self(torch.cat([real, fake]), None if labels is None else torch.cat([labels] * 2))
        return [logits[: len(real)] for logits in both], [logits[len(real) :] for logits in both]


def logistic_losses(real: Sequence[Tensor], fake: Sequence[Tensor]) -> dict[str, Tensor]:
    """How wrong a critic is, whatever it was trained by: ``real`` and ``fake``, float32 scalars.

    ``real`` of the validation split grows when it knows the training pictures by heart.

    Args:
        real: its logits of real pictures, of each discriminator.
        fake: those of made ones.
    """
    return {
        "real": torch.stack([F.softplus(-logits).mean() for logits in real]).mean(),
        "fake": torch.stack([F.softplus(logits).mean() for logits in fake]).mean(),
    }


def seeing(critic: Critic, pictures: int = 1) -> Critic:
    """Refuse a critic whose backbone sees another number of pictures at once.

    Args:
        critic: as built.
        pictures: that are shown together; its backbone sees them so, or one by one.

    Raises:
        ConfigError: as it says.
    """
    channels = sorted({3, 3 * pictures})
    found = critic.backbone.in_channels
    if found not in channels:
        raise ConfigError(
            f"backbone.in_channels: {found}, this model shows its critic pictures of "
            f"{' or '.join(map(str, channels))}; give {channels[-1]}"
        )
    return critic
