"""What every task is: a model, and what its checkpoints say of themselves."""

import os
from typing import Any

import lightning
import numpy as np
import torch
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

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Seed dropout and its like by the step, so that a resumed run goes on alike."""
        seed = int(os.environ.get("PL_GLOBAL_SEED", "0"))
        words = (seed, self.current_epoch, batch_idx, self.global_rank)
        torch.manual_seed(int(np.random.SeedSequence(words).generate_state(1)[0]))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Make the checkpoint speak for itself."""
        checkpoint["visionkit"] = self.entry
