"""What is written of several answers to one picture."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from visionkit.errors import ConfigError
from visionkit.geometry import Image
from visionkit.outputs.base import Entry
from visionkit.outputs.choice import Job, choose
from visionkit.outputs.places import Places
from visionkit.outputs.screen import Told
from visionkit.results import Classification, Detections, Joint, SemanticMask
from visionkit.runtimes.base import Part

FILES = [Path("in/a.jpg"), Path("in/deep/b.png")]
PARTS = {
    "things": Part("boxes", ("ant", "bee")),
    "stuff": Part("masks", ("ground", "ant")),
    "scene": Part("classes", ("in", "out")),
}
PICTURE: Image = np.zeros((50, 80, 3), np.uint8)


def result(*scores: float) -> Joint:
    boxes = np.array([[10, 5, 30, 25]] * len(scores), np.float32).reshape(-1, 4)
    labels = np.zeros((50, 80), np.uint8)
    labels[:, 20:] = 1
    found = Detections(
        boxes, np.array(scores, np.float32), np.ones(len(scores), np.int64), PARTS["things"].classes
    )
    said = Classification(np.array([0.25, 0.75], np.float32), PARTS["scene"].classes)
    mask = SemanticMask(labels, PARTS["stuff"].classes)
    return Joint({"things": found, "stuff": mask, "scene": said})


def job(folder: Path, **parts: Part) -> Job:
    return Job(Places(FILES, folder), FILES, "joint", (), parts=parts or PARTS)


def write(folder: Path, formats: list[str] | None, *results: Joint) -> None:
    chosen = job(folder)
    for output in choose(formats, chosen):
        with output:
            for key, one in zip(FILES, results, strict=True):
                output.add(Entry(str(key), PICTURE, one, key, chosen.places))


def there(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def test_drawn_pictures_masks_and_json(tmp_path: Path) -> None:
    write(tmp_path, None, result(0.5), result())
    masks = ["stuff/masks/a.png", "stuff/masks/deep/b.png"]
    assert there(tmp_path) == ["a.jpg", "deep/b.png", "predictions.json", *masks]
    first, second = json.loads((tmp_path / "predictions.json").read_text())
    assert first == {
        "file": "in/a.jpg",
        "width": 80,
        "height": 50,
        "things": {
            "boxes": [[10.0, 5.0, 30.0, 25.0]],
            "scores": [0.5],
            "labels": [1],
            "names": ["bee"],
        },
        "stuff": {
            "mask": "stuff/masks/a.png",
            "labels": [1, 0],
            "names": ["ant", "ground"],
            "shares": [0.75, 0.25],
        },
        "scene": {
            "labels": [1],
            "names": ["out"],
            "scores": [0.75],
            "top": {"out": 0.75, "in": 0.25},
        },
    }
    assert second["stuff"]["mask"] == "stuff/masks/deep/b.png"
    assert second["things"]["boxes"] == []
    mask = np.asarray(Pillow.open(tmp_path / "stuff/masks/a.png"))
    np.testing.assert_array_equal(mask, result().parts["stuff"].labels)  # type: ignore[attr-defined]


def test_formats_of_one_kind_are_written_for_each_part_that_they_suit(tmp_path: Path) -> None:
    write(tmp_path, ["csv", "coco", "yolo"], result(0.5), result(0.25, 0.125))
    assert there(tmp_path) == [
        "scene/predictions.csv",
        "stuff/predictions.csv",
        *(f"things/{name}" for name in ("classes.txt", "coco.json", "coco_results.json")),
        *(f"things/{name}" for name in ("labels/a.txt", "labels/deep/b.txt", "predictions.csv")),
    ]
    found = json.loads((tmp_path / "things/coco_results.json").read_text())
    assert [(one["image_id"], one["category_id"], one["score"]) for one in found] == [
        (1, 2, 0.5),
        (2, 2, 0.25),
        (2, 2, 0.125),
    ]
    assert (tmp_path / "things/classes.txt").read_text() == "ant\nbee\n"
    with (tmp_path / "stuff/predictions.csv").open(newline="") as file:
        assert [row[2:] for row in csv.reader(file)][:2] == [["name", "share"], ["ant", "0.75"]]


def test_a_format_that_suits_no_part_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"coco is for .* boxes, .* masks and classes; leave"):
        choose(["coco"], job(tmp_path, stuff=PARTS["stuff"], scene=PARTS["scene"]))


def test_masks_of_a_data_set_are_not_written_over(tmp_path: Path) -> None:
    pictures = tmp_path / "set"
    taken = pictures / "stuff" / "masks" / "a.png"
    taken.parent.mkdir(parents=True)
    taken.write_bytes(b"truth")
    source = pictures / "a.jpg"
    mine = Job(Places([source], pictures), [source], "joint", (), parts=PARTS)
    with pytest.raises(ConfigError, match=r"stuff/masks/a\.png is there already"):
        choose(None, mine)
    assert taken.read_bytes() == b"truth"


def test_the_screen_counts_boxes_and_tells_of_masks(tmp_path: Path) -> None:
    told, places = Told("pictures"), Places(FILES, tmp_path)
    told.add(Entry("a.jpg", PICTURE, result(0.5, 0.25), FILES[0], places))
    told.add(Entry("b.png", PICTURE, result(), FILES[1], places))
    assert (told.boxes, told.objects, told.beside) == (True, 2, "mask")
    assert [row.best for row in told.rows] == ["0.50", "-"]
    assert told.rows[0].found == "things: 2 bee; stuff: ant 75 %, ground 25 %; scene: out 0.75"


def test_a_frame_has_its_files_in_the_folders_of_the_parts(tmp_path: Path) -> None:
    places = Places([Path("clip.mp4")], tmp_path, video=True)
    frame = Entry("clip.mp4", PICTURE, result(), 7, places, 0.25)
    assert (frame.record["frame"], frame.record["seconds"]) == (7, 0.25)
    assert frame.record["stuff"]["mask"] == "stuff/masks/clip/000007.png"
    assert frame.record["scene"]["names"] == ["out"]
