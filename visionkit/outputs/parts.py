"""What is written of one part of a joint result alone."""

from visionkit.outputs.base import Entry, Output


class PartOutput(Output):
    """Gives one part of each joint result to an output for results of its kind.

    Args:
        name: of the part.
        output: takes what that part says.
    """

    def __init__(self, name: str, output: Output) -> None:
        self.name, self.output = name, output

    def add(self, entry: Entry) -> None:
        """See :class:`Output`."""
        self.output.add(entry.parts[self.name])

    def finish(self) -> None:
        """See :class:`Output`."""
        self.output.finish()

    def discard(self) -> None:
        """See :class:`Output`."""
        self.output.discard()
