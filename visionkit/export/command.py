"""Export as a command: a file, and the proof that it is the model that was evaluated."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from visionkit.about import BETWEEN, About
from visionkit.build import plain
from visionkit.checkpoint import Loaded, load_model, read
from visionkit.errors import ConfigError
from visionkit.evaluate import evaluator_of, open_data
from visionkit.export.build import build_file, origin
from visionkit.export.parity import proving_options, spread, tolerance
from visionkit.export.precision import Inputs, to_fp16, to_int8
from visionkit.export.proof import prove_file, splits_of
from visionkit.export.tracing import said
from visionkit.export.worth import Verdict, keep_if_worth_it, weigh
from visionkit.geometry import Letterbox
from visionkit.predictor import load_runtime
from visionkit.report import write_json
from visionkit.runtimes.base import latents, one_hot
from visionkit.runtimes.exported import ExportedRuntime
from visionkit.runtimes.network import NetworkRuntime
from visionkit.subjects import CheckpointSubject, FileSubject, load_subject
from visionkit.tasks.scoring import make_evaluator

if TYPE_CHECKING:
    from rich.console import Console

ENDS = {"onnx": ".onnx", "program": ".pt2", "openvino": ".xml"}
BESIDE: Mapping[str, tuple[str, ...]] = {".onnx": (), ".pt2": (".json",), ".xml": (".bin",)}
"""What a file of each kind has beside it, under the same name."""
TIMED = 8
"""Pictures that files are timed with."""
_JUDGED = {"boxes": "unmatched", "classes": "probabilities", "masks": "masks"}
"""Without which of a proof's differences nothing would be proven, by what a model says."""
DRAFT, DONE = "unproven", "model"
"""What the file is called before it is proven, and then."""


def run(cfg: Any, console: "Console | None" = None) -> Path:
    """Export a checkpoint into ``cfg.run_dir`` and prove the file.

    ``model.onnx``, ``model.pt2`` (with ``model.json``) or ``model.xml`` (with ``model.bin``);
    ``parity.json``, see :func:`visionkit.export.proof.prove_file`; of eight bits ``int8.json``,
    see :class:`visionkit.export.worth.Verdict`. A file that fails its proof keeps the name
    ``unproven``. With ``proof.images=0 proof.scored=0`` there is no proof: the file is told to be
    unproven, and gets its name. What an earlier run left in the folder of these is removed first.

    Args:
        cfg: a composed ``export`` configuration.
        console: to print on; the screen unless given.

    Returns:
        The file.

    Raises:
        ParityError: the file doesn't say what the checkpoint says.
        VisionkitError: anything else that the person can mend.
    """
    from rich.console import Console

    settings: dict[str, Any] = plain(cfg)
    console = console or Console()
    _check(settings)
    path, folder = settings["checkpoint"], Path(settings["run_dir"])
    content = read(path)
    loaded = load_model(path, content)
    proven = bool(settings["proof"]["images"]) or settings["proof"]["scored"] != 0
    if proven:  # a misspelt folder should not wait for the file
        _check_judged(loaded, settings)
        open_data(CheckpointSubject(loaded), settings, *splits_of(settings))
    if settings["precision"] == "int8" and loaded.model.says != "noise":
        open_data(CheckpointSubject(loaded), settings, "train")
    folder.mkdir(parents=True, exist_ok=True)
    _clear(folder)
    about = _write(loaded, settings, folder, origin(path, content), console)
    file = folder / f"{DRAFT}{ENDS[settings['format']]}"
    runtime = cast(ExportedRuntime, load_runtime(file, "cpu"))
    if proven:
        prove_file(loaded, runtime, settings, folder, console, str(_done(file)))
    for part in _parts(file):
        part.replace(_done(part))
    file = _done(file)
    size = sum(part.stat().st_size for part in _parts(file)) / 1e6
    told = "proven on pictures of the data" if proven else "not proven, as proof.images=0 asks"
    console.print(
        f"{file}: {about.precision}, {size:.1f} MB, takes {said(about.sizes)}; {told}",
        highlight=False,
        soft_wrap=True,
        markup=False,
    )
    return file


def _check(settings: Mapping[str, Any]) -> None:
    """Refuse what goes together with nothing, before anything is built."""
    if settings["format"] == "program" and settings["precision"] != "fp32":
        raise ConfigError(
            f"precision: {settings['precision']} is for format=onnx and openvino; leave it fp32"
        )
    if settings["aot"] and settings["format"] != "program":
        raise ConfigError("aot: only format=program can be compiled ahead of time; leave it false")


def _check_judged(loaded: Loaded, settings: Mapping[str, Any]) -> None:
    """Refuse a proof that nothing could fail.

    Raises:
        ConfigError: as it says.
    """
    proof, precision = settings["proof"], settings["precision"]
    if proof["scored"] != 0 and loaded.evaluator is not None:
        return
    said = {part.says for part in NetworkRuntime(loaded, "cpu").parts.values()}
    names = [_JUDGED.get(says, "pictures") for says in said or {loaded.model.says}]
    if not proof["images"] or not {*names} <= tolerance(precision, proof).keys():
        raise ConfigError(
            f"proof: nothing of a file in {precision} is judged so; leave proof.scored=null, of a "
            "checkpoint with an evaluator, or take precision=fp32 and proof.images=12, or no proof "
            "by proof.images=0 proof.scored=0"
        )


def _write(
    loaded: Loaded,
    settings: Mapping[str, Any],
    folder: Path,
    run: Mapping[str, Any],
    console: "Console",
) -> About:
    """Write the file, as yet unproven, and return what it says of itself."""
    kind = "program" if settings["format"] == "program" else "onnx"
    file = folder / f"{DRAFT}{ENDS[kind]}"
    console.print(f"tracing the network for {file.suffix} ...", highlight=False)
    about = build_file(
        loaded,
        file,
        kind,  # type: ignore[arg-type]
        settings["decode"],
        predict=settings["predict"],
        dynamic=settings["dynamic"],
        run=run,
        aot=settings["aot"],
    )
    if settings["precision"] == "fp16":
        to_fp16(file, file)
    elif settings["precision"] == "int8":
        _in_eight_bits(file, loaded, about, settings, console)
    if settings["format"] == "openvino":
        from visionkit.export.openvino import to_openvino

        to_openvino(file, file.with_suffix(".xml"))
        file.unlink()
        file = file.with_suffix(".xml")
    return cast(ExportedRuntime, load_runtime(file, "cpu")).about


def _in_eight_bits(
    file: Path, loaded: Loaded, about: About, settings: Mapping[str, Any], console: "Console"
) -> Verdict:
    """Put a file of eight bits in the place of ``file``, if it is worth it."""
    small = file.with_name("int8.onnx")
    try:
        to_int8(file, small, _examples(loaded, about, settings, settings["int8"]["images"]))
        score, falling = _scoring(loaded, settings)
        timed = list(_examples(loaded, about, settings, TIMED))
        verdict = weigh(file, small, timed, score, falling=falling, most=settings["int8"]["drop"])
        keep_if_worth_it(file, small, verdict)
    finally:
        small.unlink(missing_ok=True)
    told = asdict(verdict)
    if verdict.drop is not None and not math.isfinite(verdict.drop):  # JSON knows no NaN
        told |= {"drop": None, "figures": None}
    write_json(file.with_name("int8.json"), told, indent=2)
    kept = "kept" if verdict.kept else "not kept, the file stays fp32"
    console.print(f"int8: {verdict.why}: {kept}", highlight=False, soft_wrap=True)
    return verdict


def _examples(
    loaded: Loaded, about: About, settings: Mapping[str, Any], count: int
) -> Iterator[Inputs]:
    """What a network sees in training, one at a time: pictures on its canvas, or noise."""
    if about.says == "noise":
        z = latents(range(count), about.latent)
        classes = one_hot([n % len(about.classes) for n in range(count)], len(about.classes))
        more = [{"labels": classes[n : n + 1]} if about.conditional else {} for n in range(count)]
        yield from ({"z": z[n : n + 1], **more[n]} for n in range(count))
        return
    truth = open_data(CheckpointSubject(loaded), settings, "train")
    index: Any = truth.index
    for place in spread(index, count):
        image = index.image(place)
        canvas = Letterbox((image.shape[0], image.shape[1]), about.canvas).apply(image)
        yield {"images": np.ascontiguousarray(canvas.transpose(2, 0, 1))[None]}


def _scoring(loaded: Loaded, settings: Mapping[str, Any]) -> tuple[Any, Any]:
    """Return what gives the judged figures of a file on the split, and which of them fall."""
    subject, wanted = CheckpointSubject(loaded), settings["proof"]["scored"]
    if wanted == 0 or subject.evaluator is None:
        return None, ()
    truth = open_data(subject, settings, *splits_of(settings))
    truth.leave_only(spread(truth.index, wanted))
    factory = evaluator_of(subject, settings)
    parts = make_evaluator(factory, truth.data, truth.split)
    each = {f"{name}{BETWEEN}": part for name, part in parts.parts.items()} or {"": parts}
    falling = {start + part.monitor for start, part in each.items() if part.mode == "min"}

    def score(path: Path) -> dict[str, float]:
        evaluator = make_evaluator(factory, truth.data, truth.split)
        file = cast(FileSubject, load_subject(path))
        file.follow(proving_options(file.about), file.canvas)
        figures = file.score(truth.data.eval_dataloader(truth.split), evaluator)
        return {name: figures[name] for name in evaluator.judged}

    return score, falling


def _parts(file: Path) -> Sequence[Path]:
    """A file, and what belongs to it."""
    return [file, *(file.with_suffix(end) for end in BESIDE[file.suffix])]


def _done(file: Path) -> Path:
    """What a file, or what belongs to it, is called in the end."""
    return file.with_name(f"{DONE}{file.suffix}")


def _clear(folder: Path) -> None:
    """Remove what an earlier run said, and its file that wasn't proven."""
    drafts = [part for end in BESIDE for part in _parts(folder / f"{DRAFT}{end}")]
    for old in (*drafts, *(folder / name for name in ("parity.json", "int8.json", "int8.onnx"))):
        old.unlink(missing_ok=True)
