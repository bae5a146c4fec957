"""What waits together is computed together, in one thread."""

import threading
import time
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any


@dataclass
class _Job:
    kind: Hashable
    item: Any
    since: float = field(default_factory=time.monotonic)
    answer: "Future[Any]" = field(default_factory=Future)


class Batcher:
    """Gathers items from any thread and computes those of one kind together.

    The item that waits longest is computed next, with others of its kind, as soon as there are
    enough of them or it has waited long enough. While something is computed, others gather: under
    load, nobody waits for the clock.

    Args:
        compute: returns an answer for each item; they are of the given kind. Called from one
            thread only.
        size: items that are computed at once, at most.
        wait: seconds that an item waits for others, at most, if nothing is being computed.

    Attributes:
        items: how many were computed.
        batches: in how many calls.
    """

    def __init__(
        self, compute: Callable[[Any, list[Any]], Sequence[Any]], size: int, wait: float
    ) -> None:
        self._compute, self._size, self._wait = compute, size, wait
        self._waiting: list[_Job] = []
        self._changed = threading.Condition()
        self._closed = False
        self.items = self.batches = 0
        self._thread = threading.Thread(target=self._work, name="batcher", daemon=True)
        self._thread.start()

    def __len__(self) -> int:
        """How many items wait."""
        return len(self._waiting)

    @property
    def alive(self) -> bool:
        """Whether items are still computed."""
        return self._thread.is_alive() and not self._closed

    def submit(self, kind: Hashable, item: Any) -> "Future[Any]":
        """Let an item be computed; cancel the answer to take it back.

        Raises:
            RuntimeError: the batcher is closed.
        """
        job = _Job(kind, item)
        with self._changed:
            if self._closed:
                raise RuntimeError("the batcher is closed")
            self._waiting.append(job)
            self._changed.notify()
        job.answer.add_done_callback(self._drop)
        return job.answer

    def close(self) -> None:
        """Compute what still waits, then stop."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _drop(self, answer: "Future[Any]") -> None:
        """Hold nothing of what was taken back."""
        if answer.cancelled():
            with self._changed:
                self._waiting = [job for job in self._waiting if job.answer is not answer]

    def _work(self) -> None:
        while batch := self._next():
            wanted = [job for job in batch if job.answer.set_running_or_notify_cancel()]
            if wanted:
                self._answer(wanted)

    def _next(self) -> list[_Job]:
        """Wait for the next batch; there is none when the batcher is closed."""
        with self._changed:
            while True:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if not self._waiting:
                    return []
                first = self._waiting[0]
                batch = [job for job in self._waiting if job.kind == first.kind][: self._size]
                left = first.since + self._wait - time.monotonic()
                if len(batch) == self._size or left <= 0 or self._closed:
                    taken = {id(job) for job in batch}
                    self._waiting = [job for job in self._waiting if id(job) not in taken]
                    return batch
                self._changed.wait(left)

    def _answer(self, batch: list[_Job]) -> None:
        self.batches += 1
        try:
            answers = self._compute(batch[0].kind, [job.item for job in batch])
            pairs = list(zip(batch, answers, strict=True))
        except Exception as error:
            if len(batch) > 1:  # so that only those fail that are at fault
                for job in batch:
                    self._answer([job])
            else:
                batch[0].answer.set_exception(error)
            return
        self.items += len(batch)
        for job, answer in pairs:
            job.answer.set_result(answer)
