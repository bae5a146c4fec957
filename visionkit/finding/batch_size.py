"""The batch size that a device takes, and beyond which nothing gets faster.

Each size trains for a few steps in a process of its own: what it takes is its own then, and one
that the system ends for want of memory takes nothing with it. On a GPU memory sets the limit: the
answer is the largest size that stays within it. A processor has memory enough for more than it can
use, so there it is the smallest size that is about as fast as any.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from visionkit.metrics.plots import BLUE, RED, make_panels

NO_MEMORY = "no memory for it"


@dataclass(frozen=True)
class Measured:
    """What training at a batch size took.

    Attributes:
        size: pictures of a batch.
        memory: bytes: of a GPU what torch reserved, else of the whole process; None if unknown.
        seconds: of a step, the median; the loader isn't in it.
        room: bytes of memory that the device has (a GPU), or had left (main memory, with what the
            process took); None if unknown.
        device: such as ``cuda``.
        why: why there is nothing of the others: no memory, or too few pictures; None if there is.
    """

    size: int
    memory: int | None = None
    seconds: float = math.nan
    room: int | None = None
    device: str = "cpu"
    why: str | None = None

    @property
    def speed(self) -> float:
        """Pictures a second."""
        return self.size / self.seconds


Measure = Callable[[int], Measured]


def search(measure: Measure, settings: Mapping[str, Any], tell: Callable[[str], None]) -> tuple[
    int | None, list[Measured]
]:  # fmt: skip
    """Double the batch until memory, speed or pictures set an end, and choose.

    Args:
        measure: trains at a size.
        settings: ``low``, ``high``, ``memory`` and ``slack``.
        tell: says a line.

    Returns:
        The size, None if none can be had; and what was measured, by size.
    """
    found: list[Measured] = []
    size = settings["low"]
    while size <= settings["high"]:
        if found and _expected(found, size) > settings["memory"]:
            tell(f"batch {size}: left out, as it would take more memory than is allowed")
            break
        found.append(measure(size))
        tell(_line(found[-1]))
        if found[-1].why or not _grows(found, settings["slack"]):
            break
        size *= 2
    fits = [m for m in found if m.why is None and _part(m) <= settings["memory"]]
    if not fits:
        return None, found
    if fits[-1].device == "cpu":
        best = max(m.speed for m in fits)
        return min(m.size for m in fits if m.speed >= (1 - settings["slack"]) * best), found
    between = _between(found, fits, settings)
    if between is not None:
        found.append(measure(between))
        tell(_line(found[-1]))
        if found[-1].why is None and _part(found[-1]) <= settings["memory"]:
            fits.append(found[-1])
    return fits[-1].size, sorted(found, key=lambda m: m.size)


def _part(measured: Measured) -> float:
    """The part of the memory that it takes."""
    if not measured.memory or not measured.room:
        return 0.0
    return measured.memory / measured.room


def _expected(found: Sequence[Measured], size: int) -> float:
    """The part of the memory that a size would take, by a line through the last two."""
    if len(found) < 2:
        return _part(found[-1])
    first, last = found[-2:]
    slope = max(0.0, (_part(last) - _part(first)) / (last.size - first.size))
    return _part(last) + slope * (size - last.size)


def _grows(found: Sequence[Measured], slack: float) -> bool:
    """Whether larger batches may still be faster, where speed is what counts."""
    if found[-1].device != "cpu" or len(found) < 3:
        return True
    best = max(m.speed for m in found[:-2])
    return any(m.speed > (1 + slack) * best for m in found[-2:])


def _between(
    found: Sequence[Measured], fits: Sequence[Measured], settings: Mapping[str, Any]
) -> int | None:
    """A size between the largest that fits and the next, which memory may still take."""
    last = fits[-1]
    if len(fits) < 2 or 2 * last.size > settings["high"]:
        return None
    if any(m.why is not None and m.why != NO_MEMORY for m in found):
        return None
    unit = max(1, last.size // 4)
    sizes = [last.size + unit * n for n in (3, 2, 1)]
    return next((s for s in sizes if _expected(fits, s) <= 0.97 * settings["memory"]), None)


def _line(measured: Measured) -> str:
    if measured.why:
        return f"batch {measured.size}: {measured.why}"
    memory = "" if measured.memory is None else f", {measured.memory / 1e9:.2f} GB"
    return (
        f"batch {measured.size}: {measured.speed:.1f} images/s, "
        f"{1000 * measured.seconds:.0f} ms a step{memory}"
    )


def as_rows(found: Sequence[Measured]) -> list[dict[str, Any]]:
    """What was measured as plain data; what isn't known is None."""
    rows = [asdict(m) | {"images_per_second": m.speed} for m in found]
    return [
        {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in row.items()}
        for row in rows
    ]


def draw(path: Path, found: Sequence[Measured], chosen: int | None, memory: float) -> None:
    """Draw speed and memory over the batch size."""
    shown = [m for m in found if m.why is None]
    figure, (upper, lower) = make_panels(7.4, 5.2, [1, 1])
    sizes = [m.size for m in shown]
    upper.plot(sizes, [m.speed for m in shown], color=BLUE, marker="o", markersize=4)
    upper.set(ylabel="images/s", ylim=(0, None), xscale="log")
    lower.plot(sizes, [(m.memory or 0) / 1e9 for m in shown], color=BLUE, marker="o", markersize=4)
    room = next((m.room for m in shown if m.room), None)
    if room and max((_part(m) for m in shown), default=0) > memory / 3:
        lower.axhline(memory * room / 1e9, color=RED, linewidth=1, linestyle=(0, (4, 2)))
    lower.set(ylabel="memory, GB", ylim=(0, None), xlabel="data.batch_size")
    lower.set_xticks(sizes, [str(s) for s in sizes])
    lower.minorticks_off()
    for axes in (upper, lower):
        if chosen is not None:
            axes.axvline(chosen, color=RED, linewidth=1.2)
        axes.spines[["top", "right"]].set_visible(False)
    upper.set_title("Batch size", loc="left", fontsize=11)
    figure.savefig(path, bbox_inches="tight", pad_inches=0.15)
