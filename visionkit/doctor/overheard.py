"""What C libraries say of damaged pictures, which they tell the error stream and nobody else."""

import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

Said = Callable[[], str]
"""Gives what was said since it was called last."""

_DAMAGE = re.compile(r"(Corrupt JPEG data: (?!\d+ extraneous)[^\n]*|Premature end of JPEG[^\n]*)")


def damage(text: str) -> str:
    """What of ``text`` means that pixels are lost; libjpeg goes on with grey ones."""
    found = _DAMAGE.search(text)
    return found[1].removeprefix("Corrupt JPEG data: ").strip() if found else ""


@contextmanager
def overhearing() -> Iterator[tuple[Said, TextIO]]:
    """Catch what the process writes on its error stream.

    It is caught from all threads alike, so which picture is meant is only known when no other is
    read at the same time.

    Yields:
        A function that tells what was said, and a stream to the old place.
    """
    if sys.stderr is not None:
        sys.stderr.flush()
    try:
        old = os.dup(2)
    except OSError:  # there is no error stream
        yield (lambda: ""), sys.stdout
        return
    # appending: reading must not move the place that others write to
    with open(old, "w", encoding="utf-8") as stream, tempfile.TemporaryFile("a+b") as caught:
        told = 0

        def said() -> str:
            nonlocal told
            if os.fstat(caught.fileno()).st_size == told:
                return ""
            caught.seek(told)
            data = caught.read()
            told += len(data)
            return data.decode(errors="replace")

        os.dup2(caught.fileno(), 2)
        try:
            yield said, stream
        finally:
            if sys.stderr is not None:
                sys.stderr.flush()
            os.dup2(old, 2)
