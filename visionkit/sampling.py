"""Pictures from noise as a command: one by one, as a grid, as a walk, and truncated."""

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from visionkit.errors import ConfigError
from visionkit.geometry import Image
from visionkit.options import PredictOptions, options_from
from visionkit.render.generated import grid, titled_rows
from visionkit.render.panels import enlarged, enlargement
from visionkit.report import write_animation, write_json, write_picture
from visionkit.results import Generated
from visionkit.runtimes.base import Float, latents, one_hot

if TYPE_CHECKING:
    from rich.console import Console

    from visionkit.predictor import Predictor

COUNT = 64
TRUNCATIONS = (0.4, 0.55, 0.7, 0.85, 1.0)
_SHOWN = 100
_ROW = 8
_LEGS = 5
_STEPS = 12
_FRAME = 80
_WALK = 512


def run(cfg: Any, predictor: "Predictor", console: "Console") -> dict[str, Any]:
    """Make pictures and write them into ``cfg.run_dir``.

    ``made/<seed>.png``, each picture (those of other seeds, that an earlier command left, are taken
    away); ``grid.png``, the first hundred together; ``predictions.json``; ``latent_walk.gif`` and
    ``latent_walk.png``, the way from one seed's noise to the next one's, five times and back to the
    first; ``truncation.png``, what truncation does to eight of them (of an exported file, which has
    one value built in, with that alone).

    Args:
        cfg: ``n``, ``seed``, ``label``, ``predict.truncation`` (null: see ``conf/predict.yaml``),
            ``batch_size`` and ``run_dir``.
        predictor: with a model that makes pictures from noise.
        console: says what was written.

    Returns:
        ``images``, a count, and ``run_dir``.

    Raises:
        ConfigError: the model can't follow an option, or has no such class.
        DataError: the folder can't be written.
    """
    from visionkit.build import plain

    options = options_from(plain(cfg["predict"]), predictor.options)
    predictor.runtime.check_options(options)
    folder = Path(cfg["run_dir"])
    count, seed = cfg["n"] or COUNT, cfg["seed"] or 0
    size, label, truncation = cfg["batch_size"], cfg["label"], options.truncation
    records: list[dict[str, object]] = []
    shown: list[Generated] = []
    for start in range(0, count, size):
        few = min(size, count - start)
        for picture in predictor.sample(few, seed + start, label, truncation, size):
            name = f"made/{picture.seed}.png"
            write_picture(folder / name, picture.image)
            height, width = picture.image.shape[:2]
            record: dict[str, object] = {"made": name, "width": width, "height": height}
            records.append(record | picture.to_dict() | {"truncation": truncation})
            shown = [*shown, picture] if len(shown) < _SHOWN else shown
    _leave_only(folder / "made", range(seed, seed + count))
    write_picture(folder / "grid.png", grid(shown))
    write_json(folder / "predictions.json", records)
    values = sorted({*TRUNCATIONS, truncation})
    sweep = [t for t in values if _follows(predictor, replace(options, truncation=t))]
    rows = [predictor.sample(_ROW, seed, label, t, size) for t in sweep]
    write_picture(folder / "truncation.png", titled_rows(rows, [f"{t:g}" for t in sweep]))
    frames = walk(predictor, range(seed, seed + _LEGS), _STEPS, label, truncation, size)
    _write_walk(folder, frames, [str(seed + n) for n in range(_LEGS)])
    last = f" to {seed + count - 1}" if count > 1 else ""
    told = f"{count} pictures of the seeds" if count > 1 else "1 picture of the seed"
    console.print(
        f"{told} {seed}{last}, grid.png, latent_walk.gif and truncation.png: {folder}/",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    return {"images": count, "run_dir": str(folder)}


def _follows(predictor: "Predictor", options: PredictOptions) -> bool:
    """Whether the model can: an exported file has its truncation built in."""
    try:
        predictor.runtime.check_options(options)
    except ConfigError:
        return False
    return True


def _leave_only(folder: Path, seeds: range) -> None:
    """Take pictures of other seeds away, which an earlier command made; nothing else."""
    for file in folder.glob("*.png"):
        name = file.stem
        ours = re.fullmatch("0|[1-9][0-9]*", name) and file.is_file()
        if ours and int(name) not in seeds:
            file.unlink()


def _write_walk(folder: Path, frames: list[Image], titles: list[str]) -> None:
    factor = 2 * enlargement(frames[0])
    factor = factor if min(frames[0].shape[:2]) * factor <= _WALK else 1
    write_animation(folder / "latent_walk.gif", (enlarged(f, factor) for f in frames), _FRAME)
    strip = [Generated(frame) for frame in frames[::2]]
    rows = [strip[i : i + _STEPS // 2] for i in range(0, len(strip), _STEPS // 2)]
    write_picture(folder / "latent_walk.png", titled_rows(rows, titles))


def walk(
    predictor: "Predictor",
    seeds: Sequence[int],
    steps: int,
    label: int | str | None = None,
    truncation: float = 1.0,
    batch_size: int = 32,
) -> list[Image]:
    """Go from one seed's noise to the next one's, and from the last one's back to the first.

    Args:
        predictor: with a model that makes pictures from noise.
        seeds: at least one.
        steps: pictures from each to the next, the first included.
        label: the class that is wanted; None for each in turn, mixed on the way between two.
        truncation: see :class:`visionkit.generators.base.Generator`.
        batch_size: pictures computed at once.

    Returns:
        ``steps`` pictures for each seed, [H, W, 3] uint8 RGB.
    """
    runtime, count = predictor.runtime, max(1, len(predictor.classes))
    chosen = predictor.numbers(label, len(seeds)) or [s % count for s in seeds]
    ends, classes = latents(seeds, runtime.latent), None
    if runtime.conditional:
        classes = one_hot(chosen, count)
    rows, mixed = [], []
    for n in range(len(seeds)):
        after = (n + 1) % len(seeds)
        for part in (k / steps for k in range(steps)):
            rows.append(slerp(ends[n], ends[after], part))
            if classes is not None:
                mixed.append(_between(classes[n], classes[after], part))
    frames: list[Image] = []
    for start in range(0, len(rows), batch_size):
        z = np.stack(rows[start : start + batch_size])
        values = np.stack(mixed[start : start + batch_size]) if mixed else None
        frames += runtime.make(z, values, truncation)
    return frames


def _between(a: Float, b: Float, part: float) -> Float:
    return (a + part * (b - a)).astype(np.float32)


def slerp(a: Float, b: Float, part: float) -> Float:
    """Go along the great circle from ``a`` to ``b`` (Shoemake 1985): normal noise keeps its length.

    Args:
        a: [D].
        b: [D].
        part: of the way, 0..1.
    """
    cosine = np.dot(a, b) / (np.linalg.norm(a) * np.linalg.norm(b))
    angle = math.acos(max(-1.0, min(1.0, float(cosine))))
    if math.sin(angle) < 1e-4:
        return _between(a, b, part)
    near, far = math.sin((1 - part) * angle), math.sin(part * angle)
    return ((near * a + far * b) / math.sin(angle)).astype(np.float32)
