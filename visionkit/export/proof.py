"""The proof that an exported file is the model of its checkpoint: worked out, written, judged."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from visionkit.about import BETWEEN
from visionkit.checkpoint import Loaded
from visionkit.errors import ParityError
from visionkit.evaluate import evaluator_of, open_data
from visionkit.export.compare import SLACK, kind
from visionkit.export.parity import (
    Row,
    batches,
    canvases,
    pictures_of,
    prove,
    proving_options,
    spread,
    tolerance,
)
from visionkit.export.scores import Scores, score_both
from visionkit.report import write_json
from visionkit.runtimes.exported import ExportedRuntime
from visionkit.runtimes.network import NetworkRuntime
from visionkit.subjects import CheckpointSubject
from visionkit.tasks.scoring import make_evaluator

if TYPE_CHECKING:
    from rich.console import Console

_WORDS = {
    "boxes": "boxes differ by {} px",
    "scores": "scores differ by {}",
    "labels": "{} classes differ",
    "unmatched": "{} boxes have no partner",
    "probabilities": "probabilities differ by {}",
    "masks": "{} of the pixels have another class",
    "pictures": "pictures differ by {} levels",
}
_SETTINGS = {name: name for name in ("boxes", "scores", "masks", "pictures", "figure")}
_SETTINGS["probabilities"] = "scores"
"""What the tolerance is called among the settings, where there is one."""


@dataclass(frozen=True)
class Proof:
    """What a file and its checkpoint said of the same pictures.

    Attributes:
        name: of the file, before it is proven.
        done: what it is called then.
        precision: of the file.
        tolerance: what may differ by how much, see :func:`visionkit.export.parity.tolerance`.
        rows: of single pictures, by canvas and batch.
        scores: over a split; None where it wasn't scored.
    """

    name: str
    done: str
    precision: str
    tolerance: Mapping[str, float]
    rows: tuple[Row, ...]
    scores: Scores | None

    @property
    def problem(self) -> str | None:
        """The worst that is beyond the tolerance, in one line; None if nothing is."""
        found = [
            (*self._excess(name, value), name, row)
            for row in self.rows
            for name, value in row.difference.items()
            if kind(name) in self.tolerance and value > self.tolerance[kind(name)]
        ]
        if found:
            _, value, name, row = max(found, key=lambda entry: entry[:2])
            what = f"{_part(name)}: " * bool(_part(name)) + _WORDS[kind(name)].format(_short(value))
            where = f"{row.worst[name]} on a canvas of {row.canvas[0]} x {row.canvas[1]}, "
            return self._line(f"{what}, {where}batch {row.batch}", kind(name))
        if self.scores is None or "figure" not in self.tolerance:
            return None
        for key in self.scores.judged or (self.scores.monitor,):
            ours, theirs = self.scores.file[key], self.scores.checkpoint[key]
            if self.scores.difference[key] > self.tolerance["figure"] * max(1.0, abs(theirs)):
                said = f"is {ours:.4f}, the checkpoint's {theirs:.4f}"
                return self._line(f"{key} on the {self.scores.split} split {said}", "figure")
        return None

    def _line(self, what: str, name: str) -> str:
        limit = _short(self.tolerance[name])
        more = f", or allow more with proof.{_SETTINGS[name]}=" if name in _SETTINGS else ""
        return (
            f"{self.name}: it isn't the model of its checkpoint: {what} ({limit} is allowed); "
            f"don't use the file{more}"
        )

    def plain(self) -> dict[str, Any]:
        """What ``parity.json`` holds; what isn't a finite number is null."""
        rows = [
            {
                "canvas": list(row.canvas),
                "batch": row.batch,
                "pictures": row.pictures,
                **_finite(row.difference),
                "worst": self.worst(row),
            }
            for row in self.rows
        ]
        content: dict[str, Any] = {
            "file": self.name if self.problem else self.done,
            "precision": self.precision,
            "passed": self.problem is None,
            "tolerance": dict(self.tolerance),
            "rows": rows,
        }
        if self.scores is not None:
            content["figures"] = {
                "split": self.scores.split,
                "images": self.scores.images,
                "monitor": self.scores.monitor,
                "checkpoint": _finite(self.scores.checkpoint),
                "file": _finite(self.scores.file),
                "difference": _finite(self.scores.difference),
            }
        return content

    def worst(self, row: Row, names: Collection[str] | None = None) -> str:
        """The picture of a row with the worst difference of some, measured by the tolerance."""
        found = [name for name in row.worst if names is None or name in names]
        if not found:
            return ""
        return row.worst[max(found, key=lambda name: self._excess(name, row.difference[name]))]

    def _excess(self, name: str, value: float) -> tuple[float, float]:
        """What part of the tolerance a difference is, and the difference itself."""
        if kind(name) not in self.tolerance:
            return 0.0, value
        limit = self.tolerance[kind(name)]
        if not limit:
            return (math.inf if value else 0.0), value
        return value / limit, value

    def show(self, console: "Console") -> None:
        """Print the differences by canvas and batch, of each part, and the figures of both."""
        from rich.table import Table
        from rich.text import Text

        how: dict[str, Any] = {"box": None, "pad_edge": False, "padding": (0, 2, 0, 0)}
        names = dict.fromkeys(name for row in self.rows for name in row.difference)
        for part in dict.fromkeys(map(_part, names)):
            mine = [name for name in names if _part(name) == part]
            table = Table(header_style="bold", **how)
            for heading in (part or "canvas", "batch", *map(kind, mine)):
                width = max(len(heading), 7)  # on a narrow screen the picture's name gives way
                table.add_column(heading, justify="right", no_wrap=True, min_width=width)
            table.add_column("worst picture", no_wrap=True, overflow="ellipsis")
            for row in self.rows:
                canvas = f"{row.canvas[0]}x{row.canvas[1]}"
                values = (_short(row.difference[name]) for name in mine)
                picture = Text(Path(self.worst(row, mine)).name)
                table.add_row(canvas, str(row.batch), *values, picture)
            console.print(table)
        if self.scores is not None:
            table = Table(header_style="bold", **how)
            table.add_column(f"{self.scores.split} split ({self.scores.images})")
            for heading in ("checkpoint", "file", "difference"):
                table.add_column(heading, justify="right", no_wrap=True)
            for name, gap in self.scores.difference.items():
                both = (self.scores.checkpoint[name], self.scores.file[name])
                shown = ("-" if value == -1 else f"{value:.4f}" for value in both)
                table.add_row(name, *shown, _short(gap))
            console.print()
            console.print(table)


def prove_file(
    loaded: Loaded,
    file: ExportedRuntime,
    settings: Mapping[str, Any],
    folder: Path,
    console: "Console",
    done: str | None = None,
) -> Proof:
    """Compare an exported file with its checkpoint; write ``parity.json`` and print it.

    Args:
        loaded: the checkpoint; its model is moved to a GPU if there is one.
        file: what was exported of it.
        settings: a plain ``export`` configuration: its ``split``, ``proof`` and ``allow``, and what
            begins with ``data`` or ``evaluator``.
        folder: for ``parity.json``.
        console: to print on.
        done: what the file is to be called once it is proven; None as it is.

    Raises:
        ParityError: they differ by more than is allowed; names the worst picture.
        VisionkitError: the data can't be read, or don't suit.
    """
    about, wanted, subject = file.about, settings["proof"], CheckpointSubject(loaded)
    limits = tolerance(about.precision, wanted)
    truth = open_data(subject, settings, *splits_of(settings))
    reference, options = NetworkRuntime(loaded), proving_options(about)
    pictures = pictures_of(truth.index, wanted["images"])
    slack = limits.get("scores", SLACK)
    sizes, numbers = canvases(about), batches(about)
    rows = prove(reference, file, pictures, sizes, numbers, options, slack) if pictures else []
    scores = None
    if wanted["scored"] != 0 and subject.evaluator is not None:
        truth.leave_only(spread(truth.index, wanted["scored"]))
        factory = evaluator_of(subject, settings)
        ours, theirs = (make_evaluator(factory, truth.data, truth.split) for _ in range(2))
        loader = truth.data.eval_dataloader(truth.split)
        scores = score_both(reference, file, loader, (ours, theirs), options, truth.split)
    proof = Proof(file.name, done or file.name, about.precision, limits, tuple(rows), scores)
    write_json(folder / "parity.json", proof.plain(), indent=2)
    proof.show(console)
    if proof.problem is not None:
        raise ParityError(proof.problem)
    return proof


def splits_of(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """The splits of which the first that is there is the one to prove a file on."""
    return ("test", "val") if settings["split"] == "auto" else (settings["split"],)


def _part(name: str) -> str:
    """The part of a joint result that a difference is in; empty of others."""
    return name.rpartition(BETWEEN)[0]


def _short(value: float) -> str:
    return f"{value:.2g}"


def _finite(values: Mapping[str, float]) -> dict[str, float | None]:
    """Values by name as JSON knows them: null for those that aren't numbers."""
    return {name: value if math.isfinite(value) else None for name, value in values.items()}
