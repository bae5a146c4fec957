"""Programs that are compiled ahead of time, by torch's AOTInductor."""

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

from torch.export import ExportedProgram

from visionkit.about import About
from visionkit.errors import ConfigError
from visionkit.export.tracing import quietly
from visionkit.report import write_json
from visionkit.runtimes.program import ENTRY
from visionkit.targets import first_line


def write_compiled(program: ExportedProgram, path: Path, about: About) -> None:
    """Compile a program to a ``.pt2`` package of machine code, and write what it says beside it.

    The package holds the entry that a program's file has, in the same place. It needs no compiler
    where it runs, but a processor like the one here, and the same torch.

    Args:
        program: the traced network.
        path: ends in ``.pt2``.
        about: goes into the file, and into one of the same name that ends in ``.json``.

    Raises:
        ConfigError: there is no C++ compiler, or the program can't be compiled.
    """
    from torch._inductor import aot_compile
    from torch._inductor.exc import InvalidCxxCompiler
    from torch.export.pt2_archive._package import package_pt2

    args, named = cast(tuple[tuple[object, ...], dict[str, object]], program.example_inputs)
    temporary = path.with_name(f".{os.getpid()}.tmp.pt2")
    try:
        with quietly():
            graph = program.module(check_guards=False)
            files: Any = aot_compile(graph, args, named, options={"aot_inductor.package": True})
            said = {ENTRY: json.dumps(asdict(about))}
            package_pt2(temporary, aoti_files=files, extra_files=said)
        os.replace(temporary, path)
    except InvalidCxxCompiler as error:
        raise ConfigError(
            "aot: this needs a C++ compiler; install g++, or leave aot=false"
        ) from error
    except RuntimeError as error:
        raise ConfigError(
            f"aot: this network can't be compiled ({first_line(error)}); leave aot=false"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)
    write_json(path.with_suffix(".json"), asdict(about), indent=2)
