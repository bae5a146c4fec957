"""Where something was measured."""

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from visionkit.data.cores import cores

PACKAGES = ("visionkit", "torch", "onnxruntime", "openvino", "numpy", "opencv-python-headless")
"""Whose versions are told, as far as they are there."""


def machine() -> dict[str, Any]:
    """Describe this machine: ``processor``, ``cores`` that may be used, ``memory_gb``, ``system``.

    And ``gpu``, where torch has been loaded and sees one.
    """
    torch = sys.modules.get("torch")
    sees = torch is not None and torch.cuda.is_available()
    return {
        "processor": processor(),
        "cores": cores(),
        "memory_gb": _memory(),
        "gpu": torch.cuda.get_device_name() if torch is not None and sees else None,
        "system": f"{platform.system()} {platform.release()}",
    }


def versions() -> dict[str, str]:
    """Return the versions of Python and of what computes, by name."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def processor() -> str:
    """Name the processor."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model name" and value.strip():
            return value.strip()
    return platform.processor() or platform.machine() or "unknown"


def _memory() -> float | None:
    """Main memory in 10^9 bytes."""
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1)
    except (AttributeError, OSError, ValueError):  # not on Windows
        return None
