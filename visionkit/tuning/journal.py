"""The journal of a study: Optuna's, which several processes may write to."""

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

from visionkit.errors import CheckpointError

if TYPE_CHECKING:
    from optuna.storages import BaseStorage
    from optuna.storages.journal import JournalFileOpenLock

NAME = "visionkit"
"""Of the study in the journal."""
JOURNAL = "study.journal"


def open_storage(folder: Path) -> "BaseStorage":
    """Open the journal of a study's folder, making it if need be.

    Raises:
        CheckpointError: the file is something else.
    """
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    logging.getLogger("optuna").setLevel(logging.WARNING)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / JOURNAL
    try:
        return JournalStorage(JournalFileBackend(str(path), _lock(path)))
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{path}: no journal of a search, or damaged; choose another run_dir"
        ) from error


def _lock(path: Path) -> "JournalFileOpenLock":
    """What Optuna holds while it writes to a journal.

    A process that was killed may have left half a line, after which nothing more could be read:
    whoever comes to write next cuts it off, while nobody else writes. A lock that was left is taken
    after half a minute; not so Optuna's own kind, a link, where the path is a relative one.
    """
    from optuna.storages.journal import JournalFileOpenLock

    class Mending(JournalFileOpenLock):
        def acquire(self) -> bool:
            taken = super().acquire()
            if path.is_file():
                cut_half_line(path)
            return taken

    return Mending(str(path))


def cut_half_line(path: Path) -> None:
    """Take away what follows the last end of a line."""
    with path.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        if size == 0:
            return
        file.seek(size - 1)
        if file.read() != b"\n":
            file.seek(0)
            file.truncate(file.read().rfind(b"\n") + 1)


def trial_id(storage: "BaseStorage", number: int) -> int:
    """The id in a storage of the trial of a number."""
    study = storage.get_study_id_from_name(NAME)
    return storage.get_trial_id_from_study_id_trial_number(study, number)
