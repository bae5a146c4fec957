"""Any network of timm that gives feature maps."""

import logging
from typing import Any

import timm
from torch import Tensor

from visionkit.argtypes import Amount, Count
from visionkit.backbones.base import Backbone
from visionkit.backbones.weights import load_weights
from visionkit.errors import CheckpointError, ConfigError

log = logging.getLogger(__name__)


class TimmBackbone(Backbone):
    """A timm network built with ``features_only``.

    Args:
        name: a name for ``timm.create_model``, such as ``tf_efficientnet_lite0``.
        weights: ``none``; ``default``: timm's own weights, downloaded; or a file.
        frozen_stages: the first so many feature maps, and all before them, don't train.
        frozen_norm: normalisation layers keep their statistics and don't train.
        lr_multiplier: for the backbone's parameters.
    """

    def __init__(
        self,
        name: str = "resnet50",
        weights: str = "none",
        frozen_stages: Count = 0,
        frozen_norm: bool = False,
        lr_multiplier: Amount = 1.0,
    ) -> None:
        super().__init__(lr_multiplier)
        if not timm.is_model(name):
            raise ConfigError(
                f"backbone.name: timm has no network called {name!r}; timm.list_models() names them"
            )
        if weights == "default":
            log.info("fetching timm's weights of %s", name)
            # without a network it tries for most of a minute, and says so line by line
            logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
        try:
            net = timm.create_model(name, features_only=True, pretrained=weights == "default")
        except (RuntimeError, AttributeError, NotImplementedError) as error:
            if weights == "default" and not isinstance(error, AttributeError):
                raise _offline(name, error) from error
            raise ConfigError(
                f"backbone.name: timm's {name} gives no feature maps ({error}); choose another"
            ) from error
        except OSError as error:
            raise _offline(name, error) from error
        self.net: Any = net
        config = timm.get_pretrained_cfg(name)
        if config is not None:
            self.mean, self.std = tuple(config.mean), tuple(config.std)  # type: ignore[assignment]
        if weights not in ("none", "default"):
            load_weights(self, weights)
        info: Any = self.net.feature_info
        self._names = tuple(f"stride{r}" for r in info.reduction())
        self.finish(self._names, frozen_stages, frozen_norm)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """See :class:`Backbone`."""
        maps = self.net(images)
        if str(getattr(self.net, "output_fmt", "NCHW")) == "NHWC":
            maps = [m.permute(0, 3, 1, 2) for m in maps]
        return dict(zip(self._names, maps, strict=True))


def _offline(name: str, error: Exception) -> CheckpointError:
    return CheckpointError(
        f"backbone.weights: the weights of {name} can't be downloaded "
        f"({str(error).splitlines()[0]}); go online, or give a file by backbone.weights=FILE"
    )
