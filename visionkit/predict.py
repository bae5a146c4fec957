"""Prediction as a command: pictures, folders, videos and cameras in; files and a table out."""

from collections.abc import Generator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from visionkit.errors import ConfigError, DataError
from visionkit.outputs.base import Entry
from visionkit.outputs.choice import Job, choose
from visionkit.outputs.places import Places
from visionkit.outputs.screen import Told, progress, tell

if TYPE_CHECKING:
    from rich.console import Console

    from visionkit.predictor import Predictor
    from visionkit.video import Video


Entries = Generator[Entry, None, None]


class _Source(Protocol):
    """Pictures, or a video, for a predictor."""

    places: Places
    files: list[Path]
    rate: float | None
    count: int | None
    noun: str

    def entries(self, predictor: "Predictor", cfg: Any, errors: list[DataError]) -> Entries: ...


def run(cfg: Any, console: "Console | None" = None) -> dict[str, Any]:
    """Predict for every picture of ``cfg.source`` and write what was found into ``cfg.run_dir``.

    What is written ``cfg.formats`` says, see :func:`visionkit.outputs.choice.choose`: by default
    drawn pictures and ``predictions.json``, of a video a drawn video in the place of pictures.
    Masks are PNGs of indices, see :func:`visionkit.report.write_mask`, in ``masks/``; pictures that
    were made of others lie in ``made/``. What belongs to one part of a joint network lies in a
    folder of its name. A picture or frame that can't be read is told and left
    out. Ctrl-C ends the work, but what was found until then is written. For a model that makes
    pictures from noise see :mod:`visionkit.sampling`.

    Args:
        cfg: ``checkpoint``, ``source``, ``run_dir``, ``predict`` (options, null leaves what the
            model was trained with), ``batch_size``, ``workers`` (threads that read), ``formats``,
            ``annotations``, and of a video ``every`` and ``frames`` (at most so many are looked
            at); or ``n``, ``seed`` and ``label`` in the place of ``source``, for a model that makes
            pictures from noise.
        console: where the table goes; the screen unless given.

    Returns:
        ``images``, ``unreadable`` (counts), ``run_dir``, and ``objects`` where boxes were found.

    Raises:
        ConfigError: the model wants pictures and there is no ``source``, or the other way round; or
            a format doesn't suit the model; or an option would have no effect, or a file of the
            source's folder be written over.
        DataError: there is no picture, or none could be read.
        CheckpointError: the checkpoint can't be loaded.
        KeyboardInterrupt: after Ctrl-C, when all is written.
    """
    from rich.console import Console

    from visionkit.predictor import load

    console = console or Console()
    with ExitStack() as stack:
        # a misspelt path should not wait for the model
        source = None if cfg["source"] is None else _open(cfg, stack)
        predictor = load(cfg["checkpoint"])
        _check_fit(cfg, predictor.runtime.samples)
        if source is None:
            from visionkit.sampling import run as make

            return make(cfg, predictor, console)
        errors: list[DataError] = []
        told, folder = Told(source.noun), Path(cfg["run_dir"])
        try:
            _work(cfg, source, predictor, told, errors, console)
        except KeyboardInterrupt:
            tell(console, told, errors, f"; interrupted: {folder}/")
            raise
    tell(console, told, errors, f": {folder}/")
    objects = {"objects": told.objects} if told.boxes else {}
    counts = {"images": told.count, "unreadable": len(errors)}
    return {**counts, "run_dir": str(folder), **objects}


def _work(
    cfg: Any,
    source: _Source,
    predictor: "Predictor",
    told: Told,
    errors: list[DataError],
    console: "Console",
) -> None:
    runtime = predictor.runtime
    classes, parts = predictor.classes, runtime.parts
    job = Job(source.places, source.files, runtime.says, classes, source.rate, parts)
    outputs = choose(cfg["formats"], job, cfg["annotations"])
    with (
        closing(source.entries(predictor, cfg, errors)) as entries,
        ExitStack() as stack,
        progress(console, source.noun, source.count) as show,
    ):
        for output in outputs:
            stack.enter_context(output)
        for entry in entries:
            for output in outputs:
                output.add(entry)
            told.add(entry)
            show(told.count + len(errors))
        if not told.count:
            first = f" ({errors[0]})" if errors else ""
            raise DataError(
                f"{cfg['source']}: none of {len(errors)} {source.noun} could be read{first}"
            )


class _Pictures:
    """Files as a source."""

    noun = "pictures"
    rate: float | None = None

    def __init__(self, files: list[Path], folder: Path) -> None:
        self.files: list[Path] = files
        self.count: int | None = len(files)
        self.places = Places(files, folder)

    def entries(self, predictor: "Predictor", cfg: Any, errors: list[DataError]) -> Entries:
        """Give each picture with what was found."""
        results = predictor.stream(self.files, errors=errors, **_options(cfg))
        for path, image, result in results:
            yield Entry(path, image, result, Path(path), self.places)


class _Frames:
    """A video or a camera as a source."""

    noun = "frames"

    def __init__(self, video: "Video", folder: Path, every: int, most: int | None) -> None:
        self._video, self._every, self._most = video, every, most
        self.files = [Path(video.name)]
        self.places = Places(self.files, folder, video=True)
        self.rate = video.rate / every if video.rate else None
        count = None if video.count is None else -(-video.count // every)
        self.count = most if count is None or (most and most < count) else count

    def entries(self, predictor: "Predictor", cfg: Any, errors: list[DataError]) -> Entries:
        """Give each frame with what was found."""
        results = predictor.watch(self._video, every=self._every, errors=errors, **_options(cfg))
        for n, (frame, result) in enumerate(results, 1):
            yield Entry(
                self._video.name, frame.image, result, frame.number, self.places, frame.seconds
            )
            if n == self._most:
                return


def _open(cfg: Any, stack: ExitStack) -> _Source:
    from visionkit.sources import find
    from visionkit.video import is_video, open_video

    folder = Path(cfg["run_dir"])
    if is_video(cfg["source"]):
        video = stack.enter_context(open_video(cfg["source"]))
        return _Frames(video, folder, cfg["every"], cfg["frames"])
    for key in _of_videos(cfg):
        raise ConfigError(f"{key}: is for videos and cameras, and source is none; leave it out")
    return _Pictures([f for f in find(cfg["source"]) if isinstance(f, Path)], folder)


def _of_videos(cfg: Any) -> list[str]:
    """Options for videos that are given."""
    return [key for key, usual in (("every", 1), ("frames", None)) if cfg[key] != usual]


def _options(cfg: Any) -> dict[str, Any]:
    from visionkit.build import plain

    how = {"batch_size": cfg["batch_size"], "workers": cfg["workers"]}
    options: dict[str, Any] = how | plain(cfg["predict"])
    return options


def _check_fit(cfg: Any, samples: bool) -> None:
    """Refuse pictures for a model that makes them from noise, and noise for one that wants them."""
    from visionkit.predictor import LOOKS_AT_NONE, MAKES_NONE

    if samples and cfg["source"] is not None:
        raise ConfigError(LOOKS_AT_NONE)
    if samples:
        given = [key for key in ("formats", "annotations") if cfg[key] is not None]
        if given := [*given, *_of_videos(cfg)]:
            raise ConfigError(
                f"{given[0]}: is for pictures that a model looks at, and this one makes them from "
                "noise; leave it out"
            )
        return
    for key in ("n", "seed", "label"):
        if cfg[key] is not None:
            raise ConfigError(f"{key}: {MAKES_NONE}")
    if cfg["source"] is None:
        raise ConfigError("source: missing; give this model pictures with source=IMAGE|DIR|GLOB")
