"""What several tests need.

What is heavy is imported where it is used: the process that only hands out tests reads this, too.
"""

import ctypes
import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from memory import room

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
FOR_EACH = 5 << 29
"""Bytes for a process that tests, and for those that its tests start."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """As many processes as there are cores and room for."""
    return max(1, min(len(os.sched_getaffinity(0)), room() // FOR_EACH))


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="module", autouse=True)
def _no_hoarding() -> Iterator[None]:
    """Give back what a file of tests leaves: networks in cycles, and pages that malloc keeps."""
    yield
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real sets beside the clone; tests that use it are marked ``real``."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"real data not found: {SHARED_DATA} isn't there")
    return SHARED_DATA


@pytest.fixture(scope="session")
def squares(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A COCO-format set of 8 and 4 small pictures with red and green squares."""
    from tiny import make_coco

    return make_coco(tmp_path_factory.mktemp("squares"))


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Class folders of 12 and 6 small red and green pictures."""
    from tiny import make_folders

    return make_folders(tmp_path_factory.mktemp("folders"))
