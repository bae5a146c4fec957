"""Where and how exactly torch computes for a runtime."""

import contextlib
from collections.abc import Iterator

import torch

from visionkit.errors import ConfigError


def device_of(name: torch.device | str | None) -> torch.device:
    """Return the device of a name: a GPU if there is one, unless given.

    Raises:
        ConfigError: torch knows no such device, or can't compute there.
    """
    chosen = name or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(chosen)
        torch.zeros(1, device=device).cpu()
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(
            f"device: torch can't compute on {chosen} here; choose cpu, cuda or cuda:N, or leave "
            "it out"
        ) from error
    return device


@contextlib.contextmanager
def full_precision() -> Iterator[None]:
    """Compute in float32 without TensorFloat shortcuts."""
    precision = torch.get_float32_matmul_precision()
    convolutions = torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(precision)
        torch.backends.cudnn.allow_tf32 = convolutions
