"""Errors a person can act on: one line that names the place, the cause and the mend."""

import contextlib
import re
import threading
from collections.abc import Iterator, Sequence


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


class TrainingError(VisionkitError):
    """Training has gone astray: its weights aren't worth keeping."""


class ParityError(VisionkitError):
    """An exported file doesn't say what its checkpoint says."""


@contextlib.contextmanager
def one_line() -> Iterator[None]:
    """Make one line of what the system refuses: a full disk, a folder that can't be made.

    Threads that write in the background (TensorBoard's) keep quiet: the next call tells.
    """
    tell = threading.excepthook
    threading.excepthook = lambda told: issubclass(told.exc_type, OSError) or tell(told)
    try:
        yield
    except OSError as error:
        if isinstance(error, BrokenPipeError):  # `visionkit list | head`
            raise
        where = error.filename or "run_dir"
        reason = error.strerror or str(error) or type(error).__name__
        raise VisionkitError(
            f"{where}: {reason}; check the path, its permissions and the room on its disk"
        ) from error
    finally:
        threading.excepthook = tell


def _own_words(line: str) -> str:
    """Undo what torch does to the error of a process that loads data: it adds the traceback."""
    if not re.match(r"Caught \w+ in ", line):
        return line
    return re.split(rf"^{re.escape(__name__)}\.\w+: ", line, flags=re.MULTILINE)[-1].strip()
