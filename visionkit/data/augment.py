"""What makes training samples, whatever the task."""

from typing import TypeVar

import numpy as np

from visionkit.batch import Batch
from visionkit.errors import ConfigError


class Augment:
    """Random changes to the pictures of a training split; as it is, none.

    Attributes:
        close: the last part of the schedule, 0..1, whose samples are whole pictures (see
            :class:`visionkit.data.samplers.SampleKey`).
    """

    close: float = 0.0

    def mix(self, batch: Batch, rng: np.random.Generator) -> Batch:
        """Change a whole batch on the device; the same for the same ``rng``."""
        return batch


Kind = TypeVar("Kind", bound=Augment)


def suited(augment: Augment | None, kind: type[Kind], pictures: str, *choices: str) -> Kind | None:
    """Return what makes training samples of a set, None where nothing is to be changed.

    Args:
        augment: as it was chosen.
        kind: what the set's samples need.
        pictures: the set's, in words.
        choices: names in the group ``augment`` that are of this kind.

    Raises:
        ConfigError: it is of another kind.
    """
    if augment is None or type(augment) is Augment:  # augment=none
        return None
    if not isinstance(augment, kind):
        named = ", ".join(f"augment={name}" for name in choices)
        raise ConfigError(
            f"augment: {type(augment).__name__} isn't for {pictures}; choose {named} or "
            "augment=none"
        )
    return augment
