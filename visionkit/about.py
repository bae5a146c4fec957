"""What an exported file says of itself: all that is needed to use it. No torch."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from visionkit.errors import CheckpointError

FORMAT = 1
PREFIX = "visionkit."
"""Of the keys among an ONNX file's metadata; each value is JSON."""
DECODES = ("nms", "topk", "raw")
"""How far boxes are worked out inside the file."""
JOINT = "joint"
"""What a network with several heads answers with."""
BETWEEN = "/"
"""Stands between a part's name and what the part gives, in the names of outputs."""


@dataclass(frozen=True)
class Sizes:
    """Which pictures a file takes.

    Attributes:
        batch: whether any number of them at once; else one.
        canvas: whether canvases of any size; else the training run's alone.
        multiple: of which both sides are multiples, where any size is taken.
        least: the smallest side, where any size is taken.
    """

    batch: bool = True
    canvas: bool = True
    multiple: int = 1
    least: int = 64


@dataclass(frozen=True)
class About:
    """All that must be known to run an exported file as its checkpoint is run.

    The input ``images`` is [B, 3, H, W] uint8 RGB, letterboxed as ``preprocess`` says; what is made
    from noise takes ``z`` [B, latent] float32 and, where ``conditional``, ``labels`` [B, K]
    float32. The outputs, by ``says`` and ``decode``:

    ``boxes``: ``boxes`` [B, N, 4] float32 in canvas pixels, ``scores`` [B, N] float32, best first,
    -1 where there is no box, ``labels`` [B, N] int64; with ``decode=topk`` they aren't suppressed,
    with ``raw`` they are all that the head says: ``scores`` [B, N, K], and no ``labels``.
    ``classes``: ``probabilities`` [B, K]; raw: ``logits``.
    ``masks``: ``probabilities`` [B, K, H, W] of each pixel of the canvas; raw: ``logits``
    [B, K, h, w].
    ``pictures`` and ``noise``: ``pictures`` [B, 3, H, W] uint8 RGB.
    ``joint``: the outputs of each of ``parts``, such as ``detection/boxes``.

    Attributes:
        task: such as ``detection``.
        says: see :class:`visionkit.runtimes.base.Runtime`.
        decode: ``nms``, ``topk`` or ``raw``; ``nms`` where it makes no difference.
        classes: names by label.
        preprocess: ``canvas`` (height, width), ``colour`` (``RGB``), ``range`` (0 to 255),
            ``pad`` (RGB), ``letterbox`` (in words).
        predict: options of the training run, or those given to the export: what holds unless
            somebody says otherwise. ``iou`` and ``max_detections`` are built in with ``nms``.
        floor: boxes of lower scores aren't given.
        sizes: which pictures are taken.
        exclusive: whether classes exclude each other.
        conditional: see :class:`visionkit.runtimes.base.Runtime`.
        latent: likewise.
        candidates: how many boxes of a picture are looked at outside, with ``raw``.
        suppresses: whether boxes that overlap better ones are left out, in the file or outside.
        precision: ``fp32``, ``fp16`` or ``int8``.
        data: the training run's data configuration, plain.
        evaluator: the training run's evaluator configuration, plain.
        run: the checkpoint's file name, its SHA-256 and the epoch, as far as they are known.
        versions: of the packages that trained and exported it.
        parts: of a joint network, by the name of each part: what is said of it in the place of
            what is said of the whole (``says``, ``classes``, ``predict`` and other attributes), see
            :meth:`part`; empty of others.
        format: of this entry.
    """

    task: str
    says: str
    decode: str
    classes: tuple[str, ...]
    preprocess: Mapping[str, Any]
    predict: Mapping[str, Any]
    floor: float = 0.0
    sizes: Sizes = field(default_factory=Sizes)
    exclusive: bool = True
    conditional: bool = False
    latent: int = 0
    candidates: int = 1000
    suppresses: bool = True
    precision: str = "fp32"
    data: Mapping[str, Any] = field(default_factory=dict)
    evaluator: Mapping[str, Any] | None = None
    run: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    parts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    format: int = FORMAT

    @property
    def canvas(self) -> tuple[int, int]:
        """Height and width of the training run's canvas."""
        height, width = self.preprocess["canvas"]
        return height, width

    def part(self, name: str) -> "About":
        """Return what would be said of a file with nothing but this part of a joint network."""
        said = dict(self.parts[name])
        return replace(self, **said | {"classes": tuple(said["classes"]), "parts": {}})

    def strings(self) -> dict[str, str]:
        """Return texts by key, as ONNX metadata are: each a value in JSON."""
        return {PREFIX + key: json.dumps(value) for key, value in asdict(self).items()}


def from_strings(texts: Mapping[str, str], name: str) -> About:
    """Read what :meth:`About.strings` gave; keys of others are passed over.

    Args:
        texts: by key.
        name: of the file, for messages.

    Raises:
        CheckpointError: it isn't there, or from a newer visionkit.
    """
    try:
        found = {k[len(PREFIX) :]: json.loads(v) for k, v in texts.items() if k.startswith(PREFIX)}
    except ValueError as error:
        raise CheckpointError(
            f"{name}: what it says of itself can't be read; export it again"
        ) from error
    if not found:
        raise CheckpointError(
            f"{name}: visionkit didn't export this file (it says nothing of its classes and "
            "sizes); give one that visionkit export wrote"
        )
    return from_plain(found, name)


def from_plain(found: Mapping[str, Any], name: str) -> About:
    """Read a mapping, as ``asdict`` gives it; see :func:`from_strings`."""
    if found.get("format") != FORMAT:
        raise CheckpointError(
            f"{name}: export format {found.get('format')}, this visionkit reads {FORMAT}; export "
            "it again"
        )
    known = {f.name for f in fields(About)}
    try:
        values = {k: v for k, v in found.items() if k in known}
        values["sizes"] = Sizes(**values["sizes"])
        values["classes"] = tuple(values["classes"])
        about = About(**values)
        for part in about.parts:
            about.part(part)
        return about
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(
            f"{name}: what it says of itself is damaged ({error}); export it again"
        ) from error
