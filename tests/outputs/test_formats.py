"""JSON, CSV, COCO's and YOLO's formats of the same results."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO

from visionkit.errors import ConfigError, DataError
from visionkit.outputs.base import Entry, Output
from visionkit.outputs.choice import Job, choose
from visionkit.outputs.places import Places
from visionkit.results import Classification, Detections, SemanticMask

CLASSES = ("ant", "bee, wild")
FILES = [Path("in/a.jpg"), Path("in/deep/b.png")]


def boxes(*rows: tuple[list[float], float, int]) -> Detections:
    return Detections(
        np.array([r[0] for r in rows], np.float32).reshape(-1, 4),
        np.array([r[1] for r in rows], np.float32),
        np.array([r[2] for r in rows], np.int64),
        CLASSES,
    )


FOUND = boxes(([10, 5, 30, 25], 0.75, 1), ([0, 0, 40, 20], 0.5, 0))


def entry(places: Places, result: Any, key: Any, seconds: float | None = None) -> Entry:
    return Entry(str(key), np.zeros((50, 80, 3), np.uint8), result, key, places, seconds)


def write(folder: Path, formats: list[str], says: str, results: list[Any], **more: Any) -> None:
    places = Places(FILES, folder)
    outputs = choose(formats, Job(places, FILES, says, CLASSES), **more)
    run(outputs, [entry(places, r, key) for r, key in zip(results, FILES, strict=False)])


def run(outputs: list[Output], entries: list[Entry]) -> None:
    for output in outputs:
        with output:
            for each in entries:
                output.add(each)


def rows(path: Path) -> list[list[str]]:
    with path.open(newline="") as file:
        return list(csv.reader(file))


def test_csv_has_a_row_for_each_box(tmp_path: Path) -> None:
    write(tmp_path, ["csv"], "boxes", [FOUND, boxes()])
    assert [p.name for p in tmp_path.iterdir()] == ["predictions.csv"]
    assert rows(tmp_path / "predictions.csv") == [
        ["file", "label", "name", "score", "x1", "y1", "x2", "y2"],
        ["in/a.jpg", "1", "bee, wild", "0.75", "10.0", "5.0", "30.0", "25.0"],
        ["in/a.jpg", "0", "ant", "0.5", "0.0", "0.0", "40.0", "20.0"],
    ]
    write(tmp_path, ["csv"], "boxes", [boxes(), boxes()])
    assert len(rows(tmp_path / "predictions.csv")) == 1


def test_csv_of_classes_and_masks(tmp_path: Path) -> None:
    shown = Classification(np.array([0.25, 0.75], np.float32), CLASSES)
    write(tmp_path, ["csv"], "classes", [shown])
    header = ["file", "label", "name", "score"]
    assert rows(tmp_path / "predictions.csv") == [header, ["in/a.jpg", "1", "bee, wild", "0.75"]]
    labels = np.zeros((50, 80), np.uint8)
    labels[:, 20:] = 1
    write(tmp_path, ["csv"], "masks", [SemanticMask(labels, CLASSES)])
    assert rows(tmp_path / "predictions.csv") == [
        ["file", "label", "name", "share"],
        ["in/a.jpg", "1", "bee, wild", "0.75"],
        ["in/a.jpg", "0", "ant", "0.25"],
    ]
    assert not (tmp_path / "masks").exists()


def test_frames_have_their_number_and_time(tmp_path: Path) -> None:
    places = Places([Path("clip.mp4")], tmp_path, video=True)
    job = Job(places, [Path("clip.mp4")], "boxes", CLASSES)
    outputs = choose(["csv", "json", "yolo", "coco", "pictures"], job)
    entries = [entry(places, FOUND, 0, 0.0), entry(places, boxes(), 5, 0.1666667)]
    run(outputs, entries)
    assert rows(tmp_path / "predictions.csv")[1][:5] == ["0", "0", "0.0", "1", "bee, wild"]
    second = json.loads((tmp_path / "predictions.json").read_text())[1]
    assert (second["frame"], second["seconds"]) == (5, 0.166667)
    assert list(second)[:5] == ["file", "frame", "seconds", "width", "height"]
    assert (tmp_path / "labels" / "clip" / "000005.txt").read_text() == ""
    assert (tmp_path / "clip" / "000005.jpg").is_file()
    images = json.loads((tmp_path / "coco.json").read_text())["images"]
    assert [(i["id"], i["frame"]) for i in images] == [(1, 0), (2, 5)]


def test_coco_files_are_read_by_pycocotools(tmp_path: Path, capsys: Any) -> None:
    write(tmp_path, ["coco"], "boxes", [FOUND, boxes(([1, 2, 4, 8], 0.25, 0))])
    results = json.loads((tmp_path / "coco_results.json").read_text())
    assert results[0] == {"image_id": 1, "category_id": 2, "bbox": [10, 5, 20, 20], "score": 0.75}
    assert results[2] == {"image_id": 2, "category_id": 1, "bbox": [1, 2, 3, 6], "score": 0.25}
    truth = COCO(str(tmp_path / "coco.json"))
    assert [truth.cats[k]["name"] for k in (1, 2)] == list(CLASSES)
    assert truth.imgs[2]["file_name"] == "in/deep/b.png"
    assert truth.anns[1]["area"] == 400
    loaded = truth.loadRes(str(tmp_path / "coco_results.json"))
    assert len(loaded.anns) == 3


def annotations(folder: Path, images: list[Any], categories: list[Any]) -> Path:
    path = folder / "instances.json"
    path.write_text(json.dumps({"images": images, "categories": categories}))
    return path


def test_ids_come_from_an_annotation_file(tmp_path: Path) -> None:
    categories = [{"id": 90, "name": "ant"}, {"id": 7, "name": "bee, wild"}]
    images = [
        {"id": 5, "file_name": "elsewhere/b.png"},
        {"id": 6, "file_name": "deep/b.png"},
        {"id": 44, "file_name": "pictures/a.jpg"},  # moved, but the only one of that name
    ]
    path = annotations(tmp_path, images, categories)
    write(tmp_path, ["coco"], "boxes", [FOUND, FOUND], annotations=path)
    results = json.loads((tmp_path / "coco_results.json").read_text())
    assert [(r["image_id"], r["category_id"]) for r in results] == [
        (44, 7),
        (44, 90),
        (6, 7),
        (6, 90),
    ]
    twice = [*images[:1], images[0], images[2]]
    for listed, named, message in (
        (images[2:], categories, "lists no picture called b.png"),
        (twice, categories, "lists 2 pictures called b.png"),
        (images, categories[:1], "has no category 'bee, wild'"),
        (
            [{"id": 3, "file_name": n} for n in ("a.jpg", "b.png")],
            categories,
            "has one picture for",
        ),
    ):
        wrong = annotations(tmp_path, listed, named)
        with pytest.raises(ConfigError, match=message) as caught:
            write(tmp_path, ["coco"], "boxes", [FOUND], annotations=wrong)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", '{"images": []}', '{"images": [{}], "categories": []}'])
def test_what_is_no_annotation_file_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(DataError, match=r"a\.json: no COCO annotations"):
        write(tmp_path, ["coco"], "boxes", [FOUND], annotations=path)


def test_yolo_texts_are_in_parts_of_the_picture(tmp_path: Path) -> None:
    write(tmp_path, ["yolo"], "boxes", [FOUND, boxes()])
    text = (tmp_path / "labels" / "a.txt").read_text()
    assert text.splitlines() == [
        "1 0.250000 0.300000 0.250000 0.400000 0.750000",
        "0 0.250000 0.200000 0.500000 0.400000 0.500000",
    ]
    assert (tmp_path / "labels" / "deep" / "b.txt").read_text() == ""
    assert (tmp_path / "classes.txt").read_text() == "ant\nbee, wild\n"


def test_annotations_are_not_written_over(tmp_path: Path) -> None:
    """A data set's own files, in the run's folder."""
    picture = tmp_path / "images" / "a.jpg"
    for formats, says, name in (
        (["yolo"], "boxes", "labels/a.txt"),
        (["yolo"], "boxes", "classes.txt"),
        (["coco"], "boxes", "coco.json"),
        (["json"], "masks", "masks/a.png"),
        (["pictures"], "pictures", "made/a.png"),
    ):
        mine, elsewhere = Places([picture], tmp_path), Places([picture], tmp_path / "run")
        choose(formats, Job(mine, [picture], says, CLASSES))
        for place in (tmp_path, tmp_path / "run"):
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).touch()
        with pytest.raises(ConfigError, match=rf"run_dir: .*{name} is there already"):
            choose(formats, Job(mine, [picture], says, CLASSES))
        choose(formats, Job(elsewhere, [picture], says, CLASSES))  # of an earlier run
        (tmp_path / name).unlink()
    categories = [{"id": n, "name": name} for n, name in enumerate(CLASSES)]
    path = annotations(tmp_path, [{"id": 1, "file_name": "a.jpg"}], categories)
    given = path.rename(tmp_path / "run" / "coco_results.json")
    with pytest.raises(ConfigError, match=r"annotations: .* would be written over"):
        choose(["coco"], Job(elsewhere, [picture], "boxes", CLASSES), given)


def test_formats_must_suit_the_model_and_the_source(tmp_path: Path) -> None:
    still = Places(FILES, tmp_path)
    film = Places([Path("clip.mp4")], tmp_path, video=True)
    masks, made = Job(still, FILES, "masks", CLASSES), Job(still, FILES, "pictures", ())
    found = Job(still, FILES, "boxes", CLASSES)
    clip = Job(film, [Path("clip.mp4")], "boxes", CLASSES)
    for formats, job, more, message in (
        (["coco"], masks, None, "formats: coco is for models that find boxes, this .* masks"),
        (["json", "yolo"], masks, None, "formats: yolo"),
        (["csv"], made, None, "formats: csv is for models that find boxes, classes or masks"),
        (["video"], found, None, "formats: video needs a video"),
        (["json"], found, "a.json", "annotations: gives ids"),
        (["coco"], clip, "a.json", "annotations: gives ids"),
    ):
        with pytest.raises(ConfigError, match=message):
            choose(formats, job, more)
    assert [type(o).__name__ for o in choose(None, found)] == [
        "ResultPictures",
        "DrawnPictures",
        "JsonRecords",
    ]
    assert [type(o).__name__ for o in choose(None, clip)] == [
        "ResultPictures",
        "JsonRecords",
        "DrawnVideo",
    ]
