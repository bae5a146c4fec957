"""Bilinear resizing without torch."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from visionkit.runtimes.resize import resize


def test_values_stand_at_the_middles_of_their_cells() -> None:
    line = np.array([[0, 1]], np.float32)
    assert resize(line, (1, 4)).tolist() == [[0, 0.25, 0.75, 1]]
    assert resize(line.T, (4, 1)).tolist() == [[0], [0.25], [0.75], [1]]
    assert resize(np.array([[0, 1, 2, 3]], np.float32), (1, 2)).tolist() == [[0.5, 2.5]]
    assert resize(line, (3, 1)).tolist() == [[0.5]] * 3
    assert resize(line, (1, 2)) is line


@pytest.mark.parametrize("size", [(97, 131), (40, 300), (11, 13), (400, 20), (7, 9), (1, 1)])
@pytest.mark.parametrize("shape", [(40, 50), (7, 9), (1, 5)])
def test_the_same_as_torch(shape: tuple[int, int], size: tuple[int, int]) -> None:
    plane = np.random.default_rng(0).random(shape, np.float32)
    wanted = F.interpolate(torch.from_numpy(plane)[None, None], size, mode="bilinear")[0, 0]
    made = resize(plane, size)
    assert made.dtype == np.float32
    # a place near 40 is rounded to 4e-6, and torch's builds differ in where they round
    np.testing.assert_allclose(made, wanted.numpy(), rtol=0, atol=4e-6)
