"""What every runtime promises to prediction. NumPy only."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from visionkit.geometry import Image
from visionkit.naming import named
from visionkit.options import PredictOptions
from visionkit.sample import ImageMeta

Float = NDArray[np.float32]


class Part(NamedTuple):
    """One head of a joint network, as those see it who use its answers.

    Attributes:
        says: see :class:`Runtime`.
        classes: names by label.
    """

    says: str
    classes: tuple[str, ...]


class Runtime(ABC):
    """A trained model that can be asked, wherever it computes.

    Attributes:
        task: such as ``detection``.
        says: what it answers with: ``boxes``, ``classes``, ``masks``, ``pictures`` that were made
            of others, ``noise``, where pictures are made from noise, or ``joint``, where several
            heads answer.
        classes: names by label; those of all parts of ``joint``.
        parts: of ``joint``, by name.
        canvas: height and width that it was trained on.
        options: what holds unless somebody says otherwise.
        conditional: whether it makes pictures of the class that is asked for.
        latent: how many numbers the noise of a picture has; 0 where there is none.
    """

    task: str
    says: str
    classes: tuple[str, ...]
    canvas: tuple[int, int]
    options: PredictOptions
    parts: Mapping[str, Part] = MappingProxyType({})
    conditional: bool = False
    latent: int = 0

    def named(self, result: Any) -> Any:
        """Return a result of :meth:`predict` with the names of its classes."""
        return named(result, self.classes, {name: p.classes for name, p in self.parts.items()})

    @property
    def samples(self) -> bool:
        """Whether it makes pictures from noise, and looks at none."""
        return self.says == "noise"

    @abstractmethod
    def check_options(self, options: PredictOptions) -> None:
        """Refuse options that can't be followed.

        Raises:
            ConfigError: as it says.
        """

    @abstractmethod
    def predict(
        self, images: NDArray[np.uint8], meta: Sequence[ImageMeta], options: PredictOptions
    ) -> list[Any]:
        """Return a :class:`visionkit.results.Result` for each picture, without names of classes.

        Args:
            images: [B, 3, H, W] uint8 RGB, letterboxed.
            meta: of each; says how to get back to original pixels.
            options: checked ones.
        """

    @abstractmethod
    def make(self, z: Float, labels: Float | None, truncation: float) -> list[Image]:
        """Make a picture [H, W, 3] uint8 RGB from each row of noise.

        Args:
            z: [B, latent].
            labels: [B, K], 1 for the class that is wanted; None where none can be.
            truncation: see :class:`visionkit.generators.base.Generator`.
        """


def latents(seeds: Sequence[int], size: int) -> Float:
    """Return noise [B, size], a row for each seed: the same on every machine."""
    rows = [np.random.default_rng(seed).standard_normal(size) for seed in seeds]
    return np.stack(rows).astype(np.float32)


def one_hot(labels: Sequence[int], count: int) -> Float:
    """Return [B, count], 1 in the column of each row's label."""
    return np.eye(count, dtype=np.float32)[list(labels)]
