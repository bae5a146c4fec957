"""Prediction as a command: drawn pictures, predictions.json and a table."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from visionkit.errors import DataError
from visionkit.render import draw
from visionkit.report import write_json, write_picture
from visionkit.results import Detections, Result

if TYPE_CHECKING:
    from rich.console import Console

_ROWS = 24


def run(cfg: Any, console: "Console | None" = None) -> dict[str, Any]:
    """Predict for every picture of ``cfg.source`` and write what was found into ``cfg.run_dir``.

    Args:
        cfg: ``checkpoint``, ``source``, ``run_dir``, ``predict`` (options, null leaves what the
            model was trained with) and ``batch_size``.
        console: where the table goes; the screen unless given.

    Returns:
        ``images``, ``unreadable`` (counts), ``run_dir``, and ``objects`` where boxes were found.

    Raises:
        DataError: there is no picture, or none could be read.
        CheckpointError: the checkpoint can't be loaded.
    """
    from rich.console import Console

    from visionkit.predictor import load
    from visionkit.sources import find

    console = console or Console()
    files = find(cfg["source"])  # a misspelt path should not wait for the model
    predictor = load(cfg["checkpoint"])
    options = {k: v for k, v in dict(cfg["predict"]).items() if v is not None}
    folder = Path(cfg["run_dir"])
    names = picture_names([f for f in files if isinstance(f, Path)], folder)
    errors: list[DataError] = []
    rows: list[tuple[str, Result]] = []
    records: list[dict[str, object]] = []
    batches = predictor.stream(files, batch_size=cfg["batch_size"], errors=errors, **options)
    for path, image, result in batches:
        write_picture(names[Path(path)], draw(image, result), quality=92)
        height, width = image.shape[:2]
        records.append({"file": path, "width": width, "height": height, **result.to_dict()})
        rows.append((path, result))
    for error in errors:
        console.print(f"warning: {error}", style="yellow", markup=False, soft_wrap=True)
    if not rows:
        first = str(errors[0])
        raise DataError(f"{cfg['source']}: none of {len(errors)} pictures could be read ({first})")
    write_json(folder / "predictions.json", records)
    _print_table(console, rows)
    found = {"objects": sum(len(r) for _, r in rows if isinstance(r, Detections))}
    if not isinstance(rows[0][1], Detections):
        found = {}
    what = f"{found['objects']} objects in " if found else ""
    left_out = f", {len(errors)} unreadable" if errors else ""
    console.print(
        f"{what}{len(rows)} pictures{left_out}: {folder}/",
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
        base = folder / path.relative_to(shared).with_suffix("")
        target, n = base.with_name(base.name + suffix), 1
        while os.path.realpath(target) in taken:
            n += 1
            target = base.with_name(f"{base.name}_{n}{suffix}")
        taken.add(os.path.realpath(target))
        names[file] = target
    return names


def _print_table(console: "Console", rows: list[tuple[str, Result]]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("picture", overflow="ellipsis", no_wrap=True, max_width=48)
    table.add_column("found", overflow="fold")
    if isinstance(rows[0][1], Detections):
        table.add_column("best", justify="right")
    for path, result in rows[:_ROWS]:
        name = path if len(path) <= 48 else "..." + path[-45:]
        cells = [Text(name), Text(result.summary())]
        if isinstance(result, Detections):
            cells.append(Text(f"{result.scores.max():.2f}" if len(result) else "-"))
        table.add_row(*cells)
    console.print(table)
    if len(rows) > _ROWS:
        console.print(f"... and {len(rows) - _ROWS} more pictures", style="dim")
