"""From pictures to the features that figures of generated pictures are worked out from."""

import contextlib
import hashlib
import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from visionkit.argtypes import Count, Positive
from visionkit.backbones.base import Backbone
from visionkit.build import call, expect
from visionkit.errors import CheckpointError, ConfigError
from visionkit.metrics.random_features import RandomFeatures
from visionkit.models.normalise import Normalise
from visionkit.targets import first_line

_PATH = "evaluator.extractor.backbone"


class Extractor:
    """A fixed network that maps pictures to features [N, D].

    Of a backbone, the features are the average of its coarsest map, as those of Inception are for
    the FID of Heusel et al. 2017. It runs in evaluation mode and float32, in batches of one size:
    a picture's features don't depend on which others come with it.

    Args:
        backbone: makes it (a node with ``_partial_: true``), with ``weights`` of its own; None for
            :class:`visionkit.metrics.random_features.RandomFeatures`, which needs no file.
        checkpoint: of visionkit, whose backbone is taken in its place.
        size: pictures are resized so that their shorter side has so many pixels; None to see them
            as they are.
        batch_size: pictures that are looked at together.
        seed: of what is random in a network without weights; the run's own seed has no part in it.
        device: where it computes, as ``cpu`` or ``cuda:1``; a GPU if there is one, unless given.

    Attributes:
        name: of the network, in small letters; it begins with ``random`` where it has no weights.
        weights: where they come from, in words.
        sha256: of the weight file, or of the tensors of weights that are none; None where they are
            random, which the seed tells.

    Raises:
        ConfigError: the arguments contradict one another, or the checkpoint has no such network.
        CheckpointError: a weight file or checkpoint can't be used.
    """

    def __init__(
        self,
        backbone: Callable[[], Backbone] | Backbone | None = None,
        checkpoint: str | None = None,
        size: Positive | None = None,
        batch_size: Positive = 64,
        seed: Count = 0,
        device: str | None = None,
    ) -> None:
        if backbone is not None and checkpoint is not None:
            raise ConfigError(
                "evaluator.extractor: it has a backbone and a checkpoint; leave one of them null"
            )
        self.size, self.batch_size = size, batch_size
        network: Backbone | None = None
        file: str | None = None
        if checkpoint is not None:
            network, file = _backbone_of(checkpoint), checkpoint
            self.name, self.weights = _name(network), Path(checkpoint).name
        elif isinstance(backbone, Backbone):
            network, self.name, self.weights = backbone, _name(backbone), "as given"
        elif backbone is not None:
            with torch.random.fork_rng(devices=[]):
                torch.default_generator.manual_seed(seed)
                network = expect(call(backbone, _PATH), Backbone, _PATH)
            said = _argument(backbone, "weights") or "none"
            self.name = _name(network, _argument(backbone, "name"))
            self.weights = {"default": "published"}.get(said, Path(said).name)
            if said == "none":
                self.name, self.weights = f"random_{self.name}", f"random, seed {seed}"
            elif said != "default":
                file = said
        else:
            self.name, self.weights = "random", f"random, seed {seed}"
        self._network: nn.Module
        if network is None:
            self._network = RandomFeatures(seed)
        else:
            self._network = _Pooled(network)
        self._network.eval().requires_grad_(False)
        self.sha256: str | None = None
        if file is not None:
            self.sha256 = _file_hash(file)
        elif not self.weights.startswith("random"):
            self.sha256 = _tensor_hash(self._network)
        self._wanted, self._device = _device(device), torch.device("cpu")

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the features [N, D] of pictures [N, H, W, 3] uint8 RGB.

        Raises:
            ConfigError: the network can't see pictures as small as these.
        """
        wanted = self._wanted
        if wanted is None and torch.cuda.is_available():  # the one that this rank has by now
            wanted = torch.device("cuda", torch.cuda.current_device())
        if wanted is not None and wanted != self._device:
            self._device = self._wanted = wanted
            self._network.to(wanted)
        found = [
            self._features(images[start : start + self.batch_size])
            for start in range(0, max(1, len(images)), self.batch_size)
        ]
        return np.concatenate(found)[: len(images)]

    def _features(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Those of one batch; it is filled up, as another size could change the last digits."""
        whole = np.zeros((self.batch_size, *images.shape[1:]), np.uint8)
        whole[: len(images)] = images
        try:
            with torch.no_grad(), _exactly(self._device):
                x = torch.from_numpy(whole).to(self._device).permute(0, 3, 1, 2).float()
                features: Tensor = self._network(self._resized(x) / 127.5 - 1)
        except (RuntimeError, ValueError) as error:
            if self.size is not None or isinstance(error, torch.OutOfMemoryError):
                raise
            height, width = images.shape[1:3]
            raise ConfigError(
                f"evaluator.extractor.size: {self.name} can't see pictures of {height} x {width} "
                f"({first_line(error)}); give a larger size"
            ) from error
        return features.float().cpu().numpy()[: len(images)]

    def _resized(self, images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        if self.size is None or min(height, width) == self.size:
            return images
        factor = self.size / min(height, width)
        sides = round(height * factor), round(width * factor)
        return F.interpolate(images, sides, mode="bilinear", antialias=factor < 1)

    def describe(self) -> dict[str, object]:
        """Return what figures must be compared by: name, weights, sha256 and size."""
        return {
            "extractor": self.name,
            "weights": self.weights,
            "sha256": self.sha256,
            "size": self.size,
        }


class _Pooled(nn.Module):
    """The average of a backbone's coarsest map, [B, 3, H, W] in -1..1 to [B, D]."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone
        self.normalise = Normalise(backbone.mean, backbone.std)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.backbone(self.normalise((images + 1) * 127.5))
        return torch.as_tensor(maps[self.backbone.features[-1].name].float().mean((2, 3)))


@contextlib.contextmanager
def _exactly(device: torch.device) -> Iterator[None]:
    """Compute in float32 without shortcuts, whatever training around it does."""
    precision = torch.get_float32_matmul_precision()
    convolutions = torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    try:
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        torch.set_float32_matmul_precision(precision)
        torch.backends.cudnn.allow_tf32 = convolutions


def _device(name: str | None) -> torch.device | None:
    """Where a person wants it to compute."""
    if name is None:
        return None
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(
            f"evaluator.extractor.device: {name!r} can't be used ({first_line(error)}); leave it "
            "null, or choose cpu or cuda"
        ) from error
    return device


def _backbone_of(path: str) -> Backbone:
    """The network that a checkpoint's model sees pictures with."""
    from visionkit.checkpoint import load_model  # which itself builds from all that there is

    found = getattr(load_model(path).model, "backbone", None)
    if not isinstance(found, Backbone):
        raise ConfigError(
            f"evaluator.extractor.checkpoint: the model of {path} has no backbone of its own; give "
            "one of classification, detection or segmentation"
        )
    return found


def _argument(factory: Callable[..., Any], name: str) -> str | None:
    """What a factory is going to be called with."""
    try:
        parameter = inspect.signature(factory).parameters.get(name)
    except (TypeError, ValueError):
        return None
    return parameter.default if parameter and isinstance(parameter.default, str) else None


def _name(backbone: Backbone, given: str | None = None) -> str:
    """A name that figures can have: small letters, digits and underscores."""
    own = given or getattr(backbone, "name", None)
    if not isinstance(own, str):
        own = type(backbone).__name__
    return re.sub(r"\W+", "_", own.lower()).strip("_")


def _file_hash(path: str) -> str:
    try:
        with Path(path).open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise CheckpointError(
            f"{path}: can't be read ({error.strerror}); check {_PATH}.weights"
        ) from error


def _tensor_hash(network: nn.Module) -> str:
    digest = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        digest.update(f"{name} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
