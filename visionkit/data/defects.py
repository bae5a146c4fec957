"""What is wrong with a data set, as values.

A reader that meets an annotation, a picture or a class that it can't use calls :func:`lose` and
goes on without it. Outside of :func:`collecting`, :func:`lose` raises, so a set with a defect stops
the run. What is left out or mended without a word to stop for is told by :func:`note`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal

from visionkit.errors import DataError

Effect = Literal["stops", "dropped", "mended", "noted"]
"""What a defect does to training: ``stops`` it unless ``data.defects=drop``; the annotation is
``dropped``; it is ``mended``, which is read as it was meant; it is worth knowing (``noted``)."""

WAY_OUT = ", or go on without it by data.defects=drop"
"""How an error ends that concerns one annotation, picture or class."""


@dataclass(frozen=True)
class Defect:
    """One thing that is wrong with a data set.

    Attributes:
        kind: a short name in lower case with hyphens, the same for all defects of its kind.
        file: the file or folder that has it; in a text file with ``:line``.
        cause: what is wrong.
        mend: what to do about it.
        effect: what it does to training.
        split: the split that it was met in, if any.
    """

    kind: str
    file: str
    cause: str
    mend: str
    effect: Effect
    split: str = ""

    @property
    def line(self) -> str:
        """File, cause and mend."""
        return f"{self.file}: {self.cause}; {self.mend}"


@dataclass(frozen=True)
class _Collector:
    found: list[Defect]
    split: str


_collector: ContextVar[_Collector | None] = ContextVar("collector", default=None)


def lose(kind: str, file: object, cause: str, mend: str) -> None:
    """Give up one annotation, picture or class, which the caller then leaves out.

    Args:
        kind: see :class:`Defect`, as the others.
        file: a path.
        cause: what is wrong.
        mend: what to do about it.

    Raises:
        DataError: nobody collects defects.
    """
    collector = _collector.get()
    if collector is None:
        raise DataError(f"{file}: {cause}; {mend}{WAY_OUT}")
    collector.found.append(Defect(kind, str(file), cause, mend, "stops", collector.split))


def lose_by(error: DataError, kind: str) -> None:
    """Give up what an error is about; see :func:`lose`.

    Args:
        error: its line is ``file: cause; mend``.
        kind: see :class:`Defect`.

    Raises:
        DataError: nobody collects defects.
    """
    file, _, rest = str(error).partition(": ")
    cause, _, mend = rest.rpartition("; ")
    lose(kind, file, cause, mend)


def note(kind: str, file: object, cause: str, mend: str, effect: Effect) -> None:
    """Tell whoever collects of a defect that stops nothing; see :func:`lose`."""
    collector = _collector.get()
    if collector is not None:
        collector.found.append(Defect(kind, str(file), cause, mend, effect, collector.split))


def is_collecting() -> bool:
    """Whether somebody collects defects, so that it is worth looking for what only they hear of."""
    return _collector.get() is not None


@contextmanager
def collecting(split: str = "") -> Iterator[list[Defect]]:
    """Collect what readers find wrong, in the order in which they find it.

    Threads that are started within don't take part.

    Args:
        split: written to each defect.
    """
    found: list[Defect] = []
    token = _collector.set(_Collector(found, split))
    try:
        yield found
    finally:
        _collector.reset(token)


@contextmanager
def naming_way_out() -> Iterator[None]:
    """Add to a :class:`DataError` about one picture that training can do without it."""
    try:
        yield
    except DataError as error:
        raise DataError(f"{error}{WAY_OUT}") from error


@contextmanager
def aside(unless: bool = False) -> Iterator[None]:
    """Keep what is found from who collects, as it is told elsewhere: it is another split's.

    Where nobody collects, :func:`lose` raises as ever.

    Args:
        unless: do nothing.
    """
    if unless or not is_collecting():
        yield
        return
    with collecting():
        yield
