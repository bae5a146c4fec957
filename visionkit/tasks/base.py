"""What every task is: a model, and what its checkpoints say of themselves."""

from typing import Any

import lightning
from torch import nn


class Task(lightning.LightningModule):
    """A Lightning module around ``model``.

    Args:
        name: of the task, such as ``detection``.
        model: the network.
        entry: the plain ``visionkit`` entry of checkpoints, see :mod:`visionkit.checkpoint`.
    """

    def __init__(self, name: str, model: nn.Module, entry: dict[str, Any]) -> None:
        super().__init__()
        self.name, self.model, self.entry = name, model, entry

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Make the checkpoint speak for itself."""
        checkpoint["visionkit"] = self.entry
