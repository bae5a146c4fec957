"""What Lightning's loop is told besides what a person says."""

import os
from collections.abc import Mapping
from typing import Any

import torch

from visionkit.errors import ConfigError
from visionkit.tasks.base import Task


def check_devices(settings: Mapping[str, Any]) -> None:
    """Refuse hardware that isn't there; Lightning would start any number of processes.

    Args:
        settings: plain, as ``trainer`` has them.

    Raises:
        ConfigError: as it says.
    """
    accelerator = settings.get("accelerator", "auto")
    devices = settings.get("devices", 1)
    there = torch.cuda.device_count()
    if accelerator in ("gpu", "cuda") and not there:
        raise ConfigError(
            f"trainer.accelerator: {accelerator}, but torch finds no GPU here; "
            "choose trainer=cpu or trainer.accelerator=auto"
        )
    if accelerator == "cpu" or not there:
        there = max(2, os.cpu_count() or 1)
    if isinstance(devices, int) and devices > there:
        raise ConfigError(
            f"trainer.devices: {devices} asked for, this machine takes {there}; "
            f"give at most {there}"
        )


def by_turns(settings: Mapping[str, Any], task: Task) -> dict[str, Any]:
    """What Lightning is told where networks train by turns.

    They shorten their own gradients, and no pass reaches the parameters of all of them.

    Args:
        settings: plain, as ``trainer`` has them.
        task: is told how to shorten gradients.

    Returns:
        The settings that differ.

    Raises:
        ConfigError: some can't be followed.
    """
    if settings.get("accumulate_grad_batches", 1) != 1:
        raise ConfigError(
            "trainer.accumulate_grad_batches: networks that train by turns take a step on "
            "each batch; leave it 1 and choose data.batch_size"
        )
    algorithm = settings.get("gradient_clip_algorithm") or "norm"
    if algorithm not in ("norm", "value"):
        raise ConfigError(f"trainer.gradient_clip_algorithm: {algorithm!r}; choose norm or value")
    changes: dict[str, Any] = dict.fromkeys(("gradient_clip_val", "gradient_clip_algorithm"))
    task.clip = float(settings.get("gradient_clip_val") or 0.0)
    task.clip_values = algorithm == "value"
    several = settings.get("devices", 1) != 1 or settings.get("num_nodes", 1) != 1
    if settings.get("strategy") == "ddp" or (several and settings.get("strategy") == "auto"):
        changes["strategy"] = "ddp_find_unused_parameters_true"
    return changes
