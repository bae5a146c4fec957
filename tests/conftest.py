"""What several tests need."""

from pathlib import Path

import pytest
import torch
from tiny import make_coco, make_folders

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real sets beside the clone; tests that use it are marked ``real``."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"real data not found: {SHARED_DATA} isn't there")
    return SHARED_DATA


@pytest.fixture(scope="session")
def squares(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A COCO-format set of 8 and 4 small pictures with red and green squares."""
    return make_coco(tmp_path_factory.mktemp("squares"))


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Class folders of 12 and 6 small red and green pictures."""
    return make_folders(tmp_path_factory.mktemp("folders"))
