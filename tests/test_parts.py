"""``parts=``: how heads of a joint network are chosen, and what is said of wrong ones."""

import pytest

from visionkit.build import plain
from visionkit.compose import compose
from visionkit.config import find_problems
from visionkit.errors import ConfigError
from visionkit.overrides import prepare

GROUPS = {"head": ["unet", "fpn"], "neck": ["fpn"], "parts": ["detection"]}


def composed(*words):
    return compose(["task=multitask", "data.root=.", *words])


def test_a_head_is_chosen_for_a_part_as_for_a_whole_network():
    cfg = composed("parts.segmentation.head=unet", "parts.segmentation.head.dropout=0.3")
    head = cfg.parts.segmentation.head
    assert head._target_.endswith("UnetHead")
    assert head.dropout == 0.3
    assert head.loss.dice == 1.0  # what the part wants of any head
    assert find_problems(cfg) == []


@pytest.mark.parametrize(
    ("word", "becomes"),
    [
        ("parts.a.head=unet", "head@parts.a.head=unet"),
        ("parts.a.neck=fpn,identity", "neck@parts.a.neck=fpn,identity"),  # of a sweep
        ("parts.a.head.width=3", "parts.a.head.width=3"),
        ("parts.a.head={_target_: x}", "parts.a.head={_target_: x}"),
        ("parts.a.weight=2", "parts.a.weight=2"),
        ("head=unet", "head=unet"),
    ],
)
def test_what_chooses_an_option_for_a_part(word, becomes):
    assert prepare([word], GROUPS) == [becomes]


def test_a_list_of_parts_is_the_whole_list():
    cfg = composed("parts=[classification]")
    assert list(cfg.parts) == list(cfg.evaluator.parts) == ["classification"]


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("parts.segmentation.head=unett", r"^head: there is no 'unett'; did you mean 'unet'"),
        ("parts.segmantation.head=unet", r"^parts.segmantation.head: .*'parts.segmentation.head'"),
        ("parts.segmentation.wieght=1", r"did you mean 'parts.segmentation.weight'"),
        ("parts=[segmentaton]", r"^parts: there is no 'segmentaton'; did you mean 'segmentation'"),
    ],
)
def test_the_nearest_name_is_told(word, says):
    with pytest.raises(ConfigError, match=says):
        composed(word)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"head": {"_target_": "x"}}, "head: each of parts has its own; choose one with parts.det"),
        ({"weight": -1}, "parts.detection.weight: must be at least 0"),
        ({"wieght": 1}, "parts.detection.wieght: nothing reads this key; did you mean 'weight'"),
        ({"neck": None}, "parts.detection.neck: missing; choose one with parts.detection.neck="),
        ({"more": 1}, "parts.detection: expected a mapping, got 1"),
        ({"parts": [1]}, "parts: expected sections by name, got [1]"),
    ],
)
def test_what_is_checked_before_anything_is_built(change, says):
    settings = plain(composed("parts=[detection]"))
    (key, value), part = *change.items(), settings["parts"]["detection"]
    if key == "head":
        settings["head"] = value
    elif key == "more":
        settings["parts"]["detection"] = value
    elif key == "parts":
        settings["parts"] = value
    else:
        part[key] = value
    assert any(line.startswith(says) for line in find_problems(settings))


def test_heads_of_parts_are_checked_like_others():
    settings = plain(composed("parts=[detection]"))
    settings["parts"]["detection"]["head"] |= {"bnis": 1, "num_classes": 3}
    found = find_problems(settings)
    assert "parts.detection.head.num_classes: is set by visionkit itself; remove it" in found
    assert any(line.startswith("parts.detection.head.bnis: YoloHead has no such") for line in found)
