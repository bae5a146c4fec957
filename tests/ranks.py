"""Tests on several processes: each is one rank, on the processor, with gloo."""

import multiprocessing
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

# imported once, in a process that ranks are forked from: torch alone takes seconds
PRELOADED = ["torch", "lightning", "torchvision", "visionkit.train", "visionkit.data.coco"]


def on_ranks(work: Callable[..., None], count: int, seconds: float, *arguments: Any) -> None:
    """Run ``work(rank, *arguments)`` in ``count`` processes; fail if one waits for the others.

    What one raises is raised here, and the others are ended.
    """
    method = "forkserver" if "forkserver" in mp.get_all_start_methods() else "spawn"
    if method == "forkserver":
        multiprocessing.get_context(method).set_forkserver_preload(PRELOADED)
    context = mp.start_processes(work, arguments, count, join=False, start_method=method)
    try:
        end = time.monotonic() + seconds
        while not context.join(5):
            if time.monotonic() > end:
                pytest.fail(f"a rank waits for another: not done after {seconds:.0f} s")
    finally:
        for process in context.processes:
            if process.is_alive():
                process.kill()
            process.join()


def join(number: int, count: int, store: str | Path) -> None:
    """Make this process a rank; ``store`` is a file that isn't there yet."""
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo",
        store=dist.FileStore(str(store), count),
        rank=number,
        world_size=count,
        timeout=timedelta(seconds=60),
    )
