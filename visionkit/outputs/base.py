"""What every output promises."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from visionkit.geometry import Image
from visionkit.outputs.places import Key, Places
from visionkit.render import draw
from visionkit.results import Generated, Joint, Result, SemanticMask

BESIDE = {SemanticMask: ("mask", "masks"), Generated: ("made", "made")}
"""Results that are pictures themselves: what their place is called, and the folder."""


@dataclass(frozen=True)
class Entry:
    """A picture with what was found, on its way into files.

    Attributes:
        file: the path that was given; of a frame the video's.
        image: [H, W, 3] uint8 RGB.
        result: in its pixels.
        key: the picture's file, or the number of a frame.
        places: where files go.
        seconds: of a frame, since the video began; None for a picture.
    """

    file: str
    image: Image
    result: Result
    key: Key
    places: Places
    seconds: float | None = None

    @cached_property
    def drawn(self) -> Image:
        """The picture with its result, [H, W, 3] uint8 RGB."""
        return draw(self.image, self.result)

    @cached_property
    def parts(self) -> dict[str, "Entry"]:
        """What each part of a joint result says, by its name; none of others."""
        if not isinstance(self.result, Joint):
            return {}
        return {
            name: replace(self, result=part, places=self.places.of_part(name))
            for name, part in self.result.parts.items()
        }

    @cached_property
    def beside(self) -> Path | None:
        """Where a result that is a picture itself goes, None for others."""
        named = BESIDE.get(type(self.result))
        return self.places.below(named[1], self.key) if named else None

    @cached_property
    def record(self) -> dict[str, Any]:
        """What ``predictions.json`` says of the picture."""
        height, width = self.image.shape[:2]
        record: dict[str, Any] = {"file": self.file}
        if self.seconds is not None:
            record |= {"frame": self.key, "seconds": round(self.seconds, 6)}
        record |= {"width": width, "height": height}
        said = {name: part._said(self.places) for name, part in self.parts.items()}
        return record | (said or self._said(self.places))

    def _said(self, places: Places) -> dict[str, Any]:
        """What is said of the result alone; files are named from the folder of these places."""
        said: dict[str, Any] = {}
        if self.beside is not None:
            key = BESIDE[type(self.result)][0]
            said[key] = self.beside.relative_to(places.folder).as_posix()
        return said | self.result.to_dict()


class Output(ABC):
    """Takes pictures one by one and writes something of them.

    What only the whole of them tells is written when a ``with`` statement ends, also by Ctrl-C;
    where it ends by another error, no half a file is left.
    """

    @abstractmethod
    def add(self, entry: Entry) -> None:
        """Take a picture.

        Raises:
            DataError: the disk is full or the folder can't be written.
        """

    def finish(self) -> None:
        """Write what only the whole tells."""
        return

    def discard(self) -> None:
        """Take away what was begun."""
        return

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None or issubclass(kind, KeyboardInterrupt):
            self.finish()
        else:
            self.discard()
