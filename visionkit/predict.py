"""Prediction as a command: drawn pictures, masks, predictions.json and a table."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from visionkit.errors import ConfigError, DataError
from visionkit.render import draw
from visionkit.report import write_json, write_mask, write_picture
from visionkit.results import Detections, Generated, Result, SemanticMask

if TYPE_CHECKING:
    from rich.console import Console

_ROWS = 24


class _Row(NamedTuple):
    """What the table says of a picture: results themselves may be large."""

    path: str
    found: str
    boxes: int | None = None
    best: str | None = None


def run(cfg: Any, console: "Console | None" = None) -> dict[str, Any]:
    """Predict for every picture of ``cfg.source`` and write what was found into ``cfg.run_dir``.

    Masks are written as PNGs of indices, see :func:`visionkit.report.write_mask`, into ``masks/``,
    pictures that were made of others into ``made/``; ``predictions.json`` has their place in
    ``cfg.run_dir``. For a model that makes pictures from noise see :mod:`visionkit.sampling`.

    Args:
        cfg: ``checkpoint``, ``source``, ``run_dir``, ``predict`` (options, null leaves what the
            model was trained with) and ``batch_size``; or ``n``, ``seed`` and ``label`` in the
            place of ``source``, for a model that makes pictures from noise.
        console: where the table goes; the screen unless given.

    Returns:
        ``images``, ``unreadable`` (counts), ``run_dir``, and ``objects`` where boxes were found.

    Raises:
        ConfigError: the model wants pictures and there is no ``source``, or the other way round.
        DataError: there is no picture, or none could be read.
        CheckpointError: the checkpoint can't be loaded.
    """
    from rich.console import Console

    from visionkit.build import plain
    from visionkit.predictor import load
    from visionkit.sources import find

    console = console or Console()
    # a misspelt path should not wait for the model
    files = None if cfg["source"] is None else find(cfg["source"])
    predictor = load(cfg["checkpoint"])
    _check_fit(cfg, predictor.model.samples)
    if files is None:
        from visionkit.sampling import run as make

        return make(cfg, predictor, console)
    folder = Path(cfg["run_dir"])
    names = picture_names([f for f in files if isinstance(f, Path)], folder)
    beside = {SemanticMask: mask_names(names, folder), Generated: mask_names(names, folder, "made")}
    errors: list[DataError] = []
    rows: list[_Row] = []
    records: list[dict[str, object]] = []
    options = plain(cfg["predict"])
    batches = predictor.stream(files, batch_size=cfg["batch_size"], errors=errors, **options)
    for path, image, result in batches:
        write_picture(names[Path(path)], draw(image, result), quality=92)
        height, width = image.shape[:2]
        record: dict[str, object] = {"file": path, "width": width, "height": height}
        if isinstance(result, SemanticMask | Generated):
            place = beside[type(result)][Path(path)]
            if isinstance(result, SemanticMask):
                write_mask(place, result.labels)
            else:
                write_picture(place, result.image)
            key = "mask" if isinstance(result, SemanticMask) else "made"
            record[key] = place.relative_to(folder).as_posix()
        records.append(record | result.to_dict())
        rows.append(_row(path, result))
    for error in errors:
        console.print(f"warning: {error}", style="yellow", markup=False, soft_wrap=True)
    if not rows:
        first = str(errors[0])
        raise DataError(f"{cfg['source']}: none of {len(errors)} pictures could be read ({first})")
    write_json(folder / "predictions.json", records)
    _print_table(console, rows)
    found = {}
    if rows[0].boxes is not None:
        found["objects"] = sum(row.boxes or 0 for row in rows)
    what = f"{found['objects']} objects in " if found else ""
    beside_them = {"mask": " and their masks", "made": " and what was made of them"}
    also = next((words for key, words in beside_them.items() if key in records[0]), "")
    left_out = f", {len(errors)} unreadable" if errors else ""
    console.print(
        f"{what}{len(rows)} pictures{also}{left_out}: {folder}/",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    return {
        "images": len(rows),
        "unreadable": len(errors),
        "run_dir": str(folder),
        **found,
    }


def picture_names(files: list[Path], folder: Path) -> dict[Path, Path]:
    """Choose for each file where its drawn picture goes: below ``folder``, none twice.

    Folders are kept from the last one that all files share, so that pictures of the same name stay
    apart; the drawn picture is a JPEG or, of a picture without loss, a PNG. A drawn picture never
    takes the place of a source, even if ``folder`` is where the sources lie.
    """
    absolute = {f: Path(os.path.abspath(f)) for f in files}
    parents = [str(p.parent) for p in absolute.values()]
    shared = Path(os.path.commonpath(parents)) if parents else folder
    taken = {os.path.realpath(p) for p in files}
    names: dict[Path, Path] = {}
    for file, path in absolute.items():
        suffix = ".jpg" if path.suffix.lower() in (".jpg", ".jpeg") else ".png"
        names[file] = _free(folder / path.relative_to(shared).with_suffix(""), suffix, taken)
    return names


def _check_fit(cfg: Any, samples: bool) -> None:
    """Refuse pictures for a model that makes them from noise, and noise for one that wants them."""
    if samples and cfg["source"] is not None:
        raise ConfigError(
            "source: this model makes pictures from noise and looks at none; leave it out, and say "
            "how many with n=64"
        )
    if samples:
        return
    for key in ("n", "seed", "label"):
        if cfg[key] is not None:
            raise ConfigError(
                f"{key}: this model makes no pictures from noise; leave it out and give pictures "
                "with source=IMAGE|DIR|GLOB"
            )
    if cfg["source"] is None:
        raise ConfigError("source: missing; give this model pictures with source=IMAGE|DIR|GLOB")


def mask_names(names: dict[Path, Path], folder: Path, below: str = "masks") -> dict[Path, Path]:
    """Choose for each file where its mask goes: below ``folder/masks``, none twice.

    It is called as the drawn picture is, and takes neither a source's place nor another picture's.

    Args:
        names: what :func:`picture_names` gave for ``folder``.
        folder: the run's.
        below: the folder in it, if not ``masks``.
    """
    taken = {os.path.realpath(p) for p in (*names, *names.values())}
    bases = {f: drawn.relative_to(folder).with_suffix("") for f, drawn in names.items()}
    return {f: _free(folder / below / base, ".png", taken) for f, base in bases.items()}


def _free(base: Path, suffix: str, taken: set[str]) -> Path:
    """A file of that name, with a number if it is taken; it is taken from now on."""
    target, n = base.with_name(base.name + suffix), 1
    while os.path.realpath(target) in taken:
        n += 1
        target = base.with_name(f"{base.name}_{n}{suffix}")
    taken.add(os.path.realpath(target))
    return target


def _row(path: str, result: Result) -> _Row:
    if not isinstance(result, Detections):
        return _Row(path, result.summary())
    best = f"{result.scores.max():.2f}" if len(result) else "-"
    return _Row(path, result.summary(), len(result), best)


def _print_table(console: "Console", rows: list[_Row]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("picture", overflow="ellipsis", no_wrap=True, max_width=48)
    table.add_column("found", overflow="fold")
    if rows[0].best is not None:
        table.add_column("best", justify="right")
    for row in rows[:_ROWS]:
        name = row.path if len(row.path) <= 48 else "..." + row.path[-45:]
        cells = [name, row.found] if row.best is None else [name, row.found, row.best]
        table.add_row(*map(Text, cells))
    console.print(table)
    if len(rows) > _ROWS:
        console.print(f"... and {len(rows) - _ROWS} more pictures", style="dim")
