"""Tensors inside containers."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from visionkit.ops.nested import map_tensors


@dataclass(frozen=True)
class Raw:
    logits: Tensor
    canvas: tuple[int, int]


class Pair(NamedTuple):
    boxes: Tensor
    name: str


def test_tensors_change_wherever_they_are_and_nothing_else_does():
    one = torch.ones(2)
    value = {"raw": Raw(one, (3, 4)), "pairs": [Pair(one, "a"), (one, None)], "n": 5}
    found = map_tensors(value, lambda t: t + 1)
    assert isinstance(found["raw"], Raw)
    assert found["raw"].canvas == (3, 4)
    assert isinstance(found["pairs"], list)
    assert isinstance(found["pairs"][0], Pair)
    assert found["pairs"][0].name == "a"
    assert isinstance(found["pairs"][1], tuple)
    assert found["pairs"][1][1] is None
    assert found["n"] == 5
    for tensor in (found["raw"].logits, found["pairs"][0].boxes, found["pairs"][1][0]):
        assert torch.equal(tensor, one + 1)
    assert torch.equal(value["raw"].logits, torch.ones(2))
