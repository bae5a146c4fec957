"""Processes that torchrun or srun has started, and what they have to agree on."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, NamedTuple

from visionkit.errors import ConfigError
from visionkit.targets import first_line

_SECONDS = 600
_ENVIRONMENT = ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK", "LOCAL_RANK", "WORLD_SIZE")
_stores: list[Any] = []  # a store serves as long as its process lives


class Launch(NamedTuple):
    """How this process was started.

    Attributes:
        by: ``torchrun`` or ``srun``.
        rank: of this process.
        ranks: number of processes.
        here: of them on this node.
    """

    by: str
    rank: int
    ranks: int
    here: int


def launched(environment: Mapping[str, str] | None = None) -> Launch | None:
    """How this process was started with others, None if it runs alone or starts them itself.

    Args:
        environment: variables; this process's own if None.
    """
    e = os.environ if environment is None else environment
    if "TORCHELASTIC_RUN_ID" in e and int(e.get("WORLD_SIZE", "1")) > 1:
        ranks = int(e["WORLD_SIZE"])
        return Launch("torchrun", int(e["RANK"]), ranks, int(e.get("LOCAL_WORLD_SIZE", ranks)))
    # a shell that srun has opened isn't a rank
    shell = e.get("SLURM_JOB_NAME") in ("bash", "interactive")
    if "SLURM_PROCID" in e and not shell and int(e.get("SLURM_NTASKS", "1")) > 1:
        ranks = int(e["SLURM_NTASKS"])
        nodes = int(e.get("SLURM_NNODES", e.get("SLURM_JOB_NUM_NODES", "1")))
        return Launch("srun", int(e["SLURM_PROCID"]), ranks, -(-ranks // nodes))
    return None


def agreed(launch: Launch, name: str, value: str) -> str:
    """Return the first rank's value, on every rank.

    It is asked for before there is a process group: each rank would name its run by its own clock.

    Args:
        launch: of this process.
        name: of the value.
        value: this rank's.

    Raises:
        ConfigError: SLURM was asked for tasks in a way that ranks can't be told from, or they
            can't meet.
    """
    host, port, agent = _place(launch)
    key = f"visionkit/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}/{name}"
    try:
        if not _stores:
            _stores.append(_store(host, port, launch.rank == 0 and not agent))
        if launch.rank == 0:
            _stores[0].set(key, value)
            return value
        found: bytes = _stores[0].get(key)
    except RuntimeError as error:
        raise ConfigError(
            f"{name}: the ranks can't meet at {host}:{port} to agree on it "
            f"({first_line(error)}); give {name}=, so that they needn't, or another MASTER_PORT"
        ) from error
    return found.decode()


def _place(launch: Launch) -> tuple[str, int, bool]:
    """Where the store is: torchrun's agent's, else the first rank's, a port beyond the group's.

    Returns:
        Host, port, and whether it is the agent's.
    """
    agent = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    if launch.by == "torchrun":
        host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    else:
        from lightning.fabric.plugins.environments.slurm import SLURMEnvironment

        try:
            cluster = SLURMEnvironment()
        except RuntimeError as error:
            raise ConfigError(f"srun: {first_line(error)}") from error
        host, port = cluster.main_address, cluster.main_port
    return host, port if agent else port + 1, agent


def _store(host: str, port: int, serves: bool) -> Any:
    from torch.distributed import TCPStore  # type: ignore[attr-defined]

    return TCPStore(
        host,
        port,
        is_master=serves,
        timeout=timedelta(seconds=_SECONDS),
        wait_for_workers=False,
    )


@contextmanager
def alone_again() -> Iterator[None]:
    """Leave no trace of the ranks that a job has started, so that the next may start its own."""
    before = {name: os.environ.get(name) for name in _ENVIRONMENT}
    try:
        yield
    finally:
        if before["LOCAL_RANK"] is None and "LOCAL_RANK" in os.environ:
            import torch.distributed as dist

            if dist.is_initialized():
                dist.destroy_process_group()
            for name, value in before.items():
                os.environ.pop(name, None)
                if value is not None:
                    os.environ[name] = value
