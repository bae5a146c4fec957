"""Any network of timm that gives feature maps."""

import logging
from pathlib import Path
from typing import Any

import timm
import torch
from huggingface_hub import constants, get_session, try_to_load_from_cache
from torch import Tensor

from visionkit.argtypes import Amount, nearest
from visionkit.backbones.base import Backbone, DropPath, FrozenStages, LayerDecay
from visionkit.backbones.same_padding import pad_by_rest
from visionkit.backbones.weights import load_weights
from visionkit.errors import CheckpointError, ConfigError
from visionkit.targets import first_line

log = logging.getLogger(__name__)

_HUB_FILES = ("model.safetensors", "pytorch_model.bin")


class TimmBackbone(Backbone):
    """A timm network built with ``features_only``.

    Maps that aren't exactly canvas / stride, such as those of ConvNeXt's patches for odd canvases,
    are brought to that size.

    Args:
        name: a name for ``timm.create_model``, such as ``tf_efficientnet_lite0``.
        weights: ``none``; ``default``: timm's own weights, downloaded; or a file.
        frozen_stages: the first so many feature maps, and all before them, don't train; ``all``
            for the whole backbone, which is then in evaluation mode.
        frozen_norm: normalisation layers keep their statistics and don't train.
        lr_multiplier: for the backbone's parameters.
        layer_decay: factor of the learning rate from each map to the one before it.
        drop_path: timm's ``drop_path_rate`` (stochastic depth, Huang et al. 2016), for networks
            that have it; null leaves the network's own.
        final: let the last map be what the network pools for its classes, such as the 1280
            channels of an EfficientNet's last convolution; detectors do without.
    """

    def __init__(
        self,
        name: str = "resnet50",
        weights: str = "none",
        frozen_stages: FrozenStages = 0,
        frozen_norm: bool = False,
        lr_multiplier: Amount = 1.0,
        layer_decay: LayerDecay = 1.0,
        drop_path: DropPath | None = None,
        final: bool = False,
    ) -> None:
        super().__init__(lr_multiplier, layer_decay)
        if not timm.is_model(name):
            raise ConfigError(
                f"backbone.name: timm has no network called {name!r}"
                f"{nearest(name, timm.list_models())}; timm.list_models() names them"
            )
        config: Any = timm.get_pretrained_cfg(name)
        self._config, self.final = config, final
        fixed = bool(getattr(config, "fixed_input_size", False))
        extra: dict[str, Any] = {"drop_path_rate": drop_path}
        extra |= {"num_classes": 0, "global_pool": ""} if final else {"features_only": True}
        self.net: Any = _build(name, weights == "default", extra, config, any_size=fixed)
        pad_by_rest(self.net)
        if final and not hasattr(self.net, "forward_intermediates"):
            raise ConfigError(
                f"backbone.final: timm's {name} can't give its maps and what it pools at once; set "
                "it false"
            )
        if config is not None:
            self.mean, self.std = tuple(config.mean), tuple(config.std)
        if weights not in ("none", "default"):
            load_weights(self, weights)
        info: Any = self.net.feature_info
        strides = [f["reduction"] for f in info] if final else info.reduction()
        self._names = tuple(f"stride{r}" for r in strides)
        self.finish(self._names, frozen_stages, frozen_norm)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """See :class:`Backbone`."""
        if self.final:
            return self._with_final(images)
        maps = self.net(self.padded(images))
        if str(getattr(self.net, "output_fmt", "")).endswith("NHWC"):
            maps = [m.permute(0, 3, 1, 2) for m in maps]
        named = dict(zip(self._names, maps, strict=True))
        return self.on_grid(named, images.shape[-2:])

    def _with_final(self, images: Tensor) -> dict[str, Tensor]:
        last, maps = self.net.forward_intermediates(self.padded(images))
        if last.shape[-2:] != maps[-1].shape[-2:]:
            raise ValueError("what it pools is no map of the last stride; set backbone.final=false")
        named = dict(zip(self._names, [*maps[:-1], last], strict=True))
        return self.on_grid(named, images.shape[-2:])

    def published(self) -> str:
        """See :class:`Backbone`."""
        if self._config is None or not (self._config.hf_hub_id or self._config.url):
            return "none"
        return "timm, downloaded" if _downloaded(self._config) else "timm"


def _build(name: str, pretrained: bool, extra: dict[str, Any], config: Any, any_size: bool) -> Any:
    if pretrained:
        log.info("fetching timm's weights of %s", name)
        # what it says of each of its many attempts
        logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
        try:
            if config is not None and config.hf_hub_id and not _downloaded(config):
                # one request: without a network, timm itself would try for most of a minute
                get_session().head(constants.ENDPOINT, timeout=10)
        except Exception as error:  # of whatever library the hub's client is built on
            raise _offline(name, error) from error
    drop_path = extra["drop_path_rate"]
    # a transformer's embedding of places is interpolated to the picture's grid
    sizes: dict[str, Any] = {"dynamic_img_size": True, "dynamic_img_pad": True} if any_size else {}
    try:
        return timm.create_model(name, pretrained=pretrained, **extra, **sizes)
    except TypeError as error:
        if any_size:
            return _build(name, pretrained, extra, config, any_size=False)
        if drop_path is None or "drop_path_rate" not in str(error):
            raise
        if drop_path == 0:
            return _build(name, pretrained, extra | {"drop_path_rate": None}, config, any_size)
        raise ConfigError(
            f"backbone.drop_path: timm's {name} has no stochastic depth; leave it null, or choose "
            "another network"
        ) from error
    except (RuntimeError, AttributeError) as error:
        if pretrained and not isinstance(error, AttributeError):
            raise _offline(name, error) from error
        raise ConfigError(
            f"backbone.name: timm's {name} gives no feature maps ({first_line(error)}); choose "
            "another"
        ) from error
    except OSError as error:
        raise _offline(name, error) from error


def _downloaded(config: Any) -> bool:
    if not config.hf_hub_id:
        file = Path(torch.hub.get_dir()) / "checkpoints" / str(config.url).rpartition("/")[2]
        return file.is_file()
    repository, _, revision = str(config.hf_hub_id).partition("@")
    names = [config.hf_hub_filename] if config.hf_hub_filename else _HUB_FILES
    return any(
        isinstance(try_to_load_from_cache(repository, name, revision=revision or None), str)
        for name in names
    )


def _offline(name: str, error: Exception) -> CheckpointError:
    return CheckpointError(
        f"backbone.weights: the weights of {name} can't be downloaded ({first_line(error)}); "
        "go online, or give a file by backbone.weights=FILE"
    )
