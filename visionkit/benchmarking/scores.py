"""What a model is worth: its figure on a split, on canvases of any size."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from visionkit.benchmarking.given import Given
from visionkit.benchmarking.pictures import of_split
from visionkit.benchmarking.stages import one_look
from visionkit.errors import CheckpointError
from visionkit.evaluate import Truth, evaluator_of, open_data
from visionkit.options import options_from
from visionkit.subjects import CheckpointSubject, Subject, load_subject
from visionkit.tasks.scoring import make_evaluator


class Score(NamedTuple):
    """A model's figure.

    Attributes:
        name: of the figure that picks the best checkpoint, such as ``AP``.
        mode: ``max`` or ``min``: which way it gets better.
        value: of the split.
    """

    name: str
    mode: str
    value: float


class Split:
    """A split of the data that a model belongs to.

    Args:
        given: the model.
        settings: plain ``benchmark`` configuration.

    Raises:
        VisionkitError: there is no such split, the data have other classes, or the model's task has
            no evaluator.
    """

    def __init__(self, given: Given, settings: Mapping[str, Any]) -> None:
        self.name: str = settings["split"]
        self._settings = settings
        loaded = given.loaded
        self._subject: Subject = (
            CheckpointSubject(loaded) if loaded is not None else load_subject(given.path)
        )
        if self._subject.evaluator is None:
            raise CheckpointError(
                f"{given.path}: its task has no evaluator; leave split= out, or give another "
                f"{self._subject.kind}"
            )
        # evaluation looks at every score
        options = options_from({**self._subject.predict, "confidence": None})
        self._options = options if loaded is None else one_look(options)
        self._truth = self._open(given.canvas)

    def _open(self, canvas: tuple[int, int]) -> Truth:
        changes = (self._settings.get("data_overrides") or {}) | {"image_size": list(canvas)}
        return open_data(self._subject, {**self._settings, "data_overrides": changes}, self.name)

    def pictures(self, folder: Path) -> list[Path]:
        """Find pictures of it, see :func:`visionkit.benchmarking.pictures.of_split`."""
        return of_split(self._truth.index, self._truth.data.canvas, folder)

    def score(self, canvas: tuple[int, int]) -> Score:
        """Score the model with every picture on a canvas of (height, width).

        Raises:
            ConfigError: the model doesn't take canvases of this size.
        """
        truth = self._open(canvas)
        self._subject.follow(self._options, canvas)
        factory = evaluator_of(self._subject, self._settings)
        evaluator = make_evaluator(factory, truth.data, self.name)
        figures = self._subject.score(truth.data.eval_dataloader(self.name), evaluator)
        return Score(evaluator.monitor, evaluator.mode, figures[evaluator.monitor])
