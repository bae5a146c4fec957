"""Programs compiled ahead of time."""

import json
import zipfile
from pathlib import Path

import pytest
import torch
from onnx_cases import ABOUT
from torch import Tensor, nn
from torch._inductor.exc import InvalidCxxCompiler
from torch.export import Dim, ExportedProgram

from visionkit.about import from_plain
from visionkit.errors import ConfigError
from visionkit.export.aot import write_compiled
from visionkit.runtimes.program import ENTRY


class Double(nn.Module):
    def forward(self, images: Tensor) -> tuple[Tensor]:
        return (images.float() * 2,)


@pytest.fixture(scope="module")
def program() -> ExportedProgram:
    images = torch.zeros(2, 3, 4, 4, dtype=torch.uint8)
    batch = {0: Dim("batch", min=1, max=8)}
    return torch.export.export(Double(), (images,), dynamic_shapes=(batch,))


@pytest.mark.slow
def test_a_compiled_file_computes_and_says_the_same(
    program: ExportedProgram, tmp_path: Path
) -> None:
    path = tmp_path / "a.pt2"
    write_compiled(program, path, ABOUT)
    compiled = torch._inductor.aoti_load_package(str(path))
    for count in (1, 3):
        images = torch.randint(0, 256, (count, 3, 4, 4), dtype=torch.uint8)
        (found,) = compiled(images)
        assert torch.equal(found, images.float() * 2)
    with zipfile.ZipFile(path) as archive:
        (entry,) = (name for name in archive.namelist() if name.endswith(f"/{ENTRY}"))
        said = json.loads(archive.read(entry))
    assert said == json.loads((tmp_path / "a.json").read_text())
    assert from_plain(said, "a.pt2").strings() == ABOUT.strings()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.json", "a.pt2"]


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (InvalidCxxCompiler("g++"), r"aot: this needs a C\+\+ compiler; install g\+\+, or leave"),
        (
            RuntimeError("\nno such operator\nat line 3"),
            r"compiled \(no such operator\); leave aot",
        ),
    ],
)
def test_what_can_t_be_compiled_is_told_in_a_line(
    program: ExportedProgram,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    line: str,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(torch._inductor, "aot_compile", fail)
    with pytest.raises(ConfigError, match=line):
        write_compiled(program, tmp_path / "a.pt2", ABOUT)
    assert not list(tmp_path.iterdir())
