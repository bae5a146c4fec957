"""Random numbers that follow from what they are drawn for."""

import contextlib
import zlib
from collections.abc import Iterator

import numpy as np
import torch

from visionkit.batch import Batch


@contextlib.contextmanager
def drawing_by_pictures(batch: Batch) -> Iterator[None]:
    """Let torch's random numbers follow from a batch's image ids; then go on as if none were drawn.

    Concerns the generators of the processor and of the CUDA device that the batch is on.
    """
    ids = np.array([m.image_id for m in batch.meta], np.int64)
    seed = zlib.crc32(ids.tobytes())
    device = batch.images.device
    cuda = [device.index] if device.type == "cuda" else []
    with torch.random.fork_rng(cuda):
        torch.default_generator.manual_seed(seed)
        for index in cuda:
            torch.cuda.default_generators[index].manual_seed(seed)
        yield
