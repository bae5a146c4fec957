"""Devices, nodes and strategies: what goes together, told before training begins."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment

from visionkit.backbones.sync_norms import SyncNorms
from visionkit.checkpoint import load_model
from visionkit.errors import ConfigError
from visionkit.launch import Launch, launched
from visionkit.models.base import Network
from visionkit.tasks.base import Task

_SHARDING = ("sharding", "fsdp", "deepspeed")
_PRECISIONS = ("32", "32-true", "16", "16-mixed", "bf16", "bf16-mixed")
"""As Lightning names them; 16 and bf16 alone mean the mixed ones."""


def check_devices(settings: Mapping[str, Any]) -> None:
    """Refuse hardware, ranks or a precision that can't be had, before data are read.

    Lightning would start any number of ranks, or wait for those that aren't there.

    Args:
        settings: plain, as ``trainer`` has them.

    Raises:
        ConfigError: as it says.
    """
    precision = str(settings.get("precision") or "32")
    if precision not in _PRECISIONS:
        raise ConfigError(
            f"trainer.precision: {precision} takes weights and losses out of float32, where they "
            "are exact; choose bf16-mixed, 16-mixed or 32-true"
        )
    kind = _kind(settings.get("accelerator", "auto"))
    devices = settings.get("devices", 1)
    if kind == "mps":
        _check_mps(devices, settings)
        there = 1
    else:
        there = torch.cuda.device_count() if kind == "cuda" else max(2, os.cpu_count() or 1)
    if isinstance(devices, int) and devices > there:
        raise ConfigError(
            f"trainer.devices: {devices} asked for, this machine takes {there}; "
            f"give at most {there}"
        )
    if settings.get("sync_batchnorm") and kind != "cuda":
        raise ConfigError(
            "trainer.sync_batchnorm: it works on CUDA GPUs alone; set it false, or choose "
            "model.norm=group, which sees each picture by itself"
        )
    _check_ranks(launched(), devices, settings.get("num_nodes", 1))


def _kind(accelerator: Any) -> str:
    """What an accelerator is here: ``cuda``, ``mps``, ``cpu``, or its own name.

    Raises:
        ConfigError: there is none.
    """
    cuda, mps = torch.cuda.device_count() > 0, torch.backends.mps.is_available()
    if accelerator in ("gpu", "cuda") and not cuda and not (mps and accelerator == "gpu"):
        raise ConfigError(
            f"trainer.accelerator: {accelerator}, but torch finds no GPU here; "
            "choose trainer=cpu or trainer.accelerator=auto"
        )
    if accelerator == "mps" and not mps:
        raise ConfigError(
            "trainer.accelerator: mps, but this machine or this torch has no Apple GPU; "
            "choose trainer=cpu or trainer.accelerator=auto"
        )
    if accelerator in ("auto", "gpu"):
        return "cuda" if cuda else "mps" if mps else "cpu"
    return str(accelerator)


def _check_mps(devices: Any, settings: Mapping[str, Any]) -> None:
    several = devices not in (1, [0], "1", "auto", -1, "-1") or settings.get("num_nodes", 1) != 1
    if several or settings.get("strategy", "auto") != "auto":
        raise ConfigError(
            "trainer.devices: an Apple GPU works alone; give trainer.devices=1 "
            "trainer.num_nodes=1 strategy=auto, or trainer=cpu"
        )


def _check_ranks(launch: Launch | None, devices: Any, nodes: int) -> None:
    """Compare the ranks that were started with those that are asked for."""
    if launch is None:
        # whoever starts each node's process by hand says which it is
        if nodes > 1 and not {"MASTER_ADDR", "NODE_RANK"} <= os.environ.keys():
            raise ConfigError(
                f"trainer.num_nodes: {nodes}, but nothing has started this run on the other nodes; "
                "start it with torchrun or srun, as docs/distributed.md shows"
            )
        return
    if launch.ranks != nodes * launch.here:
        found, rest = divmod(launch.ranks, launch.here)
        if rest:
            raise ConfigError(
                f"trainer.devices: {launch.by} has started {launch.ranks} ranks, {launch.here} of "
                "them on this node; every node needs as many"
            )
        raise ConfigError(
            f"trainer.num_nodes: {launch.by} has started {launch.here} ranks on each of {found} "
            f"nodes; give trainer.devices={launch.here} trainer.num_nodes={found}"
        )
    if isinstance(devices, int) and devices not in (launch.here, -1):
        raise ConfigError(
            f"trainer.devices: {launch.by} has started {launch.here} ranks on this node; "
            f"give trainer.devices={launch.here}"
        )


def arranged(plain: Mapping[str, Any], task: Task) -> dict[str, Any]:
    """What Lightning's trainer is built from: the settings, as far as the task can follow them.

    Args:
        plain: a whole configuration.
        task: is told how to shorten gradients, where it takes its own steps.

    Raises:
        ConfigError: some can't be followed.
    """
    settings = dict(plain["trainer"])
    check_devices(settings)
    if not task.automatic_optimization:
        settings |= by_turns(settings, task)
    _check_sharding(plain, _family(settings.get("strategy")))
    if settings.get("sync_batchnorm"):  # by a plugin: Lightning refuses to be asked for both
        settings["sync_batchnorm"] = False
    return settings


def plugins_for(settings: Mapping[str, Any]) -> list[Any]:
    """Lightning's plugins that settings and surroundings want.

    Its own exchange of norms loses activations; and where SLURM warns of the end, it would write a
    checkpoint of its own, and go on from that instead of the one that ``resume`` names.
    """
    found: list[Any] = [SyncNorms()] if settings.get("sync_batchnorm") else []
    if SLURMEnvironment.detect() and not TorchElasticEnvironment.detect():
        found.append(SLURMEnvironment(auto_requeue=False))
    return found


def _family(strategy: Any) -> str:
    """Which of Lightning's strategies a name or a node is of: ``ddp``, ``fsdp``, ..."""
    name = strategy.get("_target_", "") if isinstance(strategy, Mapping) else str(strategy)
    return next((f for f in ("ddp", *_SHARDING) if f in name.lower()), name)


def _check_sharding(plain: Mapping[str, Any], family: str) -> None:
    """Refuse what can't be done with parts of a network.

    Raises:
        ConfigError: as it says.
    """
    if family in ("fsdp", "deepspeed"):
        raise ConfigError(
            f"trainer.strategy: what Lightning's {family} trains can't be scored, resumed and "
            "exported as others are; choose strategy=fsdp, which cuts up as much"
        )
    if family == "sharding" and plain["model"]["compile"]:
        raise ConfigError(
            "model.compile: weights that are cut up can't be compiled; set it false, or choose "
            "strategy=ddp"
        )
    if family == "sharding" and plain["model"]["channels_last"]:
        raise ConfigError(
            "model.channels_last: weights that lie so can't be cut up; set it false, or choose "
            "strategy=ddp"
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
    strategy = settings.get("strategy", "auto")
    family = _family(strategy)
    if family in _SHARDING:
        raise ConfigError(
            f"trainer.strategy: {family} shards one network that is trained as a whole, and here "
            "several train by turns; choose strategy=ddp"
        )
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
    if strategy in ("ddp", "ddp_spawn", "ddp_fork") or (several and strategy == "auto"):
        start = "ddp" if strategy == "auto" else strategy
        changes["strategy"] = f"{start}_find_unused_parameters_true"
    return changes


def whole(model: Network, path: str | Path) -> Network:
    """Return ``model``, or where training has cut it up another one, made from its checkpoint.

    Args:
        model: as training leaves it.
        path: of the file.
    """
    if not any(hasattr(p, "full_tensor") for p in model.parameters()):
        return model
    found = load_model(path)
    found.model.set_options(model.options, found.canvas)
    return found.model
