"""What makes training samples, whatever the task."""

import numpy as np

from visionkit.batch import Batch


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
