"""Files that say what their checkpoint says, and files that don't, in known ways."""

import io
from dataclasses import replace

import numpy as np
import pytest
from bright_files import ABOUT, SINGLE
from rich.console import Console

from visionkit.about import About, Sizes
from visionkit.export import parity
from visionkit.export.parity import Row, canvases, prove, proving_options, tolerance
from visionkit.export.proof import Proof
from visionkit.export.scores import Scores
from visionkit.runtimes.exported import ExportedRuntime

NOISE = replace(
    ABOUT,
    says="noise",
    predict={},
    floor=0.0,
    latent=2,
    conditional=True,
    preprocess={"canvas": (4, 6)},
)
PICTURES = [
    ("dark.png", np.full((40, 60, 3), 10, np.uint8)),
    ("wide.png", np.full((32, 128, 3), 10, np.uint8)),
    ("high.png", np.full((100, 50, 3), 10, np.uint8)),
    ("lit.png", np.full((64, 64, 3), 10, np.uint8)),
]
for _, image in PICTURES[1:]:
    image[8:24, 8:40] = 255


class Bright(ExportedRuntime):
    """Finds the bright pixels; on canvases of the size ``wrong`` boxes are too wide."""

    def __init__(self, about: About = ABOUT, wrong: tuple[int, int] = (0, 0), by: float = 0.0):
        super().__init__(about, "model.onnx")
        self.wrong, self.by = wrong, by
        self.asked: list[tuple[int, ...]] = []

    def run(self, inputs):
        self.asked.append(inputs["images"].shape)
        boxes, scores = [], []
        for image in inputs["images"]:
            rows, columns = np.nonzero((image > 250).all(0))
            if not len(rows):
                rows, columns = np.array([-1]), np.array([-1])
            boxes.append([[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]])
            scores.append([0.9 if rows.min() >= 0 else -1.0])
        boxes = np.array(boxes, np.float32)
        if image.shape[1:] == self.wrong:
            boxes[..., 2] += self.by
        return {
            "boxes": boxes,
            "scores": np.array(scores, np.float32),
            "labels": np.zeros((len(boxes), 1), np.int64),
        }


class Painter(ExportedRuntime):
    """Makes pictures of one level, that follows from noise and class."""

    def __init__(self, brighter: int = 0) -> None:
        super().__init__(NOISE, "gan.onnx")
        self.brighter = brighter

    def run(self, inputs):
        level = 100 + 10 * inputs["z"][:, :1] + 50 * inputs["labels"][:, 1:] + self.brighter
        return {"pictures": np.tile(level[:, :, None, None], (1, 3, 4, 6)).astype(np.uint8)}


def rows_of(reference, file, sizes=((64, 64), (96, 64)), numbers=(1, 3)) -> list[Row]:
    return prove(reference, file, PICTURES, sizes, numbers, proving_options(file.about))


def proof(rows, figures=None, precision="fp32", **given) -> Proof:
    return Proof(
        "draft.onnx", "model.onnx", precision, tolerance(precision, given), tuple(rows), figures
    )


def test_equal_files():
    reference, file = Bright(), Bright()
    rows = rows_of(reference, file)
    assert [(row.canvas, row.batch) for row in rows] == [
        ((64, 64), 1),
        ((64, 64), 3),
        ((96, 64), 1),
        ((96, 64), 3),
    ]
    for row in rows:
        assert row.pictures == 4
        assert not any(row.difference.values())
        assert row.worst == {}
    assert proof(rows).problem is None
    # each picture is seen; the last batch is filled up
    assert file.asked[:6] == [(1, 3, 64, 64)] * 4 + [(3, 3, 64, 64)] * 2
    assert reference.asked == [(3, 3, 64, 64)] * 2 + [(3, 3, 96, 64)] * 2


def test_a_canvas_that_is_wrong_is_named():
    rows = rows_of(Bright(), Bright(wrong=(96, 64), by=0.25))
    assert [row.difference["boxes"] for row in rows] == [0, 0, 0.25, 0.25]
    found = proof(rows)
    assert found.problem == (
        "draft.onnx: it isn't the model of its checkpoint: boxes differ by 0.25 px, wide.png on a "
        "canvas of 96 x 64, batch 1 (0.05 is allowed); don't use the file, or allow more with "
        "proof.boxes="
    )
    assert proof(rows, boxes=0.3).problem is None
    assert proof(rows, precision="int8").problem is None


def test_the_worst_is_measured_by_the_tolerance():
    row = Row((8, 8), 1, 2, {"boxes": 0.2, "scores": 0.9}, {"boxes": "a.png", "scores": "b.png"})
    assert "scores differ by 0.9, b.png" in proof([row]).problem
    assert proof([row]).worst(row) == "b.png"
    assert "boxes differ by 0.2 px, a.png" in proof([row], scores=0.5).problem
    lost = Row(
        (8, 8), 1, 2, {"boxes": 0.2, "unmatched": 1}, {"boxes": "a.png", "unmatched": "b.png"}
    )
    assert proof([lost]).problem.endswith("batch 1 (0 is allowed); don't use the file")
    broken = Row((8, 8), 1, 2, {"boxes": np.inf}, {"boxes": "a.png"})
    assert proof([broken, row]).plain()["rows"][0]["boxes"] is None
    assert "boxes differ by inf px" in proof([broken, row]).problem


def test_pictures_from_the_same_noise():
    size = [NOISE.canvas]
    rows = rows_of(Painter(), Painter(), size)
    assert [row.batch for row in rows] == [1, 3]
    assert proof(rows).problem is None
    rows = rows_of(Painter(), Painter(brighter=5), size)
    assert rows[0].difference == {"pictures": 5, "moved": 1}
    assert "pictures differ by 5 levels, seed 0 on a canvas of 4 x 6" in proof(rows).problem


def scores(checkpoint: float, file: float, monitor: str = "AP") -> Scores:
    one, other = {monitor: checkpoint, "AR": 0.1}, {monitor: file, "AR": 0.9}
    return Scores("test", 24, monitor, "max", one, other)


def test_figures():
    found = proof([], scores(0.5, 0.4985))
    assert found.problem == (
        "draft.onnx: it isn't the model of its checkpoint: AP on the test split is 0.4985, the "
        "checkpoint's 0.5000 (0.001 is allowed); don't use the file, or allow more with "
        "proof.figure="
    )
    assert proof([], scores(0.5, 0.4995)).problem is None  # the others are told, but don't decide
    assert proof([], scores(25.0, 25.01, "kid")).problem is None
    assert proof([], scores(25.0, 25.1, "kid")).problem is not None
    assert proof([], scores(0.5, np.nan)).problem is not None
    assert proof([], scores(np.nan, np.nan)).problem is None
    assert proof([], scores(0.5, 0.3), "int8").problem is None
    assert proof([], scores(0.5, 0.3), "int8", figure=0.01).problem is not None


def test_what_is_written_and_printed():
    rows = rows_of(Bright(), Bright(wrong=(64, 64), by=0.25))
    found = proof(rows, scores(0.5, -1.0))
    content = found.plain()
    assert not content["passed"]
    assert content["rows"][0] == {
        "canvas": [64, 64],
        "batch": 1,
        "pictures": 4,
        **rows[0].difference,
        "worst": "wide.png",
    }
    assert content["figures"]["difference"] == {"AP": 1.5, "AR": pytest.approx(0.8)}
    console = Console(file=io.StringIO(), width=120)
    found.show(console)
    text = console.file.getvalue()
    assert "96x64" in text
    assert [line.split() for line in text.splitlines() if line.startswith("AP")] == [
        ["AP", "0.5000", "-", "1.5"]
    ]


def test_canvases():
    def of(canvas, **sizes):
        about = replace(ABOUT, preprocess={"canvas": canvas}, sizes=Sizes(**sizes))
        return canvases(about)

    assert of((320, 320), multiple=32) == [
        (320, 320),
        (256, 384),
        (384, 256),
        (160, 320),
        (480, 480),
    ]
    assert of((28, 28), least=28) == [(28, 28), (28, 35), (35, 28), (28, 29), (43, 45)]
    for canvas, multiple, least in (((64, 64), 32, 32), ((32, 32), 32, 32), ((360, 480), 8, 65)):
        found = of(canvas, multiple=multiple, least=least)
        assert len(set(found)) == 1 + parity.UNSEEN
        assert all(side >= least and side % multiple == 0 for size in found[1:] for side in size)
        assert any(h < w for h, w in found)
        assert any(h > w for h, w in found)
    assert canvases(SINGLE) == [(64, 64)]
    assert canvases(NOISE) == [(4, 6)]
    assert parity.batches(ABOUT) == (1, 3)
    assert parity.batches(SINGLE) == (1,)


def test_tolerance():
    assert tolerance("fp32", {"boxes": None})["boxes"] == 0.05
    given = tolerance("fp32", {"scores": 0.5, "images": 12})
    assert given["scores"] == given["probabilities"] == 0.5
    assert "images" not in given
    assert tolerance("int8", {"figure": 0.1}) == {"figure": 0.1}


def test_pictures_are_spread():
    assert parity.spread(range(10), 4) == [0, 2, 5, 7]
    assert parity.spread(range(3), 4) == parity.spread(range(3), None) == [0, 1, 2]
