"""The Fréchet distance between two sets of features. NumPy only."""

import numpy as np
from numpy.typing import NDArray

from visionkit.metrics.kid import Features


def frechet(real: Features, fake: Features) -> float:
    """Return the Fréchet distance of two sets, as if each were normal (Heusel et al. 2017).

    |m1 - m2|^2 + tr C1 + tr C2 - 2 tr (C1^.5 C2 C1^.5)^.5, in float64. With C = R^T R the last
    trace is the sum of the singular values of R1 R2^T, so that no covariance is ever squared and
    sets of fewer pictures than features pass. The distance falls with the number of pictures:
    compare only figures of the same number, and with that of real pictures to real ones.

    Args:
        real: [N, D].
        fake: [M, D].

    Returns:
        The distance, -1 with fewer than 2 pictures on one side.

    Raises:
        ValueError: the rows aren't of the same length.
    """
    if real.ndim != 2 or fake.ndim != 2 or real.shape[1] != fake.shape[1]:
        raise ValueError(f"features of shapes {real.shape} and {fake.shape} can't be compared")
    if min(len(real), len(fake)) < 2:
        return -1.0
    (mean_x, root_x), (mean_y, root_y) = _moments(real), _moments(fake)
    shared = float(np.linalg.svd(root_x @ root_y.T, compute_uv=False).sum())
    spread = float(np.square(root_x).sum() + np.square(root_y).sum())
    return max(0.0, float(np.square(mean_x - mean_y).sum()) + spread - 2 * shared)


def _moments(x: Features) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The mean [D], and R [min(N, D), D] with R^T R the covariance."""
    values = x.astype(np.float64)
    mean = values.mean(0)
    values -= mean
    root = np.linalg.qr(values, mode="r") if len(values) > values.shape[1] else values
    return mean, root / np.sqrt(len(values) - 1)
