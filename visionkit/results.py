"""What a model says about one picture. NumPy only: these travel without torch."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

VOID = 255
"""In a mask of labels: of no class."""


class Result(Protocol):
    """A prediction for one image, in the pixels of the original picture."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names by label."""
        ...

    def to_dict(self) -> dict[str, object]:
        """Return plain Python values, ready for JSON."""
        ...

    def summary(self) -> str:
        """Say in a few words what is in the picture."""
        ...

    def above(self, confidence: float) -> Self:
        """Return only what has a score of at least ``confidence``."""
        ...

    def scaled(self, factor: float) -> Self:
        """Return the result for the picture resized by ``factor``."""
        ...


@dataclass(frozen=True)
class Detections:
    """Boxes found in one picture, best first.

    Attributes:
        boxes: [N, 4] float32, absolute ``x1 y1 x2 y2`` in original pixels.
        scores: [N] float32 in 0..1, descending.
        labels: [N] int64, indices into ``classes``.
        classes: the names that ``labels`` index.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    labels: NDArray[np.int64]
    classes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def names(self) -> list[str]:
        """The class name of each box (the index itself where no names are known)."""
        return [self.classes[i] if i < len(self.classes) else str(i) for i in self.labels.tolist()]

    def above(self, confidence: float) -> "Detections":
        """Return only the boxes with a score of at least ``confidence``."""
        keep = self.scores >= confidence
        return replace(
            self, boxes=self.boxes[keep], scores=self.scores[keep], labels=self.labels[keep]
        )

    def scaled(self, factor: float) -> "Detections":
        """Return the same boxes for the picture resized by ``factor``."""
        return replace(self, boxes=(self.boxes * factor).astype(np.float32))

    def summary(self, most: int = 6) -> str:
        """Return how many boxes of each class there are, such as ``3 cell, 1 platelet``."""
        counts = Counter(self.names).most_common()
        words = [f"{n} {name}" for name, n in counts[:most]]
        if len(counts) > most:
            words.append(f"and {len(counts) - most} more classes")
        return ", ".join(words) or "nothing found"

    def to_dict(self) -> dict[str, object]:
        """Return ``boxes``, ``scores``, ``labels`` and ``names`` as lists."""
        return {
            "boxes": self.boxes.tolist(),
            "scores": self.scores.tolist(),
            "labels": self.labels.tolist(),
            "names": self.names,
        }


@dataclass(frozen=True)
class Classification:
    """What one picture shows.

    Attributes:
        probabilities: [K] float32.
        classes: names by label.
        exclusive: whether a picture is of one class, so that probabilities sum to 1; otherwise each
            class stands by itself.
        confidence: the least probability of a shown class, where classes aren't exclusive.
    """

    probabilities: NDArray[np.float32]
    classes: tuple[str, ...] = ()
    exclusive: bool = True
    confidence: float = 0.5

    @property
    def label(self) -> int:
        """The most probable class; the first of equals."""
        return int(self.probabilities.argmax())

    @property
    def score(self) -> float:
        """The probability of :attr:`label`."""
        return float(self.probabilities[self.label])

    @property
    def name(self) -> str:
        """The name of :attr:`label`."""
        return self._name(self.label)

    @property
    def labels(self) -> list[int]:
        """The classes that the picture is said to show, most probable first."""
        order: list[int] = np.argsort(-self.probabilities, kind="stable").tolist()
        if self.exclusive:
            return order[:1]
        return [i for i in order if self.probabilities[i] >= self.confidence]

    def _name(self, label: int) -> str:
        return self.classes[label] if label < len(self.classes) else str(label)

    def top(self, count: int = 5) -> list[tuple[str, float]]:
        """Return the most probable classes with their probabilities, best first."""
        order = np.argsort(-self.probabilities, kind="stable")[:count].tolist()
        return [(self._name(i), float(self.probabilities[i])) for i in order]

    def above(self, confidence: float) -> "Classification":
        """Return the result with another :attr:`confidence`."""
        return replace(self, confidence=confidence)

    def scaled(self, factor: float) -> "Classification":
        """Return the result itself: it has no place in the picture."""
        return self

    def summary(self) -> str:
        """Return the classes with their probabilities, such as ``ant 0.98``."""
        shown = [(self._name(i), float(self.probabilities[i])) for i in self.labels]
        return ", ".join(f"{name} {score:.2f}" for name, score in shown) or "nothing found"

    def to_dict(self) -> dict[str, object]:
        """Return ``labels``, ``names`` and ``scores`` of what is shown, and the ``top`` five.

        What isn't finite is None: JSON has no such numbers.
        """
        labels = self.labels
        return {
            "labels": labels,
            "names": [self._name(i) for i in labels],
            "scores": [_plain(self.probabilities[i]) for i in labels],
            "top": {name: _plain(score) for name, score in self.top()},
        }


def _plain(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


@dataclass(frozen=True)
class SemanticMask:
    """The class of each pixel of one picture.

    Attributes:
        labels: [H, W] uint8, indices into ``classes``; :data:`VOID` where none is said.
        classes: names by label.
    """

    labels: NDArray[np.uint8]
    classes: tuple[str, ...] = ()

    def shares(self) -> dict[int, float]:
        """Return the part of the picture, 0..1, that each class has, largest first."""
        counts = np.bincount(self.labels.ravel(), minlength=VOID + 1)[:VOID]
        order = np.argsort(-counts, kind="stable").tolist()
        return {k: float(counts[k] / self.labels.size) for k in order if counts[k]}

    def name(self, label: int) -> str:
        """The name of a class (the index itself where no names are known)."""
        return self.classes[label] if label < len(self.classes) else str(label)

    def above(self, confidence: float) -> "SemanticMask":
        """Return the mask itself: it keeps no scores."""
        return self

    def scaled(self, factor: float) -> "SemanticMask":
        """Return the mask of the picture resized by ``factor``, each pixel that of the nearest."""
        height, width = (max(1, round(side * factor)) for side in self.labels.shape)
        rows = ((np.arange(height) + 0.5) * self.labels.shape[0] / height).astype(np.int64)
        columns = ((np.arange(width) + 0.5) * self.labels.shape[1] / width).astype(np.int64)
        return replace(self, labels=self.labels[rows[:, None], columns])

    def summary(self, most: int = 6) -> str:
        """Return the classes with their parts of the picture, such as ``road 41 %, sky 22 %``."""
        shares = list(self.shares().items())
        words = [f"{self.name(k)} {100 * share:.0f} %" for k, share in shares[:most]]
        if len(shares) > most:
            words.append(f"and {len(shares) - most} more classes")
        return ", ".join(words) or "nothing found"

    def to_dict(self) -> dict[str, object]:
        """Return ``labels``, ``names`` and ``shares`` of the classes in the picture."""
        shares = self.shares()
        return {
            "labels": list(shares),
            "names": [self.name(k) for k in shares],
            "shares": list(shares.values()),
        }


@dataclass(frozen=True)
class Generated:
    """A picture that a network made: from noise, or from another picture.

    Attributes:
        image: [H, W, 3] uint8 RGB.
        classes: names by label; empty where the network knows none.
        label: of the class that was asked for, if one was.
        seed: of the noise that it was made from, if it was.
    """

    image: NDArray[np.uint8]
    classes: tuple[str, ...] = ()
    label: int | None = None
    seed: int | None = None

    def above(self, confidence: float) -> "Generated":
        """Return the result itself: it has no score."""
        return self

    def scaled(self, factor: float) -> "Generated":
        """Return the picture resized by ``factor``."""
        from visionkit.geometry import resize_image

        height, width = (max(1, round(side * factor)) for side in self.image.shape[:2])
        return replace(self, image=resize_image(self.image, (height, width)))

    @property
    def name(self) -> str:
        """The class that was asked for, empty if none was."""
        if self.label is None:
            return ""
        return self.classes[self.label] if self.label < len(self.classes) else str(self.label)

    def summary(self) -> str:
        """Say what was made, such as ``coat, seed 3``."""
        seed = "" if self.seed is None else f"seed {self.seed}"
        height, width = self.image.shape[:2]
        return ", ".join(word for word in (self.name, seed) if word) or f"{height} x {width}"

    def to_dict(self) -> dict[str, object]:
        """Return ``label``, ``name`` and ``seed``, as far as there are any."""
        known: dict[str, object] = {}
        if self.label is not None:
            known |= {"label": self.label, "name": self.name}
        return known if self.seed is None else known | {"seed": self.seed}


@dataclass(frozen=True)
class Joint:
    """What the heads of a joint network say of one picture.

    Attributes:
        parts: the result of each head, by the head's name.
    """

    parts: Mapping[str, Result]

    @property
    def classes(self) -> tuple[str, ...]:
        """None: each part has its own."""
        return ()

    def above(self, confidence: float) -> "Joint":
        """Return what is left of each part, see :meth:`Result.above`."""
        return Joint({name: part.above(confidence) for name, part in self.parts.items()})

    def scaled(self, factor: float) -> "Joint":
        """Return each part for the picture resized by ``factor``."""
        return Joint({name: part.scaled(factor) for name, part in self.parts.items()})

    def summary(self) -> str:
        """Return what each part says, such as ``detection: 3 cell; segmentation: sky 60 %``."""
        return "; ".join(f"{name}: {part.summary()}" for name, part in self.parts.items())

    def to_dict(self) -> dict[str, object]:
        """Return what each part gives, by the part's name."""
        return {name: part.to_dict() for name, part in self.parts.items()}
