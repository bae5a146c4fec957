"""From outputs of files to results: by hand, and as the heads do it."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from bright_files import ABOUT

from visionkit.about import About
from visionkit.backbones.base import FeatureSpec
from visionkit.batch import Batch, BoxTargets
from visionkit.geometry import Letterbox, Padded
from visionkit.heads.base import Graph, Head
from visionkit.heads.classification import ClassificationHead, ClassRaw
from visionkit.heads.segmentation.base import MaskRaw
from visionkit.heads.segmentation.fcn import FcnHead
from visionkit.heads.yolo import Dense, YoloHead, YoloRaw
from visionkit.losses.segmentation import SegmentationLoss
from visionkit.ops.boxes import grid_points
from visionkit.options import PredictOptions
from visionkit.results import VOID
from visionkit.runtimes.answers import input_names, output_names, results, sigmoid, softmax
from visionkit.sample import Boxes, ImageMeta

WIDE = ImageMeta(0, "", Letterbox((32, 64), (64, 64)))  # 16 rows above and below
CLASSES = replace(ABOUT, says="classes")
MASKS = replace(ABOUT, says="masks", classes=("a", "b", "c"))


def boxes_of(*rows: list[float]) -> dict[str, Any]:
    """Rows of a box, its score and its label, of one picture."""
    table = np.array(rows, np.float32)
    return {
        "boxes": table[None, :, :4],
        "scores": table[None, :, 4],
        "labels": table[None, :, 5].astype(np.int64),
    }


def test_boxes_come_in_the_picture_s_own_pixels() -> None:
    outputs = boxes_of(
        [10, 26, 20, 36, 0.9, 1], [10, 26, 20, 37, 0.8, 1], [0, 0, 9, 20, 0.5, 0], [0] * 4 + [-1, 0]
    )
    (all_three,) = results(ABOUT, outputs, [WIDE], PredictOptions(0.0, 0.7, 300))
    assert all_three.boxes.tolist() == [[10, 10, 20, 20], [10, 10, 20, 21], [0, 0, 9, 4]]
    assert all_three.labels.tolist() == [1, 1, 0]
    assert all_three.scores.tolist() == pytest.approx([0.9, 0.8, 0.5])
    (sure,) = results(ABOUT, outputs, [WIDE], PredictOptions(0.6, 0.7, 300))
    assert len(sure) == 2
    (one,) = results(ABOUT, outputs, [WIDE], PredictOptions(0.6, 0.7, 1))
    assert len(one) == 1
    # not suppressed in the file: here, by an IoU of 100 / 110
    apart = replace(ABOUT, decode="topk")
    assert len(results(apart, outputs, [WIDE], PredictOptions(0.0, 0.9, 300))[0]) == 2
    assert len(results(apart, outputs, [WIDE], PredictOptions(0.0, 0.92, 300))[0]) == 3


def test_probabilities_of_classes() -> None:
    logits = np.log(np.array([[1, 3, 4], [2, 1, 1]], np.float32))
    raw = replace(CLASSES, decode="raw")
    both = results(raw, {"logits": logits}, [WIDE, WIDE], PredictOptions(0.4))
    np.testing.assert_allclose(both[0].probabilities, [0.125, 0.375, 0.5], atol=1e-6)
    assert [r.labels for r in both] == [[2], [0]]
    several = results(
        replace(raw, exclusive=False), {"logits": logits}, [WIDE] * 2, PredictOptions(0.6)
    )
    np.testing.assert_allclose(several[0].probabilities, [0.5, 0.75, 0.8], atol=1e-6)
    assert several[0].labels == [2, 1]
    (same,) = results(CLASSES, {"probabilities": logits[:1]}, [WIDE], PredictOptions())
    np.testing.assert_array_equal(same.probabilities, logits[0])


def test_far_logits_overflow_nowhere() -> None:
    far = np.array([[-800, 0, 800]], np.float32)
    with np.errstate(all="raise", under="ignore"):
        assert softmax(far, 1).tolist() == [[0, 0, 1]]
        assert sigmoid(far).tolist() == [[0, 0.5, 1]]


def test_masks_are_compared_at_the_picture_s_size() -> None:
    maps = np.zeros((1, 3, 64, 64), np.float32)
    maps[0, 0], maps[0, 2, :, 32:] = 0.4, 0.4  # a tie on the right: the first of them
    maps[0, 1, 16:32] = 0.6
    (mask,) = results(MASKS, {"probabilities": maps}, [WIDE], PredictOptions(0.0))
    assert mask.labels.shape == (32, 64)
    assert (mask.labels[:16] == 1).all()
    assert (mask.labels[16:] == 0).all()
    (sure,) = results(MASKS, {"probabilities": maps}, [WIDE], PredictOptions(0.5))
    assert (sure.labels[:16] == 1).all()
    assert (sure.labels[16:] == VOID).all()


def test_pictures_come_in_the_size_of_their_source() -> None:
    made = np.random.default_rng(0).integers(0, 256, (1, 3, 64, 64)).astype(np.uint8)
    about = replace(ABOUT, says="pictures")
    (result,) = results(about, {"pictures": made}, [WIDE], PredictOptions())
    np.testing.assert_array_equal(result.image, made[0, :, 16:48].transpose(1, 2, 0))


def test_names_of_inputs_and_outputs() -> None:
    noise = replace(ABOUT, says="noise", latent=4)
    assert input_names(ABOUT) == ("images",)
    assert input_names(noise) == ("z",)
    assert input_names(replace(noise, conditional=True)) == ("z", "labels")
    assert output_names(noise) == ("pictures",)
    assert output_names(replace(ABOUT, decode="raw")) == ("boxes", "scores")
    assert output_names(replace(MASKS, decode="raw")) == ("logits",)


CANVAS = (64, 96)
SIZES = [(64, 96), (40, 90), (200, 131)]
METAS = [ImageMeta(i, "", Letterbox(size, CANVAS)) for i, size in enumerate(SIZES)]
METAS += [ImageMeta(3, "", Padded((50, 60), CANVAS))]
MAPS = [FeatureSpec("fine", 4, 8), FeatureSpec("coarse", 4, 16)]


def lots(*shape: int) -> torch.Tensor:
    """Numbers of which no two are equal, as many for each picture."""
    return torch.randn(len(METAS), *shape, generator=torch.Generator().manual_seed(1))


def as_head(head: Head, raw: Any, options: PredictOptions) -> list[Any]:
    head.options = options
    images = torch.zeros(len(METAS), 3, *CANVAS, dtype=torch.uint8)
    return head.predict(raw, Batch(images, BoxTargets.stack([Boxes()] * len(METAS)), tuple(METAS)))


def as_file(head: Head, raw: Any, options: PredictOptions, about: About) -> list[Any]:
    how: Any = Graph(about.decode, 0.001, options.iou, options.max_detections)  # type: ignore[arg-type]
    with torch.no_grad():
        given = {name: tensor.numpy() for name, tensor in head.outputs(raw, how).items()}
    assert tuple(given) == output_names(about)
    return results(about, given, METAS, options)


@pytest.mark.parametrize("decode", ["nms", "topk", "raw"])
def test_boxes_as_the_head_has_them(decode: str) -> None:
    head = YoloHead(MAPS, 3, strides=(8, 16))
    points, strides = grid_points([(8, 12), (4, 6)], [8, 16], torch.device("cpu"))
    dense = Dense(lots(len(points), 4, 16), lots(len(points), 3))
    options = PredictOptions(0.3, 0.4, 50)
    raw = YoloRaw(dense, None, points, strides)
    found = as_file(head, raw, options, replace(ABOUT, decode=decode))
    for mine, its in zip(found, as_head(head, raw, options), strict=True):
        assert len(its) > 9
        np.testing.assert_array_equal(mine.labels, its.labels)
        np.testing.assert_array_equal(mine.scores, its.scores)
        np.testing.assert_allclose(mine.boxes, its.boxes, atol=1e-4)


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
@pytest.mark.parametrize("decode", ["nms", "raw"])
def test_classes_as_the_head_has_them(activation: Any, decode: str) -> None:
    head = ClassificationHead(MAPS, 3, activation=activation)
    head.temperature.fill_(0.3)
    about = replace(CLASSES, decode=decode, exclusive=head.exclusive)
    options, raw = PredictOptions(0.3), ClassRaw(lots(3))
    found = as_file(head, raw, options, about)
    for mine, its in zip(found, as_head(head, raw, options), strict=True):
        np.testing.assert_allclose(mine.probabilities, its.probabilities, atol=1e-6)
        assert mine.labels == its.labels
        assert (mine.exclusive, mine.confidence) == (its.exclusive, its.confidence)


@pytest.mark.parametrize("confidence", [0.0, 0.45])
@pytest.mark.parametrize("decode", ["nms", "raw"])
def test_masks_as_the_head_has_them(decode: str, confidence: float) -> None:
    head = FcnHead(MAPS, 3, SegmentationLoss())
    options, raw = PredictOptions(confidence), MaskRaw(lots(3, 16, 24), CANVAS)
    found = as_file(head, raw, options, replace(MASKS, decode=decode))
    for mine, its, meta in zip(found, as_head(head, raw, options), METAS, strict=True):
        assert mine.labels.shape == meta.letterbox.size
        assert (VOID in its.labels) == (confidence > 0)
        np.testing.assert_array_equal(mine.labels, its.labels)


def test_raw_boxes_are_looked_at_as_far_as_the_head_would() -> None:
    rows = [[10, 26, 20, 36], [30, 26, 40, 36], [50, 26, 60, 36]]
    outputs = {
        "boxes": np.array([rows], np.float32),
        "scores": np.array([[[0.9], [0.7], [0.8]]], np.float32),
    }
    about = replace(ABOUT, decode="raw", candidates=2)
    (found,) = results(about, outputs, [WIDE], PredictOptions(0.0, 0.7, 300))
    assert found.scores.tolist() == pytest.approx([0.9, 0.8])


@pytest.mark.parametrize("decode", ["topk", "raw"])
def test_boxes_of_a_head_that_suppresses_none_all_stay(decode: str) -> None:
    outputs = boxes_of([10, 26, 20, 36, 0.9, 0], [10, 26, 20, 36, 0.8, 0], [0, 0, 9, 20, 0.1, 0])
    if decode == "raw":
        outputs = {"boxes": outputs["boxes"], "scores": outputs["scores"][..., None]}
    about = replace(ABOUT, decode=decode, suppresses=False)
    (found,) = results(about, outputs, [WIDE], PredictOptions(0.5, 0.7, 300))
    assert found.scores.tolist() == pytest.approx([0.9, 0.8])
    (found,) = results(about, outputs, [WIDE], PredictOptions(0.5, 0.7, 1))
    assert len(found) == 1
