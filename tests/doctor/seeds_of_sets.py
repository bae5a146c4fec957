"""Defects of classes and splits."""

import json

import cv2
from doctor.coco_set import jpeg, scenery
from doctor.seeds import seed


@seed
def category_ids_with_a_gap(s):
    for content in s.contents.values():
        gap = max(c["id"] for c in content["categories"]) + 5
        content["categories"].append({"id": gap, "name": "zebu"})
    return "id-gap", "instances_train.json"


@seed
def class_that_nothing_has(s):
    for content in s.contents.values():
        following = max(c["id"] for c in content["categories"]) + 1
        content["categories"].append({"id": following, "name": "yeti"})
    return "unused-class", "yeti"


@seed
def class_declared_in_one_split(s):
    following = max(c["id"] for c in s.contents["val"]["categories"]) + 1
    s.contents["val"]["categories"].append({"id": following, "name": "unicorn"})
    return "class-in-one-split", "unicorn"


@seed
def class_that_train_lacks(s):
    for content in s.contents.values():
        following = max(c["id"] for c in content["categories"]) + 1
        content["categories"].append({"id": following, "name": "griffin"})
    image = s.fresh("val")
    ids = {c["name"]: c["id"] for c in s.contents["val"]["categories"]}
    s.annotate(image, ids["griffin"], [1, 2, 30, 40], "val")
    return "untrained-class", "griffin"


@seed
def class_of_two_examples(s):
    for content in s.contents.values():
        following = max(c["id"] for c in content["categories"]) + 1
        content["categories"].append({"id": following, "name": "lynx"})
    ids = {c["name"]: c["id"] for c in s.contents["train"]["categories"]}
    for image in (s.fresh(), s.fresh()):
        s.annotate(image, ids["lynx"], [1, 2, 30, 40])
    return "few-examples", "lynx has 2 "


@seed
def picture_twice(s):
    image = s.fresh()
    s.add(s.path(image).read_bytes(), image, "train", "copy.jpg")
    return "exact-duplicate", "copy.jpg"


@seed
def picture_in_two_splits(s):
    image = s.fresh()
    s.add(s.path(image).read_bytes(), image, "val", "other_name.jpg")
    return "split-overlap", "other_name.jpg"


@seed
def picture_twice_but_smaller(s):
    image = s.fresh()
    small = cv2.resize(s.pixels(image), None, fx=0.8, fy=0.8, interpolation=cv2.INTER_AREA)
    size = {"height": small.shape[0], "width": small.shape[1]}
    s.add(jpeg(small, 80), {**image, **size}, "train", "smaller.jpg")
    return "near-duplicate", "smaller.jpg"


@seed
def picture_in_two_splits_but_brighter(s):
    image = s.fresh()
    s.add(jpeg(cv2.add(s.pixels(image), (6, 6, 6, 0)), 75), image, "val", "brighter.jpg")
    return "near-split-overlap", "brighter.jpg"


@seed
def picture_in_no_split(s):
    (s.folder("train") / "forgotten.jpg").write_bytes(jpeg(scenery(s.rng)))
    return "unlisted-picture", "forgotten.jpg"


@seed
def json_cut_off(s):
    s.raw["test"] = json.dumps(s.contents.setdefault("test", {"images": []}))[:-1]
    return "broken-json", "instances_test.json"


@seed
def json_without_images(s):
    s.contents["test"] = {"images": [], "annotations": [], "categories": []}
    return "empty-split", "instances_test.json"


@seed
def json_of_another_kind(s):
    s.raw["test"] = "{}"
    s.contents.setdefault("test", {})
    return "wrong-format", "instances_test.json"


@seed
def picture_listed_twice(s):
    image = s.fresh()
    s.add(s.path(image).read_bytes(), image, "train", image["file_name"])
    return "listed-twice", repr(image["file_name"])
