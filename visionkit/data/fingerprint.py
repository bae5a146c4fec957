"""Whether what was read before would be read again alike."""

import hashlib
import os
import pickle
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

import visionkit
from visionkit.data.strings import StringTable

_PLAIN = (str, bytes, int, float, complex, type(None))


def fingerprint(*things: Any) -> str:
    """16 letters and digits that change with an index, its files and the code that reads them.

    Of files it is their paths, sizes and times of change that count. Of an index they are the
    fields: what it has worked out since doesn't.
    """
    digest = hashlib.sha256()
    _take(digest, (visionkit.__version__, cv2.__version__, things))
    return digest.hexdigest()[:16]


def _take(digest: Any, thing: Any) -> None:
    digest.update(f"<{type(thing).__qualname__}".encode())
    if isinstance(thing, StringTable):
        for i in range(len(thing)):
            _take_file(digest, thing[i])
    elif isinstance(thing, Path):
        _take_file(digest, str(thing))
    elif isinstance(thing, np.ndarray):
        digest.update(f"{thing.dtype}{thing.shape}".encode())
        digest.update(np.ascontiguousarray(thing).data)
    elif isinstance(thing, _PLAIN):
        digest.update(repr(thing).encode("utf-8", "surrogateescape"))
    elif isinstance(thing, Mapping):
        for key, value in thing.items():
            _take(digest, key)
            _take(digest, value)
    elif isinstance(thing, list | tuple):
        for part in thing:
            _take(digest, part)
    elif is_dataclass(thing):
        for field in fields(thing):
            digest.update(field.name.encode())
            _take(digest, getattr(thing, field.name))
    elif hasattr(thing, "__dict__"):
        _take(digest, vars(thing))
    else:
        digest.update(pickle.dumps(thing))
    digest.update(b">")


def _take_file(digest: Any, path: str) -> None:
    digest.update(os.fsencode(path) + b"\0")
    with suppress(OSError):
        facts = os.stat(path)
        digest.update(f"{facts.st_size} {facts.st_mtime_ns}".encode())
