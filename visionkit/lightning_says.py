"""What Lightning says: the part that a person needs, in one line."""

import logging
import re
import warnings

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException

from visionkit.targets import first_line


def refusal(error: Exception, monitor: str) -> str | None:
    """What Lightning and its callbacks only find out while they run, None if it is a bug."""
    unknown = re.match(r"Early stopping conditioned on metric `(.+?)`", str(error))
    if unknown:
        return (
            f"callbacks: early stopping watches {unknown[1]!r}, which isn't measured; set its "
            f"monitor to another, such as {monitor!r}"
        )
    if re.search("gloo|NCCL", str(error)) and "peer" in str(error):
        return "trainer.devices: another process of this run failed; mend what it says"
    if isinstance(error, MisconfigurationException) or _of_lightning(error):
        return f"trainer: {first_line(error)}"
    return None


def _of_lightning(error: Exception) -> bool:
    """Whether Lightning itself refused a value, such as a ``val_check_interval`` out of range."""
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    module = last.tb_frame.f_globals.get("__name__", "") if last is not None else ""
    return isinstance(error, ValueError) and str(module).startswith("lightning.")


def quieten() -> None:
    """Leave out what Lightning says that tells a person nothing."""
    torch.set_float32_matmul_precision("high")
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for message in (
        ".*does not have many workers.*",
        ".*number of training batches.*smaller than the logging interval.*",
        ".*lr_scheduler.step.*before.*optimizer.step.*",
        ".*isinstance.treespec, LeafSpec.*",
        ".*directory.*exists and is not empty.*",
        ".*module\\(s\\) in eval mode at the start.*",  # frozen norms are meant to be
        ".*your dataloader is not resumable.*",  # the sampler resumes
        ".*recommended to use .self.log.*sync_dist=True.*",  # every rank has the same figures
    ):
        warnings.filterwarnings("ignore", message)
