"""Errors a person can act on: one line that names the place, the cause and the mend."""

import re
from collections.abc import Sequence


class VisionkitError(Exception):
    """Base of every error that the command line reports without a traceback (exit code 2)."""

    exit_code = 2

    def __init__(self, line: str) -> None:
        super().__init__(_own_words(line))


class ConfigError(VisionkitError):
    """The configuration is wrong.

    Args:
        problems: one line for each problem, each starting with the dotted path it is about.
    """

    def __init__(self, problems: str | Sequence[str]) -> None:
        self.problems = [problems] if isinstance(problems, str) else list(problems)
        super().__init__("\n".join(self.problems))


class DataError(VisionkitError):
    """A file of the data set is missing, unreadable or contradicts itself."""


class CheckpointError(VisionkitError):
    """A checkpoint or weight file can't be read, written, or doesn't fit the model."""


def _own_words(line: str) -> str:
    """Undo what torch does to the error of a process that loads data: it adds the traceback."""
    if not re.match(r"Caught \w+ in ", line):
        return line
    return re.split(rf"^{re.escape(__name__)}\.\w+: ", line, flags=re.MULTILINE)[-1].strip()
