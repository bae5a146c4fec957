"""Figures of pictures that were made from nothing: how far they are from those of the data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from visionkit.argtypes import Count, Positive
from visionkit.data.index import Index
from visionkit.errors import ConfigError
from visionkit.geometry import Image, resize_image
from visionkit.metrics import real_pictures
from visionkit.metrics.base import PartsEvaluator
from visionkit.metrics.extractor import Extractor
from visionkit.metrics.frechet import frechet
from visionkit.metrics.kid import kid
from visionkit.metrics.manifold import manifold, nearest
from visionkit.results import Generated, Result

SHOWN = 64
"""Made pictures that the report may show."""
_SIDE = 64
"""Of pictures that were made from others, where the extractor has no size."""
_ASKED = 1000
"""Pictures whose nearest training picture is looked for: enough for a median."""

_KINDS = ("classes", "images", "pairs", "unpaired")

Rows = dict[int, NDArray[np.float32]]
"""Features [D] by place in the split."""


@dataclass(frozen=True)
class Seen:
    """What one rank has seen; what ranks exchange.

    Attributes:
        image_ids: [n] int64, of all pictures that were given.
        fake: features of the made pictures that are compared.
        real: those of real ones that other ranks don't know yet, by the place of the made ones.
        pictures: a few of the made ones, by place in the split.
        size: height and width that pictures are compared at.
    """

    image_ids: NDArray[np.int64]
    fake: Rows
    real: Rows
    pictures: Mapping[int, Image]
    size: tuple[int, int] | None


class GenerationEvaluator(PartsEvaluator):
    """Compares made pictures with as many real ones, by features of a fixed network.

    For each picture of the split one is made; at most ``samples`` of them count, drawn once for
    ever. Figures:

    - ``kid`` and ``kid_sigma``: see :func:`visionkit.metrics.kid.kid`; the smaller, the better.
    - ``fid_<extractor>``: see :func:`visionkit.metrics.frechet.frechet`. It means something only
      beside others of the same extractor and the same number of pictures.
    - ``precision``, ``recall``, ``density`` and ``coverage``: see
      :func:`visionkit.metrics.manifold.manifold`.

    In the final report, where there are training pictures:

    - ``kid_real`` and ``fid_<extractor>_real``: the same figures of as many training pictures in
      the place of the made ones: what a perfect generator would have. They are missing where the
      training split has fewer.
    - ``nearest_ratio``: how far made pictures are from the nearest training picture, over how far
      those of the split are (medians). Far below 1, training pictures are repeated.

    What is undefined is -1. How the given pictures are batched, ordered or shared among ranks
    changes nothing. Of two lists of pictures that are no pairs, as many of the second one are drawn
    as of the first; each picture counts once.

    Args:
        index: the split.
        extractor: gives the features.
        train: the training split, if there is one.
        samples: pictures that are compared.
        neighbours: k of precision and recall.
        near: k of density and coverage.
        searched: training pictures among which the nearest are looked for.

    Raises:
        ConfigError: the split is one of boxes or masks.
    """

    monitor = "kid"
    mode = "min"

    def __init__(
        self,
        index: Index,
        extractor: Extractor,
        train: Index | None = None,
        samples: Positive = 5000,
        neighbours: Positive = 3,
        near: Positive = 5,
        searched: Count = 10000,
    ) -> None:
        if index.kind not in _KINDS:
            raise ConfigError(
                "evaluator: GenerationEvaluator compares whole pictures, and the data is of "
                f"{index.kind}; choose another evaluator, or data=images, folder, pairs or unpaired"
            )
        self.index, self.extractor = index, extractor
        self.train = None if train is index else train
        self.samples, self.neighbours, self.near = samples, neighbours, near
        self.searched = searched
        self._partner = real_pictures.compared(index, samples)
        self._order = {place: n for n, place in enumerate(self._partner)}
        self._real: Rows = {}
        self._unsent: set[int] = set()
        self._size: tuple[int, int] | None = None
        self._of_train: NDArray[np.float32] | None = None
        super().__init__(index.image_ids)

    def reset(self) -> None:
        """Forget every result; what is known of the real pictures stays."""
        super().reset()
        self._fake: Rows = {}
        self._waiting: list[tuple[int, Image]] = []
        self._pictures: dict[int, Image] = {}

    def update(self, image_ids: Sequence[int], results: Sequence[Result]) -> None:
        """Take a made picture for each of some pictures of the split.

        Raises:
            ValueError: a picture came twice or isn't of this split; sizes differ.
            DataError: a picture of the split can't be read.
        """
        if len(image_ids) != len(results):
            raise ValueError(f"{len(image_ids)} image ids for {len(results)} results")
        if not results:
            return
        ids = np.array([int(i) for i in image_ids], np.int64)
        for image_id, result in zip(ids.tolist(), results, strict=True):
            place = self._place(image_id)
            if place in self._order:
                self._waiting.append((place, self._fitted(cast(Generated, result).image)))
        self._add(Seen(ids, {}, {}, {}, None))
        while len(self._waiting) >= self.extractor.batch_size:
            self._look(self.extractor.batch_size)

    def _fitted(self, image: Image) -> Image:
        """A made picture at the size that all are compared at."""
        if real_pictures.turns_into(self.index):
            side = self.extractor.size or _SIDE  # each has the size of its source
            self._size = (side, side)
            return resize_image(image, self._size)
        size = (image.shape[0], image.shape[1])
        if self._size not in (None, size):
            raise ValueError(f"made pictures of {self._size} and of {size}")
        self._size = size
        return image

    def _look(self, count: int) -> None:
        """Take the features of the next pictures, and of the real ones that aren't known yet."""
        assert self._size is not None
        now, self._waiting = self._waiting[:count], self._waiting[count:]
        places = [place for place, _ in now]
        features = self.extractor(np.stack([image for _, image in now]))
        self._fake |= dict(zip(places, features, strict=True))
        if self.detailed:
            self._pictures |= {p: image for p, image in now if self._order[p] < SHOWN}
        new = [place for place in places if place not in self._real]
        if new:
            real = [self._partner[place] for place in new]
            features = self.extractor(real_pictures.read(self.index, real, self._size))
            self._real |= dict(zip(new, features, strict=True))
            self._unsent |= set(new)

    def state(self) -> Seen:
        """What this rank has seen."""
        if self._waiting:
            self._look(len(self._waiting))
        ids = np.concatenate([np.zeros(0, np.int64), *(part.image_ids for part in self._parts)])
        new = {place: self._real[place] for place in self._unsent}
        return Seen(ids, dict(self._fake), new, dict(self._pictures), self._size)

    def merge(self, states: Sequence[object]) -> None:
        """See :class:`visionkit.metrics.base.PartsEvaluator`."""
        seen = [cast(Seen, state) for state in states]
        self.reset()
        self._unsent = set()
        for part in seen:
            self._add(Seen(part.image_ids, {}, {}, {}, None))
            self._fake |= part.fake
            self._real |= part.real
            self._pictures |= part.pictures
            self._size = part.size or self._size

    def places(self) -> list[int]:
        """Where the pictures that are compared stand in the split, in the order of comparison."""
        if self._waiting:
            self._look(len(self._waiting))
        return sorted(self._fake, key=self._order.__getitem__)

    def real_places(self) -> list[int]:
        """Where the real pictures stand that those of :meth:`places` are compared with."""
        return [self._partner[place] for place in self.places()]

    def features(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the features [N, D] of the real and of the made pictures, place by place."""
        if self._worked_out is None:
            places = self.places()
            if not places:
                return np.zeros((0, 1), np.float32), np.zeros((0, 1), np.float32)
            real = np.stack([self._real[place] for place in places])
            self._worked_out = real, np.stack([self._fake[place] for place in places])
        found: tuple[NDArray[np.float32], NDArray[np.float32]] = self._worked_out
        return found

    def pictures(self) -> dict[int, Image]:
        """Return a few of the made pictures, by their row in :meth:`features`."""
        return {n: self._pictures[p] for n, p in enumerate(self.places()) if p in self._pictures}

    @property
    def size(self) -> tuple[int, int] | None:
        """Height and width that pictures are compared at, once one was seen."""
        return self._size

    def compute(self) -> dict[str, float]:
        """Return the figures that the class lists, without those of training pictures."""
        real, fake = self.features()
        distance, sigma = kid(real, fake)
        spread = manifold(real, fake, self.neighbours, self.near)
        return {
            "kid": distance,
            "kid_sigma": sigma,
            f"fid_{self.extractor.name}": frechet(real, fake),
            **spread._asdict(),
        }

    def details(self) -> dict[str, float]:
        """Return the figures of training pictures."""
        train, (real, fake) = self.training(), self.features()
        if train is None or not len(real):
            return {}
        figures: dict[str, float] = {}
        if len(train) >= len(real):
            other = train[: len(real)]
            figures["kid_real"], figures["kid_real_sigma"] = kid(real, other)
            figures[f"fid_{self.extractor.name}_real"] = frechet(real, other)
        if self.searched:
            among = train[: self.searched]
            ours, theirs = (float(np.median(nearest(f[:_ASKED], among)[1])) for f in (fake, real))
            figures["nearest_ratio"] = ours / theirs if theirs else -1.0
        return figures

    def training(self) -> NDArray[np.float32] | None:
        """Return the features of training pictures, those of :meth:`training_places`."""
        if self.train is None or self._size is None:
            return None
        if self._of_train is None:
            parts = real_pictures.read_in_parts(self.train, self.training_places(), self._size)
            found = [self.extractor(part) for part in parts]
            self._of_train = np.concatenate(found) if found else None
        return self._of_train

    def training_places(self) -> list[int]:
        """Where the training pictures stand in their split, that are looked at."""
        if self.train is None:
            return []
        most = max(self.searched, len(self._order))
        places: list[int] = real_pictures.chosen(self.train, most).tolist()
        return places

    def report(self, folder: Path) -> None:
        """Write what the figures stand for.

        - ``extractor.json``: the network, its weights and their hash, and how many pictures were
          compared: what figures must have in common to be compared.
        - ``nearest.jpg``: some of the made pictures, the most suspect first, each beside the real
          ones that are nearest to it by features.
        """
        from visionkit.metrics import generation_report

        generation_report.write(folder, self)
