"""Which outputs a person wants, and whether they suit the model and the source."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from visionkit.errors import ConfigError
from visionkit.outputs.base import Output
from visionkit.outputs.coco import CocoFiles, Ids
from visionkit.outputs.film import DrawnVideo
from visionkit.outputs.parts import PartOutput
from visionkit.outputs.pictures import DrawnPictures, ResultPictures
from visionkit.outputs.places import Places
from visionkit.outputs.tables import CsvRows, JsonRecords
from visionkit.outputs.yolo import YoloTexts
from visionkit.runtimes.base import Part

_OF_PICTURES = ("pictures", "json")
_OF_VIDEOS = ("video", "json")
_NEEDS = {
    "coco": (("boxes",), "boxes"),
    "yolo": (("boxes",), "boxes"),
    "csv": (("boxes", "classes", "masks"), "boxes, classes or masks"),
}
"""Of the formats that don't suit every model: what it has to say, and that in words."""

_FIXED = {
    "json": ("predictions.json",),
    "csv": ("predictions.csv",),
    "coco": ("coco.json", "coco_results.json"),
    "yolo": ("classes.txt",),
}
_KEPT = ("coco.json", "classes.txt")
"""Those of them that data sets have, too,"""
_ROOMS = {"masks": "masks", "pictures": "made"}
"""and folders, by what the model says."""


@dataclass(frozen=True)
class Job:
    """What is predicted, as far as outputs must know.

    Attributes:
        places: where files go.
        files: the pictures, or the video.
        says: what the model answers with, see :class:`visionkit.runtimes.base.Runtime`.
        classes: names by label.
        rate: frames a second of the drawn video, None where that isn't known.
        parts: of a joint network, by name.
    """

    places: Places
    files: Sequence[Path]
    says: str
    classes: Sequence[str]
    rate: float | None = None
    parts: Mapping[str, Part] = field(default_factory=dict)

    @property
    def single(self) -> dict[str, "Job"]:
        """The jobs of the parts, by name; of what isn't joint itself, without a name."""
        return {
            name: replace(self, places=self.places.of_part(name), **part._asdict(), parts={})
            for name, part in self.parts.items()
        } or {"": self}


def choose(
    formats: Sequence[str] | None, job: Job, annotations: str | Path | None = None
) -> list[Output]:
    """Make the outputs that are wanted.

    Of a joint network, ``csv``, ``coco`` and ``yolo`` are written for each part that they suit, in
    a folder of the part's name, and so are masks.

    Args:
        formats: of ``pictures json csv coco yolo video``; None for drawn pictures and JSON, of a
            video a drawn video and JSON. Masks and made pictures are written with ``pictures`` and
            with ``json``, which says where they are.
        job: what is predicted.
        annotations: a COCO file whose ids ``coco`` takes.

    Raises:
        ConfigError: a format doesn't suit the model or the source, or would take the place of a
            file that belongs to the source.
        DataError: the annotations can't be read.
    """
    video = job.places.video
    wanted = formats or (_OF_VIDEOS if video else _OF_PICTURES)
    for name in wanted:
        suited, words = _NEEDS.get(name, ((), ""))
        said = [one.says for one in job.single.values()]
        if suited and not {*said} & {*suited}:
            raise ConfigError(
                f"formats: {name} is for models that find {words}, this one answers with "
                f"{' and '.join(said)}; leave it out"
            )
    if "video" in wanted and not video:
        raise ConfigError("formats: video needs a video as source; choose pictures instead")
    if annotations is not None and ("coco" not in wanted or video):
        raise ConfigError(
            "annotations: gives ids of pictures to formats=[coco], and nothing else; leave it out"
        )
    folder = job.places.folder
    _check_inputs(wanted, job, annotations)
    outputs: list[Output] = []
    if {"pictures", "json"} & {*wanted}:
        outputs.append(ResultPictures())
    if "pictures" in wanted:
        outputs.append(DrawnPictures())
    if "json" in wanted:
        outputs.append(JsonRecords(folder / "predictions.json"))
    for part, one in job.single.items():
        made = [_of_kind(name, one, annotations) for name in _suiting(wanted, one)]
        outputs += [PartOutput(part, output) for output in made] if part else made
    if "video" in wanted:
        outputs.append(DrawnVideo(job.places.film(), job.rate))
    return outputs


def _suiting(wanted: Sequence[str], job: Job) -> list[str]:
    """The formats for one kind of results that are wanted, and suit."""
    return [name for name, (suited, _) in _NEEDS.items() if name in wanted and job.says in suited]


def _of_kind(name: str, job: Job, annotations: str | Path | None) -> Output:
    """Make an output for one kind of results."""
    folder = job.places.folder
    if name == "csv":
        return CsvRows(folder / "predictions.csv")
    if name == "yolo":
        return YoloTexts(folder, job.classes)
    ids = None if annotations is None else Ids.read(Path(annotations))
    return CocoFiles(folder, job.classes, job.files, ids)


def _check_inputs(wanted: Sequence[str], job: Job, annotations: str | Path | None) -> None:
    """Refuse to write over annotations: those given, and what lies with the pictures of a set."""
    fixed = [job.places.folder / name for name in _FIXED["json"] if "json" in wanted]
    targets: list[Path] = []
    for one in job.single.values():
        folder, places = one.places.folder, one.places
        fixed += [folder / name for kind in _suiting(wanted, one) for name in _FIXED[kind]]
        rooms = [("labels", ".txt")] if "yolo" in _suiting(wanted, one) else []
        if {"pictures", "json"} & {*wanted} and one.says in _ROOMS:
            rooms.append((_ROOMS[one.says], ".png"))
        if not places.video:
            targets += [places.below(room, f, suffix) for room, suffix in rooms for f in job.files]
    if annotations is not None:
        for path in fixed:
            if os.path.realpath(path) == os.path.realpath(annotations):
                raise ConfigError(
                    f"annotations: {path} would be written over; choose another run_dir"
                )
    if not job.places.among_sources():
        return
    kept = [path for path in fixed if path.name in _KEPT]
    for path in (*kept, *targets):
        if path.exists():
            raise ConfigError(
                f"run_dir: {path} is there already, in the folder of the pictures, and would be "
                "written over; choose another run_dir"
            )
