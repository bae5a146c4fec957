"""From bodies to answers, over a predictor. Nothing here knows HTTP but the codes of refusals."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np

from visionkit.errors import ConfigError
from visionkit.geometry import Image
from visionkit.options import options_from
from visionkit.predictor import Predictor
from visionkit.render import draw, grid
from visionkit.results import Generated
from visionkit.serve.batching import Batcher
from visionkit.serve.encoding import described, jpeg, pixels_of, png
from visionkit.serve.limits import Limits, RefusedError, decode, stated_size

Form = Literal["json", "image", "png"]
"""Of an answer: values, the picture with the result drawn on it, or the picture that a result is
itself (a mask, or what was made)."""
SAMPLES = 64
"""Pictures from noise for one request, at most."""
_DOT = np.zeros((1, 1, 3), np.uint8)

Done = TypeVar("Done")


class Asked(NamedTuple):
    """Options of a request; None leaves what the service has. Requests of the same go together."""

    confidence: float | None = None
    iou: float | None = None
    max_detections: int | None = None


class Wanted(NamedTuple):
    """Pictures that are to be made from noise, see :meth:`visionkit.predictor.Predictor.sample`."""

    n: int
    seed: int
    label: str | None
    truncation: float | None


class Answer(NamedTuple):
    """Values for JSON, or a file and its media type."""

    content: dict[str, Any] | bytes
    media: str = "application/json"


class Service:
    """Answers many requests at a time from one predictor.

    Bodies are decoded, and answers encoded, in a pool of threads; one more thread computes, what
    waits together in batches. Pictures are held decoded for two batches at most, one being computed
    and one being gathered: others wait as the bytes that were sent.

    Args:
        predictor: its ``options`` are those of requests that ask for none.
        limits: what is taken on.

    Attributes:
        requests: how many are worked on or wait.
    """

    def __init__(self, predictor: Predictor, limits: Limits) -> None:
        self.predictor, self.limits = predictor, limits
        self.requests = 0
        self._pool = ThreadPoolExecutor(limits.workers, "pictures")
        self._batcher = Batcher(self._compute, limits.batch_size, limits.max_wait)
        self._open = asyncio.Semaphore(2 * limits.batch_size)

    def warm_up(self) -> None:
        """Compute once, so that the first request doesn't wait for what is done but once."""
        kind: Asked | Wanted = Asked()
        if self.predictor.runtime.samples:
            kind = Wanted(1, 0, None, None)
        height, width = self.predictor.canvas
        self._batcher.submit(kind, np.zeros((height, width, 3), np.uint8)).result()

    def close(self) -> None:
        """Answer what still waits, then stop."""
        self._batcher.close()
        self._pool.shutdown()

    @contextlib.contextmanager
    def admitted(self) -> Iterator[None]:
        """Count a request.

        Raises:
            RefusedError: 503, there are too many.
        """
        if self.requests >= self.limits.queue:
            line = f"{self.requests} requests are being worked on; try again in a second"
            raise RefusedError(503, line, {"Retry-After": "1"})
        self.requests += 1
        try:
            yield
        finally:
            self.requests -= 1

    def check(self, asked: Asked, form: Form) -> None:
        """Refuse what can't be done, before the picture arrives.

        Raises:
            RefusedError: 409, the model looks at no pictures; 422, an option is out of its range,
                or can't be followed.
        """
        if self.predictor.runtime.samples:
            raise RefusedError(
                409, "this model makes pictures from noise; ask with GET /sample?n=4"
            )
        with _refusing():
            self.predictor.stream(_DOT, **asked._asdict())  # checks, and computes nothing yet
        if form == "png" and self.predictor.runtime.says not in ("masks", "pictures"):
            line = "this model's results are no pictures; ask for json, or image to have them drawn"
            raise RefusedError(422, f"format: {line}")

    async def predict(self, data: bytes, asked: Asked, form: Form) -> Answer:
        """Say what a picture shows.

        Args:
            data: of a picture file.
            asked: checked options.
            form: of the answer.

        Raises:
            RefusedError: as :func:`stated_size` and :func:`decode` say; 504, it took too long.
        """
        start = time.perf_counter()
        async with self._in_time():
            size = await self._in_pool(stated_size, data, self.limits.max_pixels)
            async with self._place() as following:
                image = await following(self._pool.submit(decode, data, size))
                result = await following(self._batcher.submit(asked, image))
                return await following(self._pool.submit(_answer, image, result, form, start))

    async def sample(self, wanted: Wanted, form: Form) -> Answer:
        """Make pictures from noise.

        Raises:
            RefusedError: 409, the model makes none; 422, a number or a class isn't possible; 504,
                it took too long.
        """
        start = time.perf_counter()
        if not self.predictor.runtime.samples:
            raise RefusedError(409, "this model looks at pictures; send one with POST /predict")
        if not 1 <= wanted.n <= SAMPLES or wanted.seed < 0:
            raise RefusedError(422, f"n is 1 to {SAMPLES} and seed 0 or more")
        with _refusing():
            options = options_from({"truncation": wanted.truncation}, self.predictor.options)
            self.predictor.runtime.check_options(options)
            self.predictor.numbers(wanted.label, wanted.n)
        async with self._in_time():
            made = await asyncio.wrap_future(self._batcher.submit(wanted, None))
            return await self._in_pool(_answer_made, made, form, start)

    def state(self) -> dict[str, Any]:
        """Return figures of the work: requests, items waiting and computed, and their batches."""
        batcher = self._batcher
        return {
            "status": "ok" if batcher.alive else "stopped",
            "requests": self.requests,
            "waiting": len(batcher),
            "computed": batcher.items,
            "batches": batcher.batches,
        }

    @contextlib.asynccontextmanager
    async def _in_time(self) -> Any:
        try:
            async with asyncio.timeout(self.limits.timeout):
                yield
        except TimeoutError as error:
            line = f"no answer within {self.limits.timeout:g} s; try again when there is less to do"
            raise RefusedError(504, line) from error

    @contextlib.asynccontextmanager
    async def _place(self) -> AsyncIterator[Callable[["Future[Done]"], Awaitable[Done]]]:
        """Hold a place for a decoded picture, until the last step that was followed is done.

        A thread may have the picture in hand for longer than anybody waits for its answer.
        """
        await self._open.acquire()
        loop, steps = asyncio.get_running_loop(), list[Future[Any]]()

        def following(step: "Future[Done]") -> Awaitable[Done]:
            steps[:] = [step]
            return asyncio.wrap_future(step)

        def leave(_: Any = None) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended before the thread
                loop.call_soon_threadsafe(self._open.release)

        try:
            yield following
        finally:
            if steps:
                steps[-1].add_done_callback(leave)
            else:
                leave()

    async def _in_pool(self, work: Callable[..., Done], *arguments: Any) -> Done:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work, *arguments)

    def _compute(self, kind: Asked | Wanted, items: list[Any]) -> Sequence[Any]:
        size = self.limits.batch_size
        if isinstance(kind, Wanted):
            made = self.predictor.sample(*kind, batch_size=size)
            return [made] * len(items)
        workers = self.limits.workers if len(items) > 1 else 0
        return self.predictor.predict(items, batch_size=size, workers=workers, **kind._asdict())


@contextlib.contextmanager
def _refusing() -> Iterator[None]:
    """Answer for options that aren't possible."""
    try:
        yield
    except ValueError as error:
        raise RefusedError(422, str(error)) from error
    except ConfigError as error:
        raise RefusedError(422, "; ".join(error.problems)) from error


def _answer(image: Image, result: Any, form: Form, start: float) -> Answer:
    pixels = pixels_of(result)
    if form == "png" and pixels is not None:
        return Answer(png(pixels), "image/png")
    if form == "image":
        return Answer(*jpeg(draw(image, result)))
    height, width = image.shape[:2]
    plain = {"width": width, "height": height} | described(result)
    return Answer(plain | {"seconds": round(time.perf_counter() - start, 4)})


def _answer_made(made: list[Generated], form: Form, start: float) -> Answer:
    if form != "json":
        return Answer(png(grid(made) if len(made) > 1 else made[0].image), "image/png")
    height, width = made[0].image.shape[:2]
    plain = {"width": width, "height": height, "pictures": [described(one) for one in made]}
    return Answer(plain | {"seconds": round(time.perf_counter() - start, 4)})
