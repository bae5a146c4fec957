"""Defects of annotations and of the entries of images."""

from doctor.seeds import seed


@seed
def box_without_width(s):
    _, annotation = s.boxed()
    annotation["bbox"][2] = 0
    return "zero-area", str(annotation["id"])


@seed
def box_outside(s):
    image, annotation = s.boxed()
    annotation["bbox"][0] = image["width"] + 30
    return "outside", str(annotation["id"])


@seed
def box_half_outside(s):
    image, annotation = s.boxed()
    annotation["bbox"] = [image["width"] - 20, 5, 60, 30]
    annotation["area"] = 1800
    return "partly-outside", image["file_name"]


@seed
def box_of_nan(s):
    _, annotation = s.boxed()
    annotation["bbox"][1] = float("nan")
    return "bad-box", f"annotation {annotation['id']} "


@seed
def box_of_negative_width(s):
    _, annotation = s.boxed()
    annotation["bbox"][2] *= -1
    return "bad-box", f"annotation {annotation['id']} "


@seed
def box_of_three_numbers(s):
    _, annotation = s.boxed()
    del annotation["bbox"][3]
    return "bad-box", f"annotation {annotation['id']} "


@seed
def box_twice(s):
    image, annotation = s.boxed()
    s.annotate(image, annotation["category_id"], list(annotation["bbox"]))
    return "duplicate-annotation", str(s.contents["train"]["annotations"][-1]["id"])


@seed
def box_of_two_classes(s):
    image, annotation = s.boxed()
    ids = [c["id"] for c in s.contents["train"]["categories"]]
    other = next(i for i in ids if i != annotation["category_id"])
    s.annotate(image, other, list(annotation["bbox"]))
    return "conflicting-label", image["file_name"]


@seed
def box_of_a_speck(s):
    image, annotation = s.boxed()
    annotation["bbox"] = [5, 5, 0.5, 0.5]
    annotation["area"] = 0.25
    return "tiny-box", image["file_name"]


@seed
def box_of_everything(s):
    image, annotation = s.boxed()
    annotation["bbox"] = [0, 0, image["width"], image["height"]]
    annotation["area"] = image["width"] * image["height"]
    return "whole-picture", image["file_name"]


@seed
def too_many_boxes(s):
    image, annotation = s.boxed()
    for k in range(120):
        s.annotate(image, annotation["category_id"], [k % 60, k // 60, 20.5, 20.5])
    return "crowded", image["file_name"]


@seed
def area_of_something_else(s):
    image, annotation = s.boxed()
    annotation["area"] = 10**6
    return "wrong-area", image["file_name"]


@seed
def no_area(s):
    _, annotation = s.boxed()
    del annotation["area"]
    return "missing-area", "instances_train.json"


@seed
def no_iscrowd(s):
    _, annotation = s.boxed()
    del annotation["iscrowd"]
    return "missing-iscrowd", "instances_train.json"


@seed
def annotation_id_zero(s):
    _, annotation = s.boxed()
    annotation["id"] = 0
    return "zero-id", "instances_train.json"


@seed
def annotation_id_twice(s):
    _, annotation = s.boxed()
    _, other = s.boxed()
    annotation["id"] = other["id"]
    return "repeated-id", f"annotation id {other['id']} "


@seed
def annotation_without_id(s):
    _, annotation = s.boxed()
    del annotation["id"]
    return "missing-id", "instances_train.json"


@seed
def category_not_declared(s):
    _, annotation = s.boxed()
    annotation["category_id"] = 4711
    return "undeclared-category", "4711"


@seed
def picture_not_listed(s):
    _, annotation = s.boxed()
    annotation["image_id"] = 4712
    return "dangling-annotation", "4712"


@seed
def picture_id_twice(s):
    image, other = s.fresh(), s.fresh()
    other["id"] = image["id"]
    return "duplicate-image-id", f"image id {image['id']} "


@seed
def picture_without_file_name(s):
    image = s.fresh()
    del image["file_name"]
    return "bad-file-name", f"image id {image['id']} "


@seed
def file_name_that_leads_out(s):
    image = s.fresh()
    image["file_name"] = f"../../{image['file_name']}"
    return "bad-file-name", f"image id {image['id']} "


@seed
def picture_with_a_text_as_id(s):
    image = s.fresh()
    image["id"] = "seven"
    return "bad-id", "'seven'"


@seed
def area_below_zero(s):
    _, annotation = s.boxed()
    annotation["area"] = -1
    return "bad-area", "instances_train.json"


@seed
def iscrowd_in_quotes(s):
    _, annotation = s.boxed()
    annotation["iscrowd"] = "0"
    return "text-iscrowd", "instances_train.json"


@seed
def iscrowd_of_two(s):
    _, annotation = s.boxed()
    annotation["iscrowd"] = 2
    return "bad-iscrowd", "instances_train.json"


@seed
def box_of_huge_numbers(s):
    _, annotation = s.boxed()
    annotation["bbox"] = [1e299, 0, 1e299, 1]
    return "bad-box", f"annotation {annotation['id']} "
