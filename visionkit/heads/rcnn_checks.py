"""Options of a two-stage detector that don't go together."""

from collections.abc import Sequence

from visionkit.backbones.base import FeatureSpec
from visionkit.errors import ConfigError


def shared_channels(features: Sequence[FeatureSpec]) -> int:
    """Return the channels of every map; a ConfigError where they differ."""
    channels = {f.channels for f in features}
    if len(channels) > 1:
        raise ConfigError(
            "head: the maps of Faster R-CNN share their layers, so they need the same channels; "
            f"got {', '.join(str(f.channels) for f in features)}; choose neck=fpn"
        )
    return channels.pop()


def anchor_sizes(sizes: Sequence[float] | None, strides: Sequence[int]) -> tuple[float, ...]:
    """Return a size in pixels for each stride; a ConfigError where their numbers differ."""
    if sizes is None:
        return tuple(8.0 * stride for stride in strides)
    if len(sizes) != len(strides):
        raise ConfigError(
            f"head.anchor_sizes: {len(sizes)} given for {len(strides)} strides; give one for each, "
            "or null for 8 strides"
        )
    return tuple(sizes)


def anchor_ratios(ratios: Sequence[float]) -> tuple[float, ...]:
    """Return the ratios; a ConfigError where there is none."""
    if not ratios:
        raise ConfigError(
            "head.anchor_ratios: [] leaves no anchor; give heights over widths, as [0.5, 1, 2]"
        )
    return tuple(ratios)


def box_ious(cascade: Sequence[float] | None) -> tuple[float, ...]:
    """Return the IoU of each box head; a ConfigError where there is none, or they fall."""
    ious = (0.5,) if cascade is None else tuple(cascade)
    if not ious or list(ious) != sorted(ious):
        raise ConfigError(
            f"head.cascade_ious: {list(ious)} must be ascending and not empty; give "
            "[0.5, 0.6, 0.7], or null for a single box head"
        )
    return ious


def most_positives(samples: int, part: float) -> int:
    """Return how many of a picture's samples may be objects; a ConfigError for none."""
    most = int(samples * part)
    if most < 1:
        raise ConfigError(
            f"head.samples: of {samples} boxes head.positives={part:g} lets none be an object, so "
            "no class could be learnt; give more of either, a product of at least 1"
        )
    return most
