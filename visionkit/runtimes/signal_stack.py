"""Leaving a thread its own stack for signals, whatever a library puts in its place."""

import contextlib
import ctypes
import sys
from collections.abc import Iterator


class _Stack(ctypes.Structure):
    """The system's ``stack_t``, as Linux has it."""

    _fields_ = (
        ("place", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("size", ctypes.c_size_t),
    )


@contextlib.contextmanager
def signal_stack_kept() -> Iterator[None]:
    """Put back the stack on which this thread handles signals.

    OpenVINO's plugin for processors puts memory of its own in its place when it is loaded, and
    gives that memory back when its last model goes. The next signal that Python handles, Ctrl-C or
    the end of a process that loads pictures, then ends the whole process without a word.
    """
    if sys.platform != "linux":
        yield
        return
    system = ctypes.CDLL(None)
    before = _Stack()
    known = system.sigaltstack(None, ctypes.byref(before)) == 0
    try:
        yield
    finally:
        if known:
            system.sigaltstack(ctypes.byref(before), None)
