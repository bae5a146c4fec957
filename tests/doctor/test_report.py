"""The figures, the text and the picture of what was found."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from rich.console import Console

from visionkit.data.class_index import ClassIndex
from visionkit.data.defects import Defect
from visionkit.data.layout import make_index
from visionkit.doctor.examine import Findings, Place
from visionkit.doctor.picture import draw_report
from visionkit.doctor.pictures import Look
from visionkit.doctor.summary import box_figures, report_data, summarise
from visionkit.doctor.text import print_findings


def boxes_of(boxes, labels, classes, crowd=None):
    """One picture of 200 x 100 with the boxes, and an empty one."""
    return make_index(
        files=["/set/a.jpg", "/set/b.jpg"],
        sizes=[(100, 200), (50, 50)],
        owner=[0] * len(boxes),
        boxes=boxes,
        labels=labels,
        crowd=crowd,
        classes=classes,
        category_ids=range(1, len(classes) + 1),
    )


def found_of(root, splits, defects=(), **more):
    looks = {s: [Look((100, 200), "JPEG RGB"), Look()] for s in splits}
    return Findings(root, (50, 50), splits, looks, defects, **more)


def text_of(found):
    console = Console(width=120, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    print_findings(found, summarise(found), console)
    return [line.rstrip() for line in console.export_text().splitlines()]


def test_boxes_are_measured_within_their_pictures():
    boxes = [[10, 20, 30, 40], [190, -10, 60, 30], [0, 0, 0, 5], [0, 0, 200, 100]]
    index = boxes_of(boxes, [0] * 4, ["a"], crowd=[0, 0, 0, 1])
    figures = box_figures(index, index.sizes.astype(np.int64), (50, 50))
    assert figures.sides.tolist() == [[30, 40], [10, 20]]
    assert figures.centres.tolist() == [[25 / 200, 0.4], [195 / 200, 0.1]]
    assert figures.scale.tolist() == [0.25, 0.25]
    unknown = box_figures(index, np.zeros((2, 2), np.int64), (50, 50))
    assert len(unknown.sides) == 0


def test_the_figures(tmp_path):
    train = boxes_of([[10, 20, 30, 40], [0, 0, 100, 96], [5, 5, 60, 60]], [0, 0, 1], ["a", "b"])
    val = boxes_of([[10, 20, 30, 40]], [1], ["a", "b"], crowd=[1])
    group = [Place("train", 0, "/set/a.jpg"), Place("val", 0, "/set/a.jpg")]
    summary = summarise(found_of(tmp_path, {"train": train, "val": val}, exact=[group]))
    assert summary["splits"]["train"] == {
        "pictures": 2,
        "readable": 1,
        "boxes": 3,
        "crowds": 0,
        "empty": 1,
        "classes": {"a": 2, "b": 1},
    }
    assert summary["splits"]["val"]["crowds"] == 1
    assert summary["boxes"]["sizes"] == {"small": 0, "medium": 2, "large": 1}
    assert summary["boxes"]["on_canvas"]["sizes"] == {"small": 3, "medium": 0, "large": 0}
    assert summary["boxes"]["width"][3] == 60
    aspect = [0.75, 0.775, 0.875, 1, 1.021, 1.038, 1.042]
    assert summary["boxes"]["aspect"] == pytest.approx(aspect, abs=1e-3)
    assert summary["pictures"]["width"][0] == 50  # as stated, of what can't be read
    assert summary["imbalance"] == {
        "most": {"class": "a", "examples": 2},
        "fewest": {"class": "b", "examples": 1},
        "ratio": 2,
    }
    assert summary["duplicates"]["exact"] == {
        "pictures": 1,
        "between_splits": 1,
        "groups": [[{"split": p.split, "file": p.file} for p in group]],
    }
    assert summary["duplicates"]["near"]["pictures"] == 0


def test_the_effect_and_the_kind_say_whether_training_suffers(tmp_path):
    def suffers(kind, effect):
        defect = Defect(kind, "a", "b", "c", effect)
        report = report_data(found_of(tmp_path, {}, [defect]))
        assert report["defects"][0]["suffers"] == report["suffers"]
        return report["suffers"]

    assert suffers("truncated", "stops") and suffers("zero-area", "dropped")
    assert suffers("split-overlap", "noted") and suffers("wrong-size", "noted")
    assert not suffers("cmyk", "mended") and not suffers("few-examples", "noted")
    assert not report_data(found_of(tmp_path, {}))["suffers"]


def test_of_many_classes_the_ends_are_printed(tmp_path):
    classes = [f"class {k:02}" for k in range(30)]
    boxes = [[1, 1, 20, 20]] * 435
    labels = [k for k in range(30) for _ in range(k)]
    found = found_of(tmp_path, {"train": boxes_of(boxes, labels, classes)})
    rows = [line for line in text_of(found) if line.startswith(("class 0", "class 1", "class 2"))]
    assert [row.split()[1] for row in rows] == [
        *[f"{k}" for k in range(29, 23, -1)],
        *[f"{k:02}" for k in range(5, -1, -1)],
    ]
    assert "... 18 more" in text_of(found)


def test_paths_are_told_from_the_folder_of_the_set_on(tmp_path):
    defects = [
        Defect("truncated", f"{tmp_path}/x/a.jpg", "truncated JPEG", "replace it", "stops"),
        Defect("unused-class", str(tmp_path), "no split has [b]", "take it out", "noted"),
        Defect("bad-id", f"{tmp_path}/i.json", "no id", "add one", "stops"),
        Defect("bad-id", f"{tmp_path}/i.json", "no number", "make it one", "stops"),
    ]
    lines = text_of(found_of(tmp_path, {}, defects))
    assert "  x/a.jpg: truncated JPEG" in lines
    assert "  no split has [b]" in lines
    assert "  i.json: no id; add one" in lines and "  i.json: no number; make it one" in lines
    assert "training would suffer from 3 defects of 2 kinds" in lines
    near = Defect("bad-id", "my_set/a.json", "is not set/b", "c", "stops")
    assert "  my_set/a.json: is not b" in text_of(found_of(Path("set"), {}, [near]))


@pytest.mark.parametrize("classes", [1, 8, 9, 100])
def test_the_picture(tmp_path, classes):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, classes, 300).tolist()
    boxes = rng.uniform(1, 40, (300, 4)).tolist()
    index = boxes_of(boxes, labels, [f"${k}" for k in range(classes)])
    defects = [Defect(f"kind-{k}", "a", "b", "c", "noted") for k in range(classes)]
    draw_report(tmp_path / "a.png", found_of(tmp_path, {"train": index, "test": index}, defects))
    assert min(cv2.imread(str(tmp_path / "a.png")).shape[:2]) > 800


def test_the_picture_of_what_has_no_boxes(tmp_path):
    index = boxes_of([], [], ["a"])
    draw_report(tmp_path / "a.png", found_of(tmp_path, {"val": index}))
    index = ClassIndex(("a", "b"), np.arange(2), np.array([0, 1]))
    draw_report(tmp_path / "b.png", found_of(tmp_path, {"train": index}))
    assert (tmp_path / "a.png").is_file() and (tmp_path / "b.png").is_file()


def test_the_way_out_is_only_told_where_it_leads_somewhere(tmp_path):
    good = boxes_of([[10, 20, 30, 40]], [0], ["a"])
    crowds = boxes_of([[10, 20, 30, 40]], [0], ["a"], crowd=[1])
    stops = [Defect("truncated", "b.jpg", "truncated", "replace it", "stops", "train")]
    line = "data.defects=drop trains without what it can't use"

    def told(splits, **more):
        return line in text_of(replace(found_of(tmp_path, splits, stops), **more))

    assert told({"train": good}) and told({"train": good, "val": crowds})
    assert not told({"val": good}), "there is no training split, or it can't be read"
    assert not told({"train": crowds, "val": good})
    assert not told({"train": good}, looks={"train": [Look(), Look((50, 50))]})
    assert not told({"train": good}, looks={"train": [Look(), Look()]})
