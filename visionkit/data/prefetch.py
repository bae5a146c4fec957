"""A loader that copies the next batch to the device ahead, and knows how long it was waited for."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from visionkit.batch import Batch
from visionkit.ops.nested import map_tensors


class Loader(DataLoader[Batch]):
    """torch's loader. On a GPU each batch is copied while the one before it is worked on.

    Attributes:
        device: that batches are copied to, if it is a GPU; they stay where they are otherwise.
        waited: seconds that readers have spent in waiting for batches so far.
    """

    device: torch.device | None = None
    waited: float = 0.0

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        """Begin a pass: workers start, or begin anew, now."""
        batches = self._timed(super().__iter__())
        if self.device is None or self.device.type != "cuda":
            return batches
        return ahead(batches, *side_stream(self.device))

    def _timed(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        while True:
            start = time.perf_counter()
            batch = next(batches, None)
            self.waited += time.perf_counter() - start
            if batch is None:
                return
            yield batch


Sent = tuple[Batch, Any]
"""A batch that is on its way, and what tells that it has arrived."""


def ahead(
    batches: Iterator[Batch], send: Callable[[Batch], Sent], arrive: Callable[[Sent], Batch]
) -> Iterator[Batch]:
    """Send each batch on its way before the one before it is handed out.

    Args:
        batches: on the host.
        send: starts a copy.
        arrive: sees to it that what uses the copy waits for it.
    """
    coming: Sent | None = None
    for batch in batches:
        sent = send(batch)
        if coming is not None:
            yield arrive(coming)
        coming = sent
    if coming is not None:
        yield arrive(coming)


def side_stream(
    device: torch.device,
) -> tuple[Callable[[Batch], Sent], Callable[[Sent], Batch]]:
    """Copying to a GPU on a stream of its own, for :func:`ahead`."""
    stream: Any = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def send(batch: Batch) -> Sent:
        with torch.cuda.stream(stream):
            sent = batch.to(device, non_blocking=True)
            return sent, stream.record_event()

    def arrive(sent: Sent) -> Batch:
        batch, copied = sent
        current = torch.cuda.current_stream(device)
        current.wait_event(copied)

        def used_here(tensor: Tensor) -> Tensor:
            tensor.record_stream(current)  # its memory isn't given away before that is done
            return tensor

        map_tensors((batch.images, batch.targets), used_here)
        return batch

    return send, arrive
