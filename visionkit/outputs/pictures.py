"""Pictures with what was found in them, and results that are pictures themselves."""

from visionkit.outputs.base import Entry, Output
from visionkit.report import write_mask, write_picture
from visionkit.results import Generated, SemanticMask


class DrawnPictures(Output):
    """Draws each result on its picture."""

    def add(self, entry: Entry) -> None:
        """See :class:`Output`."""
        write_picture(entry.places.drawn(entry.key), entry.drawn, quality=92)


class ResultPictures(Output):
    """Writes masks as PNGs of indices, and pictures that were made of others."""

    def add(self, entry: Entry) -> None:
        """See :class:`Output`."""
        for part in entry.parts.values():
            self.add(part)
        if entry.beside is None:
            return
        if isinstance(entry.result, SemanticMask):
            write_mask(entry.beside, entry.result.labels)
        elif isinstance(entry.result, Generated):
            write_picture(entry.beside, entry.result.image)
