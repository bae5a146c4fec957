"""Putting a training run together without training: all that can be wrong with it is told."""

import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from visionkit.errors import ConfigError, VisionkitError


def probe(words: Sequence[str], user_dir: str | None, folder: str) -> dict[str, Any]:
    """Build a training run in a process of its own, whose memory is free afterwards.

    Args:
        words: of the run.
        user_dir: ``--config-dir``.
        folder: that the run would have; nothing is written there.

    Returns:
        ``metric`` and ``mode`` that choose its best checkpoint, ``epochs`` (None if it goes by
        steps), ``seed``, ``validates``, and how many ``gpus`` there are.

    Raises:
        VisionkitError: it can't be built.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        try:
            found, lines = pool.submit(_probe, list(words), user_dir, folder).result()
        except BrokenProcessPool as error:
            raise VisionkitError(
                "tune: the process that reads the data was ended by the system, perhaps for want "
                "of memory; free some, or choose smaller data"
            ) from error
    if lines:
        raise ConfigError(lines)
    return dict(found)


def _probe(words: list[str], user_dir: str | None, folder: str) -> tuple[dict[str, Any], list[str]]:
    """What :func:`probe` returns, and what is wrong, a line each."""
    import os
    import sys

    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    import torch

    from visionkit.compose import compose
    from visionkit.train import Run

    try:
        run = Run(compose([*words, f"run_dir={folder}"], user_dir=user_dir))
    except ConfigError as error:
        return {}, error.problems
    except VisionkitError as error:
        return {}, [str(error)]
    epochs = run.plain["trainer"].get("max_epochs")
    by_steps = (run.plain["trainer"].get("max_steps") or -1) > 0
    return {
        "metric": run.checkpoints.monitor,
        "mode": run.checkpoints.mode,
        "epochs": None if by_steps or epochs in (None, -1) else epochs,
        "seed": run.plain["seed"],
        "validates": run.task.scorer.evaluator is not None,
        "gpus": torch.cuda.device_count(),
    }, []
