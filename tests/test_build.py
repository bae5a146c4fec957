import functools
import sys

import pytest

from visionkit.build import bind_problems, build, call, problems, resolve
from visionkit.errors import ConfigError

PARTS = """
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from visionkit.errors import ConfigError

LEVEL = 3


@dataclass
class Trunk:
    width: float
    depth: int = 1
    betas: tuple[float, float] = (0.9, 0.999)
    mode: Literal["fast", "exact"] = "fast"
    workers: int | Literal["auto"] = "auto"
    scales: Sequence[float] = ()
    file: Path | None = None
    inner: object = None


class Anything:
    def __init__(self, **kwargs):
        self.kwargs = kwargs


class Untyped:
    def __init__(self, betas=(0.9, 0.999), name="x"):
        self.betas = betas


class Head:
    def __init__(self, in_features, num_classes, channels: int = 8):
        if channels < 0:
            raise ValueError("channels must not be negative\\nmore")
        if channels == 0:
            raise ConfigError("channels: must not be 0")
        if channels == 1:
            raise ConfigError("backbone.name: has no maps")
        if channels == 2:
            raise KeyError("a bug")
        self.args = in_features, num_classes, channels
"""


@pytest.fixture(autouse=True)
def parts(tmp_path, monkeypatch):
    (tmp_path / "spareparts.py").write_text(PARTS)
    (tmp_path / "brokenparts.py").write_text("import nothing_of_that_name\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("spareparts", None)


def make(node, path="part", **extra):
    return build(node, path, allow=["spareparts"], **extra)


def lines(node, path="part", **extra):
    with pytest.raises(ConfigError) as caught:
        make(node, path, **extra)
    return caught.value.problems


TRUNK = "spareparts.Trunk"


def test_nested_nodes_lists_and_null_are_built():
    inner = {"_target_": TRUNK, "width": 1.0}
    spec = {"a": [inner, None, 3], "b": {"c": {"_target_": TRUNK, "width": 2.0, "inner": [inner]}}}
    built = make(spec)
    assert built["a"][0].width == 1.0
    assert built["a"][1:] == [None, 3]
    assert built["b"]["c"].inner[0].width == 1.0
    assert make(None) is None


def test_partial_keeps_its_arguments_and_takes_the_rest_later():
    late = make({"_target_": TRUNK, "_partial_": True, "depth": 3})
    assert isinstance(late, functools.partial)
    assert late(width=2.0).depth == 3


def test_omegaconf_nodes_are_resolved_within_their_root():
    from omegaconf import OmegaConf

    cfg = OmegaConf.create({"n": 4, "part": {"_target_": TRUNK, "width": "${n}"}})
    assert make(cfg.part).width == 4.0
    cfg = OmegaConf.create({"part": {"_target_": TRUNK, "width": "${nowhere}"}})
    assert "part.width" in lines(cfg.part)[0]


def test_integers_become_floats_where_floats_are_wanted():
    trunk = make({"_target_": TRUNK, "width": 1, "betas": [0, 0.99], "scales": [1, 2]})
    assert trunk.betas == (0.0, 0.99)
    assert [type(v) for v in (trunk.width, *trunk.betas, *trunk.scales)] == [float] * 5
    untyped = make({"_target_": "spareparts.Untyped", "betas": [0, 0.99]})
    assert [type(v) for v in untyped.betas] == [float, float]


def test_adam_takes_betas_with_an_integer():
    import torch

    optimizer = build(
        {"_target_": "torch.optim.Adam", "_partial_": True, "lr": 1, "betas": [0, 0.99]}
    )
    weight = torch.nn.Parameter(torch.ones(2))
    weight.grad = torch.ones(2)
    optimizer([weight]).step()
    assert weight.tolist() == pytest.approx([0.0, 0.0], abs=1e-5)


def test_extra_arguments_reach_the_outermost_call_only():
    head = make({"_target_": "spareparts.Head"}, in_features=[1], num_classes=2)
    assert head.args == ([1], 2, 8)
    told = lines({"_target_": "spareparts.Head", "num_classes": 3}, num_classes=2, in_features=1)
    assert told == ["part.num_classes: is set by visionkit itself; remove it"]
    told = lines({"_target_": TRUNK, "width": 1.0}, in_features=1)
    assert told == ["part: Trunk must take the argument 'in_features', which visionkit adds"]


def test_all_problems_are_told_together_with_their_paths():
    spec = {
        "_target_": TRUNK,
        "depht": 2,
        "mode": "exakt",
        "workers": "many",
        "inner": {"_target_": TRUNK, "width": "wide"},
    }
    told = lines(spec)
    assert "part.depht: Trunk has no such argument; did you mean 'depth'?" in told
    assert "part.mode: 'exakt' is not one of 'fast', 'exact'; did you mean 'exact'?" in told
    assert "part.workers: expected an integer or 'auto', got 'many'" in told
    assert "part.width: missing; Trunk needs it" in told
    assert "part.inner.width: expected a number, got 'wide'" in told
    assert len(told) == 5


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ({"width": True}, "part.width: expected a number, got True"),
        ({"width": 1.0, "depth": 1.5}, "part.depth: expected an integer, got 1.5"),
        ({"width": 1.0, "depth": None}, "part.depth: expected an integer, got None"),
        ({"width": 1.0, "betas": [1]}, "part.betas: expected 2 values, got 1: [1]"),
        ({"width": 1.0, "scales": 3}, "part.scales: expected a list, got 3"),
        ({"width": "???"}, "part.width: missing; give it a value"),
    ],
)
def test_simple_types(value, line):
    assert lines({"_target_": TRUNK, **value}) == [line]


def test_paths_are_made_of_text():
    assert make({"_target_": TRUNK, "width": 1, "file": "a/b"}).file.name == "b"


def test_open_signatures_take_anything():
    assert make({"_target_": "spareparts.Anything", "x": 1}).kwargs == {"x": 1}


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("spareparts.Trunkk", "spareparts has no 'Trunkk'; did you mean 'Trunk'?"),
        ("spareparts.LEVEL", "is no class or function"),
        ("spareparts.os.system", "spareparts.os.system (from os) is in no package"),
        ("spareparts.os", "(from os) is in no package"),
        ("os.system", "if you trust it, allow=[os]"),
        ("brokenparts.X", "allow=[brokenparts]"),
        ("visionkit.nowhere.X", "visionkit has no 'nowhere'"),
        ("sparepartsx.X", "allow=[sparepartsx]"),
        ("Trunk", "is no dotted name"),
        (3, "is no dotted name"),
        ("torch.optim.AdamWW", "did you mean 'AdamW'?"),
    ],
)
def test_targets_that_cannot_be_had(target, says):
    told = lines({"_target_": target})
    assert len(told) == 1
    assert told[0].startswith("part._target_: ")
    assert says in told[0]


def test_a_target_that_fails_to_import_names_the_cause():
    with pytest.raises(ConfigError, match=r"part\._target_: brokenparts\.X can't be imported .*no"):
        resolve("brokenparts.X", "part", allow=["brokenparts"])


def test_a_narrow_package_list_is_not_widened_by_reexports():
    with pytest.raises(ConfigError, match=r"\(from pathlib\) may not be built here"):
        resolve("visionkit.geometry.Path", "model", packages=["visionkit"])
    with pytest.raises(ConfigError, match="only visionkit may"):
        resolve("torch.nn.Conv2d", "model", packages=["visionkit"])
    assert callable(resolve("visionkit.geometry.Letterbox", "model", packages=["visionkit"]))


@pytest.mark.parametrize(
    ("channels", "line"),
    [
        (-1, "head: Head(...) refused its arguments: channels must not be negative"),
        (0, "head.channels: must not be 0"),
        (1, "backbone.name: has no maps"),
    ],
)
def test_what_a_constructor_refuses_carries_the_path(channels, line):
    spec = {"_target_": "spareparts.Head", "channels": channels}
    assert lines(spec, "head", in_features=1, num_classes=1) == [line]


def test_a_bug_in_a_constructor_keeps_its_traceback():
    with pytest.raises(KeyError):
        make({"_target_": "spareparts.Head", "channels": 2}, in_features=1, num_classes=1)


def test_late_calls_name_their_path():
    import torch

    factory = build({"_target_": "torch.optim.AdamW", "_partial_": True, "lr": -1.0}, "optimizer")
    with pytest.raises(ConfigError, match=r"^optimizer: AdamW\(\.\.\.\) refused .*-1\.0"):
        call(factory, "optimizer", [torch.nn.Parameter(torch.ones(1))])


def test_trainer_arguments_are_checked_against_its_signature():
    told = problems(
        {"_target_": "lightning.Trainer", "max_epoch": 3, "precision": "bf16-mixd", "devices": 1.5},
        "trainer",
    )
    text = "\n".join(told)
    assert "trainer.max_epoch: Trainer has no such argument; did you mean 'max_epochs'?" in text
    assert "did you mean 'bf16-mixed'?" in text
    assert "trainer.devices: expected" in text
    kept = {"limit_train_batches": 1, "limit_val_batches": 1.0, "devices": "auto", "precision": 32}
    assert problems({"_target_": "lightning.Trainer", **kept}, "trainer") == []


def test_bind_problems_without_a_path():
    def f(a: int, *, b: str = "") -> None: ...

    assert bind_problems(f, {"b": 2}) == ["a: missing; f needs it", "b: expected a text, got 2"]
    assert bind_problems(f, {}, partial=True) == []
    assert bind_problems(f, {}, ("a",)) == []
    assert bind_problems(f, {"a": 1, "c": 1})[0].startswith("c: f has no such")
