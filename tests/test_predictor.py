"""Prediction through the library and as a command, with a model that finds bright rectangles."""

import io
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from rich.console import Console
from torch import nn

from visionkit.batch import Batch
from visionkit.errors import DataError
from visionkit.heads.base import PredictOptions
from visionkit.predict import picture_names, run
from visionkit.predictor import Predictor, load
from visionkit.results import Detections


class FindsBright(nn.Module):
    """One box around all pixels above 250; the score is the share of the canvas it takes."""

    def __init__(self) -> None:
        super().__init__()
        self.head = SimpleNamespace(options=PredictOptions(), check_options=lambda options: None)
        self.seen: list[PredictOptions] = []
        self.sizes: list[int] = []

    def predict(self, batch: Batch) -> list[Detections]:
        assert not self.training
        assert batch.images.dtype == torch.uint8
        self.seen.append(self.head.options)
        self.sizes.append(len(batch))
        results = []
        for image, meta in zip(batch.images.numpy(), batch.meta, strict=True):
            rows, columns = np.nonzero((image > 250).all(0))
            boxes, scores = np.zeros((0, 4), np.float32), np.zeros(0, np.float32)
            if len(rows):
                box = [[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]]
                boxes = meta.letterbox.to_image(np.array(box, np.float64))
                scores = np.array([len(rows) / image[0].size], np.float32)
            found = Detections(boxes, scores, np.zeros(len(scores), np.int64))
            results.append(found.above(self.head.options.confidence))
        return results


@dataclass
class FakeLoaded:
    model: Any = field(default_factory=FindsBright)
    classes: tuple[str, ...] = ("lamp", "moon")
    canvas: tuple[int, int] = (64, 64)
    task: str = "detection"
    predict: dict[str, Any] = field(
        default_factory=lambda: {"confidence": 0.25, "iou": 0.7, "max_detections": 300}
    )


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> FakeLoaded:
    fake, module = FakeLoaded(), ModuleType("visionkit.checkpoint")
    module.load_model = lambda path: fake  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "visionkit.checkpoint", module)
    return fake


def picture(box: tuple[int, int, int, int] | None, size: tuple[int, int] = (64, 128)) -> Any:
    image = np.full((*size, 3), 30, np.uint8)
    if box:
        image[box[1] : box[3], box[0] : box[2]] = 255
    return image


def save(path: Path, image: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), image)
    return path


BOX = (40, 20, 80, 60)


def test_boxes_come_in_original_pixels_with_names(loaded: FakeLoaded, tmp_path: Path) -> None:
    save(tmp_path / "b.png", picture(BOX))
    save(tmp_path / "a.png", picture(None))
    results = load("any.ckpt", "cpu").predict(tmp_path, confidence=0.01)
    assert [len(r) for r in results] == [0, 1]
    assert results[1].boxes.tolist() == [[40, 20, 80, 60]]
    assert results[1].names == ["lamp"]
    (same,) = load("any.ckpt", "cpu").predict(picture(BOX), confidence=0.01)
    assert same.boxes.tolist() == results[1].boxes.tolist()


def test_options_hold_for_the_call_only(loaded: FakeLoaded) -> None:
    predictor = Predictor(loaded, "cpu")
    before = loaded.model.head.options
    assert len(predictor.predict(picture(BOX))[0]) == 0  # 400 of 4096 pixels: below 0.25
    wanted = {"confidence": 0.05, "iou": 0.6, "max_detections": 9}
    assert len(predictor.predict(picture(BOX), **wanted)[0]) == 1
    assert loaded.model.seen == [PredictOptions(0.25, 0.7, 300), PredictOptions(0.05, 0.6, 9)]
    assert loaded.model.head.options == before


def test_batches_keep_the_order(loaded: FakeLoaded) -> None:
    predictor = Predictor(loaded, "cpu")
    images = [picture((0, 0, 20 + 4 * i, 40)) for i in range(7)]
    results = predictor.predict(images, confidence=0.01, batch_size=3)
    assert loaded.model.sizes == [3, 3, 1]
    assert [int(r.boxes[0, 2]) for r in results] == [20 + 4 * i for i in range(7)]


def test_wrong_calls_fail_at_once(loaded: FakeLoaded) -> None:
    predictor = Predictor(loaded, "cpu")
    with pytest.raises(ValueError, match="confidence"):
        predictor.stream(picture(BOX), confidence=25)
    with pytest.raises(ValueError, match="batch_size"):
        predictor.stream(picture(BOX), batch_size=0)
    with pytest.raises(DataError, match="no such file"):
        predictor.stream("nowhere.png")


def test_a_bad_picture_raises_unless_errors_are_collected(
    loaded: FakeLoaded, tmp_path: Path
) -> None:
    save(tmp_path / "b.png", picture(BOX))
    (tmp_path / "a.png").write_bytes(b"")
    predictor = Predictor(loaded, "cpu")
    with pytest.raises(DataError, match=r"a\.png: the file is empty"):
        predictor.predict(tmp_path)
    errors: list[DataError] = []
    (only,) = predictor.stream(tmp_path, errors=errors)
    assert only[0] == str(tmp_path / "b.png")
    assert only[1].shape == (64, 128, 3)
    assert len(errors) == 1


def config(source: Path | str, run_dir: Path) -> dict[str, Any]:
    options = {"confidence": 0.01, "iou": None, "max_detections": None}
    return {
        "checkpoint": "any.ckpt",
        "source": str(source),
        "run_dir": str(run_dir),
        "predict": options,
        "batch_size": 2,
    }


def command(source: Path | str, run_dir: Path) -> tuple[dict[str, Any], str]:
    console = Console(file=io.StringIO(), width=200)
    done = run(config(source, run_dir), console)
    return done, str(console.file.getvalue())  # type: ignore[attr-defined]


def test_the_command_writes_pictures_json_and_a_table(loaded: FakeLoaded, tmp_path: Path) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    save(source / "x" / "same.png", picture(BOX))
    save(source / "y" / "same.png", picture(None))
    (source / "y" / "broken.jpg").write_bytes(b"\xff\xd8 no more")
    done, text = command(f"{source}/**", out)
    assert done == {"images": 2, "objects": 1, "unreadable": 1, "run_dir": str(out)}
    assert cv2.imread(str(out / "x" / "same.png")).shape == (64, 128, 3)
    assert (out / "y" / "same.png").is_file()
    records = json.loads((out / "predictions.json").read_text())
    assert records[0] == {
        "file": str(source / "x" / "same.png"),
        "width": 128,
        "height": 64,
        "boxes": [[40.0, 20.0, 80.0, 60.0]],
        "scores": [pytest.approx(400 / 4096)],
        "labels": [0],
        "names": ["lamp"],
    }
    assert records[1]["boxes"] == []
    assert "1 lamp" in text
    assert "nothing found" in text
    assert text.count("warning: ") == 1
    assert text.rstrip().endswith(f"1 objects in 2 pictures, 1 unreadable: {out}/")


def test_long_lists_are_shortened(loaded: FakeLoaded, tmp_path: Path) -> None:
    for i in range(30):
        save(tmp_path / "in" / f"{i:02}.png", picture(BOX))
    _, text = command(tmp_path / "in", tmp_path / "out")
    assert "23.png" in text
    assert "24.png" not in text
    assert "and 6 more pictures" in text


def test_no_readable_picture_is_an_error(loaded: FakeLoaded, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(DataError, match="none of 1 pictures could be read") as caught:
        command(tmp_path, tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out" / "predictions.json").exists()


def test_sources_are_never_overwritten(loaded: FakeLoaded, tmp_path: Path) -> None:
    for name in ("a.png", "a.bmp", "b.png"):
        save(tmp_path / name, picture(BOX))
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    done, _ = command(tmp_path, tmp_path)
    assert done["images"] == 3
    assert all((tmp_path / name).read_bytes() == data for name, data in before.items())
    assert len(list(tmp_path.glob("*.png"))) == 2 + 3
    names = picture_names([Path("p/a.png"), Path("p/a.bmp"), Path("p/q/a.jpeg")], Path("out"))
    assert [str(n) for n in names.values()] == ["out/a.png", "out/a_2.png", "out/q/a.jpg"]


def test_a_run_dir_that_cannot_be_written_is_one_line(loaded: FakeLoaded, tmp_path: Path) -> None:
    save(tmp_path / "a.png", picture(BOX))
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(DataError, match="can't be written"):
        command(tmp_path / "a.png", blocked / "out")
