"""What all segmentation heads share: from scores to losses, probabilities and labels."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tiny import CSP, make_mask_batch

from visionkit.backbones.base import FeatureSpec
from visionkit.batch import Batch, MaskTargets
from visionkit.build import build
from visionkit.checkpoint import PARTS
from visionkit.data.index import DataInfo
from visionkit.errors import ConfigError
from visionkit.geometry import Letterbox
from visionkit.heads.segmentation import base
from visionkit.heads.segmentation.base import MaskRaw, SegmentationHead
from visionkit.losses.segmentation import SegmentationLoss
from visionkit.models.model import build_model
from visionkit.options import PredictOptions
from visionkit.results import VOID, SemanticMask
from visionkit.sample import ImageMeta

SPEC = {
    "backbone": CSP,
    "neck": {"_target_": "visionkit.necks.identity.Identity"},
    "head": {
        "_target_": "visionkit.heads.segmentation.fpn.FpnHead",
        "loss": {"_target_": "visionkit.losses.segmentation.SegmentationLoss", "dice": 1.0},
        "pyramid": 16,
        "width": 8,
    },
}


class Given(SegmentationHead):
    """Its scores are the map itself."""

    def logits(self, maps, canvas):
        return maps[0]


def given(classes: int = 3, **loss) -> Given:
    return Given([FeatureSpec("a", classes, 4)], classes, SegmentationLoss(**loss))


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return 2 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def boxed(size: tuple[int, int], canvas: tuple[int, int]) -> Batch:
    """A picture of any size on a canvas."""
    return Batch(
        images=torch.zeros(1, 3, *canvas, dtype=torch.uint8),
        targets=MaskTargets(torch.zeros(1, *canvas, dtype=torch.uint8)),
        meta=(ImageMeta(0, "", Letterbox(size, canvas)),),
    )


def info(count, classes=("sky", "road", "tree"), kind="masks") -> DataInfo:
    return DataInfo(classes, (64, 64), kind, count, exclusive=True)


def labels_of(head, raw, batch) -> np.ndarray:
    (found,) = head.predict(raw, batch)
    assert isinstance(found, SemanticMask)
    assert found.labels.dtype == np.uint8
    return found.labels


@pytest.mark.parametrize("canvas", [(97, 131), (1, 1), (33, 7), (8, 8)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_probabilities_of_every_pixel_of_any_canvas(canvas, dtype):
    raw = given()({"a": noise(2, 3, 8, 8).to(dtype)}, canvas)
    found = given().decode(raw).probabilities
    assert found.shape == (2, 3, *canvas)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.sum(1), torch.ones(2, *canvas))


def test_scores_are_enlarged_from_the_middles_of_cells():
    raw = MaskRaw(
        torch.tensor([0.0, 4.0]).view(1, 1, 1, 2) * torch.tensor([0.0, 1]).view(2, 1, 1), (2, 4)
    )
    wanted = torch.tensor([0.0, 1, 3, 4]).sigmoid().repeat(2, 1)
    torch.testing.assert_close(given(2).decode(raw).probabilities[0, 1], wanted)


def test_the_pad_is_cut_off():
    logits = torch.zeros(1, 3, 4, 4)
    logits[:, 1] = 1  # the pad, above and below
    logits[:, 2, 1:3, :3] = 5
    logits[:, 0, 1:3, 3] = 5
    wanted = [[2, 2, 2, 0], [2, 2, 2, 0]]
    assert labels_of(given(), MaskRaw(logits, (4, 4)), boxed((2, 4), (4, 4))).tolist() == wanted


@pytest.mark.parametrize("size", [(20, 30), (5, 9), (9, 5), (8, 12), (4, 1)])
@pytest.mark.parametrize("at_once", [1, 700, 2**24])
def test_labels_are_the_most_probable_at_the_pictures_own_size(monkeypatch, size, at_once):
    """Whatever the number of classes that are enlarged together."""
    monkeypatch.setattr(base, "AT_ONCE", at_once)
    head, batch = given(5), boxed(size, (8, 12))
    raw = MaskRaw(noise(1, 5, 4, 6), (8, 12))
    p = head.decode(raw).probabilities[..., *batch.meta[0].letterbox.window]
    wanted = F.interpolate(p, size=size, mode="bilinear", align_corners=False).argmax(1)
    found = labels_of(head, raw, batch)
    assert found.shape == size
    assert np.array_equal(found, wanted[0].numpy())
    assert len(np.unique(found)) > 1


def test_the_first_of_equal_classes():
    assert labels_of(
        given(), MaskRaw(torch.ones(1, 3, 2, 2), (2, 2)), boxed((2, 2), (2, 2))
    ).tolist() == [
        [0, 0],
        [0, 0],
    ]


def test_the_last_of_255_classes():
    logits = torch.zeros(1, 255, 1, 2)
    logits[0, 254, 0, 1] = 1
    assert labels_of(given(255), MaskRaw(logits, (1, 2)), boxed((1, 2), (1, 2))).tolist() == [
        [0, 254]
    ]


def test_unsure_pixels_are_void():
    """Probabilities of the first class: 0.6, 0.8, 0.3."""
    p = torch.tensor([0.6, 0.8, 0.3])
    raw = MaskRaw(torch.stack([p, 1 - p]).log().view(1, 2, 1, 3), (1, 3))
    head = given(2)
    for confidence, wanted in (
        (0.0, [0, 0, 1]),
        (0.5, [0, 0, 1]),
        (0.65, [VOID, 0, 1]),
        (0.75, [VOID, 0, VOID]),
        (0.9, [VOID, VOID, VOID]),
    ):
        head.options = PredictOptions(confidence=confidence)
        assert labels_of(head, raw, boxed((1, 3), (1, 3))).tolist() == [wanted]


def test_the_loss_is_over_pixels_of_the_canvas():
    labels = torch.randint(0, 3, (2, 9, 13), generator=torch.Generator().manual_seed(1)).byte()
    labels[0, :3] = VOID
    batch = make_mask_batch(3, labels=labels)
    logits = noise(2, 3, 3, 4).requires_grad_()
    losses = given().loss(MaskRaw(logits, (9, 13)), batch)
    whole = F.interpolate(logits, size=(9, 13), mode="bilinear", align_corners=False)
    wanted = F.cross_entropy(whole, labels.long(), ignore_index=VOID)
    assert list(losses) == ["cross_entropy"]
    torch.testing.assert_close(losses["cross_entropy"], wanted)
    (found,) = torch.autograd.grad(losses["cross_entropy"], logits)
    torch.testing.assert_close(found, torch.autograd.grad(wanted, logits)[0])


def test_the_loss_is_in_float32_under_autocast():
    batch = make_mask_batch(3, (8, 8))
    half = noise(2, 3, 2, 2).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        found = given(dice=1.0).loss(MaskRaw(half, (8, 8)), batch)
    wanted = given(dice=1.0).loss(MaskRaw(half.float(), (8, 8)), batch)
    assert found.keys() == wanted.keys() == {"cross_entropy", "dice"}
    for name, value in found.items():
        assert value.dtype == torch.float32
        assert torch.equal(value, wanted[name])


def test_a_void_batch_costs_nothing():
    batch = make_mask_batch(3, labels=torch.full((2, 8, 8), VOID, dtype=torch.uint8))
    logits = noise(2, 3, 2, 2).requires_grad_()
    losses = given(dice=1.0, lovasz=1.0).loss(MaskRaw(logits, (8, 8)), batch)
    assert all(value == 0 for value in losses.values())
    sum(losses.values()).backward()
    assert logits.grad.eq(0).all()


def test_loss_decode_and_predict_do_not_depend_on_the_mode():
    head, batch, found = given(), make_mask_batch(3, (8, 8)), []
    for mode in (True, False):
        head.train(mode)
        raw = MaskRaw(noise(2, 3, 2, 2), (8, 8))
        (first, *_) = head.predict(raw, batch)
        found.append((head.loss(raw, batch)["cross_entropy"], head.decode(raw)[0], first.labels))
    assert found[0][0] == found[1][0]
    assert torch.equal(found[0][1], found[1][1])
    assert np.array_equal(found[0][2], found[1][2])


def test_the_average_of_a_picture_and_its_mirror_image():
    head, raw = given(), MaskRaw(noise(2, 3, 4, 5), (16, 20))
    mirrored = MaskRaw(raw.logits.flip(-1), (16, 20))
    found = head.average([raw, mirrored], [False, True])
    assert found.canvas == (16, 20)
    wanted = head.decode(raw).probabilities
    torch.testing.assert_close(head.decode(found).probabilities, wanted, rtol=1e-5, atol=1e-6)


def test_the_average_is_of_probabilities_and_of_the_first_size():
    """0.9 and 0.5 give 0.7; the mean of their logits would give 0.75."""
    head = given(2)
    odds = [torch.tensor([math.log(p / (1 - p)), 0.0]).view(1, 2, 1, 1) for p in (0.9, 0.5)]
    raws = [
        MaskRaw(odds[0].expand(1, 2, 2, 3), (8, 12)),
        MaskRaw(odds[1].expand(1, 2, 4, 5), (4, 6)),
    ]
    p = head.decode(head.average(raws, [False, False])).probabilities
    assert p.shape == (1, 2, 8, 12)
    torch.testing.assert_close(p[:, 0], torch.full((1, 8, 12), 0.7))


def test_sure_probabilities_stay_sure_and_finite():
    raw = MaskRaw(torch.tensor([300.0, -300.0]).view(1, 2, 1, 1), (2, 2))
    averaged = given(2).average([raw, raw], [False, True])
    assert torch.isfinite(averaged.logits).all()
    assert given(2).decode(averaged).probabilities[0, :, 0, 0].tolist() == pytest.approx([1, 0])


def test_windows_become_the_canvas():
    head = given(2)
    whole = noise(2, 2, 6, 10)
    places = [(0, 0), (0, 4), (2, 0), (2, 4)]
    raws = [MaskRaw(whole[..., t : t + 4, u : u + 6], (4, 6)) for t, u in places]
    found = head.assemble(iter(raws), places, (6, 10))
    assert found.canvas == (6, 10)
    wanted = head.decode(MaskRaw(whole, (6, 10))).probabilities
    torch.testing.assert_close(head.decode(found).probabilities, wanted, rtol=1e-5, atol=1e-6)


def test_windows_are_blended():
    """Of two windows, the pixels that both see lie between what each says."""
    head = given(2)
    odds = torch.tensor([3.0, 0.0]).view(1, 2, 1, 1).expand(1, 2, 2, 4)
    raws = [MaskRaw(odds, (2, 4)), MaskRaw(-odds, (2, 4))]
    p = head.decode(head.assemble(raws, [(0, 0), (0, 2)], (2, 6))).probabilities[0, 0, 0]
    high, low = torch.tensor(3.0).sigmoid(), torch.tensor(-3.0).sigmoid()
    torch.testing.assert_close(p[:2], high.expand(2))
    torch.testing.assert_close(p[4:], low.expand(2))
    assert high > p[2] > p[3] > low
    torch.testing.assert_close(p[2] + p[3], torch.tensor(1.0))


def test_pixels_are_counted_only_where_classes_are_weighed():
    def uncounted():
        raise AssertionError("every mask would be read")

    head = given()
    head.class_weights.fill_(7)  # of another set, in a loaded model
    head.prepare(info(uncounted))
    assert head.class_weights.tolist() == [1, 1, 1]
    head = given(class_weights="log")
    head.prepare(info(lambda: np.array([70, 30, 0])))
    wanted = [1 / math.log(1.02 + part) for part in (0.7, 0.3, 0.0)]
    assert head.class_weights.tolist() == pytest.approx(wanted)
    assert "class_weights" in head.state_dict(), "a checkpoint has them"


def test_weights_reach_the_loss():
    batch = make_mask_batch(3, (6, 6))
    raw = MaskRaw(noise(2, 3, 6, 6), (6, 6))
    head = given(class_weights="balanced")
    head.class_weights.copy_(torch.tensor([1.0, 5.0, 2.0]))
    wanted = F.cross_entropy(
        raw.logits, batch.masks.labels.long(), head.class_weights, ignore_index=VOID
    )
    torch.testing.assert_close(head.loss(raw, batch)["cross_entropy"], wanted)


def test_what_it_refuses():
    with pytest.raises(ConfigError, match=r"a single class \(sky\).* background"):
        given(1).check(info(None, ("sky",)))
    with pytest.raises(ConfigError, match="this set is labelled with boxes, Given learns masks"):
        given().check(info(None, kind="boxes"))
    given().check(info(None))


@pytest.mark.parametrize("loss", [3, None, {"_target_": "torch.nn.CrossEntropyLoss"}])
def test_another_loss_is_refused_by_its_path(loss):
    specs = [FeatureSpec("a", 8, 4)]
    spec = SPEC["head"] | {"loss": loss}
    with pytest.raises(ConfigError, match=r"^head\.loss.*SegmentationLoss"):
        build(spec, "head", in_features=specs, num_classes=3)


def test_a_checkpoint_may_name_the_loss():
    model = build_model(SPEC, 3, packages=PARTS)
    assert list(model.head.criterion.gains) == ["cross_entropy", "dice"]
