"""From plain specifications to networks."""

from collections.abc import Mapping, Sequence
from typing import Any

from visionkit.backbones.base import Backbone
from visionkit.backbones.norms import tolerate_single
from visionkit.build import PACKAGES, build, expect
from visionkit.errors import ConfigError
from visionkit.generators.base import Generator, Translator, halvings
from visionkit.heads.discriminator import DiscriminatorHead
from visionkit.models.base import Network
from visionkit.models.critic import Critic, seeing
from visionkit.models.joint import build_joint
from visionkit.models.model import build_model, freeze_idle
from visionkit.necks.base import Neck

MOST_STAGES = 6
"""Strides of maps end at 64."""


def build_network(
    spec: Mapping[str, Any],
    num_classes: int | Mapping[str, int],
    canvas: tuple[int, int],
    channels: int = 3,
    *,
    packages: Sequence[str] = PACKAGES,
    allow: Sequence[str] = (),
) -> Network:
    """Build whatever network a specification describes.

    Args:
        spec: plain nodes ``backbone``, ``neck`` and ``head``; with ``gan`` and ``generator`` they
            are the critic's, see :mod:`visionkit.models.gan`; with ``parts``, each of which has
            ``neck`` and ``head``, see :func:`visionkit.models.joint.build_joint`.
        num_classes: K, or that of each part.
        canvas: height and width of the pictures.
        channels: of the pictures that are made: 1 for grey ones.
        packages: what targets may come from.
        allow: more of them.

    Raises:
        ConfigError: parts don't fit, or the data aren't labelled for them.
    """
    if spec.get("parts"):
        return build_joint(spec, num_classes, packages=packages, allow=allow)
    if not isinstance(num_classes, int):
        raise ConfigError(
            f"data: this set has labels for {', '.join(num_classes)}, and this network learns one "
            "kind; choose a task with parts=, or another data="
        )
    if spec.get("gan") is None:
        return build_model(spec, num_classes, packages=packages, allow=allow)
    where: dict[str, Any] = {"packages": tuple(packages), "allow": tuple(allow)}

    def generator(classes: int | None = None) -> Generator | Translator:
        given: dict[str, Any] = {} if classes is None else {"num_classes": classes}
        made = build(
            spec["generator"], "generator", **where, canvas=canvas, channels=channels, **given
        )
        kind = Generator if isinstance(made, Generator) else Translator
        return expect(made, kind, "generator")  # type: ignore[no-any-return]

    def critic(classes: int = 0, pictures: int = 1, size: int | None = None) -> Critic:
        return build_critic(spec, canvas, classes, pictures, size, **where)

    gan = build(
        spec["gan"], "gan", **where, generator=generator, critic=critic, num_classes=num_classes
    )
    return expect(gan, Network, "gan")  # type: ignore[no-any-return]


def build_critic(
    spec: Mapping[str, Any],
    canvas: tuple[int, int],
    num_classes: int = 0,
    pictures: int = 1,
    size: int | None = None,
    **where: Any,
) -> Critic:
    """Build a critic from the nodes ``backbone``, ``neck`` and ``head``.

    A backbone's ``stages: auto`` becomes as many as halve what it sees down to a small map, at most
    6 (a stride of 64), its ``in_channels: auto`` those of the pictures that are seen together.

    Args:
        spec: the plain nodes.
        canvas: height and width of the pictures.
        num_classes: K, 0 for a critic that isn't told the class.
        pictures: that are seen together.
        size: of their shorter side, as the backbone sees them; None as they are.
        where: packages, see :func:`build_network`.

    Raises:
        ConfigError: parts don't fit, or the backbone sees another number of pictures.
    """
    node = dict(spec["backbone"])
    if node.get("stages") == "auto":
        stages = halvings(canvas if size is None else (size, size))
        node["stages"] = min(max(1, stages), MOST_STAGES)
    if node.get("in_channels") == "auto":
        node["in_channels"] = 3 * pictures
    backbone: Backbone = expect(build(node, "backbone", **where), Backbone, "backbone")
    made = build(spec["neck"], "neck", **where, in_features=backbone.features)
    neck: Neck = expect(made, Neck, "neck")
    features = neck.features
    if pictures > 1 and backbone.in_channels == 3:
        features = tuple(type(f)(f.name, f.channels * pictures, f.stride) for f in features)
    made = build(spec["head"], "head", **where, in_features=features, num_classes=num_classes)
    head: DiscriminatorHead = expect(made, DiscriminatorHead, "head")
    freeze_idle(backbone, neck, head.used)
    critic = Critic(backbone, neck, head, size)
    tolerate_single(critic)
    return seeing(critic, pictures)
