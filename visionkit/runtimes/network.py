"""A checkpoint's network as a runtime."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from visionkit.about import JOINT
from visionkit.batch import Batch, BoxTargets
from visionkit.geometry import Image
from visionkit.models.gan import to_pictures
from visionkit.options import PredictOptions, options_from
from visionkit.runtimes.base import Float, Part, Runtime
from visionkit.runtimes.torch_math import device_of, full_precision
from visionkit.sample import Boxes, ImageMeta


class NetworkRuntime(Runtime):
    """The network itself, in float32 without TensorFloat shortcuts.

    Args:
        loaded: a checkpoint's ``model``, ``classes``, ``canvas``, ``task`` and ``predict``, and of
            a joint network ``parts``, see :class:`visionkit.checkpoint.Loaded`.
        device: where the model computes; a GPU if there is one, unless given.

    Raises:
        ConfigError: there is no such device.
    """

    def __init__(self, loaded: Any, device: torch.device | str | None = None) -> None:
        self.device = device_of(device)
        self.model = loaded.model.to(self.device).eval()
        self.task, self.says = loaded.task, self.model.says
        self.classes, self.canvas = tuple(loaded.classes), loaded.canvas
        self.options = options_from(loaded.predict)
        if self.says == JOINT:
            self.parts = {
                name: Part(self.model.part(name).says, tuple(classes))
                for name, classes in loaded.parts.items()
            }
        if self.samples:
            self.conditional = self.model.conditional
            self.latent = self.model.generator.latent

    def check_options(self, options: PredictOptions) -> None:
        """See :class:`Runtime`."""
        self.model.check_options(options)

    def predict(
        self, images: NDArray[np.uint8], meta: Sequence[ImageMeta], options: PredictOptions
    ) -> list[Any]:
        """See :class:`Runtime`."""
        targets = BoxTargets.stack([Boxes()] * len(meta))
        batch = Batch(torch.from_numpy(images), targets, tuple(meta)).to(self.device)
        before = self.model.options
        self.model.options = options
        try:
            with torch.inference_mode(), full_precision():
                results: list[Any] = self.model.predict(batch)
        finally:
            self.model.options = before
        return results

    def make(self, z: Float, labels: Float | None, truncation: float) -> list[Image]:
        """See :class:`Runtime`."""
        wanted = None if labels is None else torch.from_numpy(labels).to(self.device)
        with torch.inference_mode(), full_precision():
            noise = torch.from_numpy(z).to(self.device)
            return to_pictures(self.model.generate(noise, wanted, truncation))
