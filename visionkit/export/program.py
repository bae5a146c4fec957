"""``.pt2`` files: torch's own exported programs."""

import json
import os
from dataclasses import asdict
from pathlib import Path

import torch
from torch.export import ExportedProgram

from visionkit.about import About
from visionkit.report import write_json
from visionkit.runtimes.program import ENTRY


def write(program: ExportedProgram, path: Path, about: About) -> None:
    """Write a ``.pt2`` file, and what it says of itself beside it.

    Args:
        program: the traced network; torch and torchvision suffice to run it.
        path: ends in ``.pt2``.
        about: goes into the file, and into one of the same name that ends in ``.json``.
    """
    temporary = path.with_name(f".{os.getpid()}.tmp.pt2")
    try:
        torch.export.save(program, temporary, extra_files={ENTRY: json.dumps(asdict(about))})
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    write_json(path.with_suffix(".json"), asdict(about), indent=2)
