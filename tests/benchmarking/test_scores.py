"""The figure of a model at several sizes."""

from pathlib import Path
from typing import Any

import pytest
import torch
from bright_files import ABOUT, write_onnx
from tiny import CLASSES, make_model, tiny_config

from visionkit.benchmarking.given import Given, open_given
from visionkit.benchmarking.scores import Score, Split
from visionkit.build import plain
from visionkit.checkpoint import Loaded
from visionkit.errors import CheckpointError, DataError
from visionkit.options import PredictOptions
from visionkit.subjects import CheckpointSubject

SETTINGS = {"split": "val", "data": None, "data_overrides": {}, "evaluator_overrides": {},
            "allow": []}  # fmt: skip


@pytest.fixture
def given(squares: Path, tmp_path: Path) -> Given:
    cfg = plain(tiny_config(squares, tmp_path))
    predict = cfg["predict"] | {"flip": True}
    loaded = Loaded(
        make_model().eval(), CLASSES, (64, 64), "detection", cfg["data"], cfg["evaluator"], predict
    )
    return Given(tmp_path / "best.ckpt", "best", "detection", "boxes", (64, 64), loaded)


def test_a_split_is_scored_at_the_size_that_is_asked_for(
    given: Given, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[tuple[int, ...], PredictOptions]] = []

    def score(self: CheckpointSubject, batches: Any, evaluator: Any) -> dict[str, float]:
        (batch,) = batches
        seen.append((tuple(batch.images.shape), self.model.options))
        return {"AP": 0.25, "AP50": 0.5}

    monkeypatch.setattr(CheckpointSubject, "score", score)
    split = Split(given, SETTINGS)
    assert split.score((64, 64)) == Score("AP", "max", 0.25)
    assert split.score((96, 64)) == Score("AP", "max", 0.25)
    assert [shape for shape, _ in seen] == [(4, 3, 64, 64), (4, 3, 96, 64)]
    # each picture is looked at once, as where times are taken, and every score counts
    assert [o.flip for _, o in seen] == [False, False]
    assert {o.confidence for _, o in seen} == {PredictOptions().confidence}


def test_the_figure_is_evaluation_s(given: Given) -> None:
    found = Split(given, SETTINGS).score((64, 64))
    assert found.name == "AP"
    assert 0 <= found.value < 0.5
    torch.manual_seed(1)
    assert Split(given, SETTINGS).score((64, 64)) == found


def test_its_pictures_are_the_split_s(given: Given, squares: Path, tmp_path: Path) -> None:
    files = Split(given, SETTINGS).pictures(tmp_path / "pictures")
    assert files == [squares / "val" / f"{n}.png" for n in range(4)]


def test_a_split_that_is_not_there(given: Given) -> None:
    with pytest.raises(DataError, match="no test split"):
        Split(given, SETTINGS | {"split": "test"})


def test_a_file_without_an_evaluator(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    assert ABOUT.evaluator is None
    given = open_given(write_onnx(tmp_path / "model.onnx"))
    with pytest.raises(CheckpointError, match="no evaluator; leave split= out"):
        Split(given, SETTINGS)
