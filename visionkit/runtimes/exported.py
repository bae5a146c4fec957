"""What all exported files have in common when they are run. No torch."""

import importlib
import json
import re
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visionkit.about import DECODES, About, from_plain, from_strings
from visionkit.errors import CheckpointError, ConfigError, VisionkitError
from visionkit.geometry import Image
from visionkit.options import PredictOptions, options_from
from visionkit.runtimes.answers import SAYS, Arrays, output_names, pictures, results
from visionkit.runtimes.base import Float, Part, Runtime
from visionkit.sample import ImageMeta

_BUILT_IN = ("flip", "scales", "window", "truncation", "reverse")
"""Options that a graph was made with."""
_CODES = re.compile(
    r"\[ONNXRuntimeError\] : \d+ : \w+ : |^Exception from .*|^Check '.*' failed at .*"
)


class ExportedRuntime(Runtime):
    """A file that ``visionkit export`` wrote, run by whoever can.

    A subclass gives :meth:`run`. Pictures go through it in one batch, or one by one where the file
    takes no other.

    Args:
        about: what the file says of itself.
        name: of the file, for messages.

    Raises:
        CheckpointError: it says what this visionkit doesn't know.
    """

    def __init__(self, about: About, name: str) -> None:
        self.parts = {p: Part(about.part(p).says, about.part(p).classes) for p in about.parts}
        for says in (about.says, *(part.says for part in self.parts.values())):
            if says not in SAYS or about.decode not in DECODES:
                raise CheckpointError(
                    f"{name}: it answers with {says} ({about.decode}), which this visionkit "
                    "doesn't know; use the one that exported it"
                )
        try:
            self.options = options_from(about.predict)
        except (TypeError, ValueError) as error:
            raise CheckpointError(
                f"{name}: what it says of its options is damaged ({error}); export it again"
            ) from error
        self.about, self.name = about, name
        self.task, self.says = about.task, about.says
        self.classes, self.canvas = about.classes, about.canvas
        self.conditional, self.latent = about.conditional, about.latent

    @abstractmethod
    def run(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        """Return the file's outputs by name, see :class:`visionkit.about.About`.

        Args:
            inputs: contiguous arrays, likewise; as many pictures as the file takes.
        """

    def check_options(self, options: PredictOptions) -> None:
        """See :class:`Runtime`: what is built into the file can't be changed.

        Boxes with scores below ``about.floor`` aren't in the file, whatever ``confidence`` says.
        """
        own, about = self.options, self.about
        boxes = [p for p in map(about.part, about.parts) if p.says == "boxes"]
        boxes += [about] if self.says == "boxes" else []
        chosen = bool(boxes) and about.decode == "nms"
        suppressed = chosen and any(part.suppresses for part in boxes)
        fixed = (*_BUILT_IN, "iou") if suppressed else _BUILT_IN
        problems = [
            f"predict.{key}: {self.name} was exported with {_said(getattr(own, key))}; leave it "
            f"so, or export again with predict.{key}={_said(getattr(options, key))}, or use the "
            "checkpoint"
            for key in fixed
            if getattr(options, key) != getattr(own, key)
        ]
        if chosen and options.max_detections > own.max_detections:
            problems.append(
                f"predict.max_detections: {self.name} gives {own.max_detections} boxes of a "
                "picture at most; choose so many or fewer, or export again with "
                f"predict.max_detections={options.max_detections}"
            )
        if problems:
            raise ConfigError(problems)

    def predict(
        self, images: NDArray[np.uint8], meta: Sequence[ImageMeta], options: PredictOptions
    ) -> list[Any]:
        """See :class:`Runtime`.

        Raises:
            ConfigError: the file doesn't take canvases of this size.
            CheckpointError: the file can't be run.
        """
        self._check_canvas((images.shape[-2], images.shape[-1]))
        found: list[Any] = []
        for part in self._parts(len(images)):
            outputs = self._ask({"images": images[part]})
            found += results(self.about, outputs, meta[part], options)
        return found

    def make(self, z: Float, labels: Float | None, truncation: float) -> list[Image]:
        """See :class:`Runtime`.

        Raises:
            ConfigError: another truncation is built in.
            CheckpointError: the file can't be run.
        """
        if truncation != self.options.truncation:
            raise ConfigError(
                f"predict.truncation: {self.name} was exported with {self.options.truncation}; "
                f"leave it so, or export again with predict.truncation={truncation}"
            )
        inputs = {"z": z} if labels is None else {"z": z, "labels": labels}
        made: list[Image] = []
        for part in self._parts(len(z)):
            made += pictures(self._ask({name: rows[part] for name, rows in inputs.items()}))
        return made

    def _parts(self, count: int) -> Iterator[slice]:
        step = count if self.about.sizes.batch else 1
        return (slice(start, start + step) for start in range(0, count, step))

    def _ask(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        try:
            outputs = self.run({k: np.ascontiguousarray(rows) for k, rows in inputs.items()})
        except VisionkitError:
            raise
        except Exception as error:  # each library has kinds of its own
            shape = " x ".join(str(side) for side in next(iter(inputs.values())).shape)
            raise CheckpointError(
                f"{self.name}: it can't be run on {shape} values ({reason(error)}); give fewer or "
                "smaller pictures at once, or export it again"
            ) from error
        lacking = [name for name in output_names(self.about) if name not in outputs]
        if lacking:
            raise CheckpointError(
                f"{self.name}: it gives {', '.join(outputs)}, but not {', '.join(lacking)}; export "
                "it again"
            )
        return outputs

    def _check_canvas(self, size: tuple[int, int]) -> None:
        sizes = self.about.sizes
        if not sizes.canvas:
            fits, taken = size == self.canvas, f"{self.canvas[0]} x {self.canvas[1]} alone"
        else:
            fits = min(size) >= sizes.least and not any(side % sizes.multiple for side in size)
            taken = f"sides from {sizes.least}"
            if sizes.multiple > 1:
                taken += f" that are multiples of {sizes.multiple}"
        if not fits:
            raise ConfigError(
                f"{self.name}: it takes pictures on a canvas with {taken}, not {size[0]} x "
                f"{size[1]}; use the checkpoint for others"
            )


def _said(value: Any) -> str:
    """A value as it is written on the command line."""
    if isinstance(value, tuple):
        return f"[{','.join(_said(part) for part in value)}]"
    if isinstance(value, bool):
        return str(value).lower()
    return "none" if value is None else str(value)


def existing(path: str | Path) -> Path:
    """Return the path of a file that is there.

    Raises:
        CheckpointError: it isn't.
    """
    if not Path(path).is_file():
        raise CheckpointError(f"{path}: no such file; check the path")
    return Path(path)


def about_from(text: str, name: str) -> About:
    """Read what a file says of itself, as one text in JSON.

    Args:
        text: empty if it says nothing.
        name: of the file, for messages.

    Raises:
        CheckpointError: visionkit didn't write it, or it is damaged.
    """
    try:
        said = json.loads(text or "{}")
    except ValueError as error:
        raise CheckpointError(
            f"{name}: what it says of itself can't be read; export it again"
        ) from error
    if not isinstance(said, dict) or not said:
        return from_strings({}, name)  # which tells that there is nothing
    return from_plain(said, name)


def package(name: str, extra: str, path: str | Path) -> Any:
    """Import a package that runs files.

    Args:
        name: of the package.
        extra: of visionkit's, that brings it.
        path: of the file that is to be run.

    Raises:
        ConfigError: it isn't installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ConfigError(
            f"{path}: running it needs the package {name}; pip install 'visionkit[{extra}]'"
        ) from error


def reason(error: BaseException) -> str:
    """Return what a library says went wrong, in one line, without its codes and places of code."""
    lines = (_CODES.split(line)[-1].strip() for line in str(error).splitlines())
    return next((line for line in lines if line), type(error).__name__)
