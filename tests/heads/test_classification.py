"""The classification head: its layers, its one loss, probabilities that hold what they promise."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tiny import CSP

from visionkit.backbones.base import FeatureSpec
from visionkit.batch import Batch, LabelTargets
from visionkit.data.index import DataInfo
from visionkit.errors import ConfigError
from visionkit.geometry import Letterbox
from visionkit.heads.classification import ClassificationHead, ClassRaw, GeM
from visionkit.models.model import Model, build_model
from visionkit.options import PredictOptions
from visionkit.sample import ImageMeta

MAPS = (FeatureSpec("a", 4, 8), FeatureSpec("b", 6, 16))
KINDS = [
    (activation, loss)
    for activation in ("softmax", "sigmoid")
    for loss in ("cross_entropy", "bce", "focal")
]


def make_head(classes: int = 3, **arguments) -> ClassificationHead:
    torch.manual_seed(0)
    return ClassificationHead(MAPS, classes, **arguments)


def make_model(**arguments) -> Model:
    torch.manual_seed(0)
    return build_model(
        {
            "backbone": CSP,
            "neck": {"_target_": "visionkit.necks.identity.Identity"},
            "head": {
                "_target_": "visionkit.heads.classification.ClassificationHead",
                **arguments,
            },
        },
        3,
    )


def make_batch(values: list[list[float]], side: int = 64) -> Batch:
    generator = torch.Generator().manual_seed(1)
    shape = (len(values), 3, side, side)
    return Batch(
        images=torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8),
        targets=LabelTargets(torch.tensor(values)),
        meta=tuple(ImageMeta(i, "", Letterbox((side, side), (side, side))) for i in range(4)),
    )


def info(counts=(10, 30, 0), exclusive=True) -> DataInfo:
    return DataInfo(
        classes=("ant", "bee", "wasp")[: len(counts)],
        canvas=(64, 64),
        kind="classes",
        count=lambda: np.array(counts),
        exclusive=exclusive,
    )


HARD = make_batch([[1.0, 0, 0], [0, 0, 1], [0, 1, 0], [1, 0, 0]])
SOFT = make_batch([[0.5, 0.5, 0], [0, 0.2, 0.8], [0, 1, 0], [1, 0, 0]])
SEVERAL = make_batch([[1.0, 1, 0], [0, 0, 0], [1, 1, 1], [0, 0, 1]])
NONE = make_batch([[0.0, 0, 0]] * 4)
LOGITS = torch.tensor([[2.0, -1, 0.5], [0, 1, 3], [-4, 5, 0], [0.1, 0.2, 0.3]])


@pytest.mark.parametrize(("activation", "loss"), KINDS)
@pytest.mark.parametrize("batch", [HARD, SOFT, SEVERAL, NONE], ids=["hard", "soft", "more", "none"])
def test_the_loss_is_constant_in_name_and_finite(activation, loss, batch):
    head = make_head(activation=activation, loss=loss, label_smoothing=0.1)
    logits = LOGITS.clone().requires_grad_()
    losses = head.loss(ClassRaw(logits), batch)
    assert list(losses) == ["class"]
    assert losses["class"].shape == ()
    assert losses["class"].dtype == torch.float32
    losses["class"].backward()
    assert torch.isfinite(losses["class"])
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("pool", ["average", "max", "gem"])
@pytest.mark.parametrize("hidden", [0, 8])
def test_the_gradient_reaches_every_parameter(pool, hidden):
    model = make_model(pool=pool, hidden=hidden, norm=True, strides=[8, 32], dropout=0.1).train()
    model.head.loss(model(HARD.images), HARD)["class"].backward()
    idle = [
        n
        for n, p in model.named_parameters()
        if p.requires_grad and (p.grad is None or not p.grad.abs().sum() > 0)
    ]
    assert idle == []
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.requires_grad)


def test_loss_decode_and_predict_do_not_depend_on_the_mode():
    head = make_head(dropout=0.5, label_smoothing=0.1)
    found = []
    for mode in (True, False):
        head.train(mode)
        raw = ClassRaw(LOGITS)
        (first, *_) = head.predict(raw, HARD)
        found.append((head.loss(raw, HARD)["class"], head.decode(raw)[0], first.probabilities))
    assert found[0][0] == found[1][0]
    assert torch.equal(found[0][1], found[1][1])
    assert np.array_equal(found[0][2], found[1][2])


@pytest.mark.parametrize(("activation", "loss"), KINDS)
def test_the_first_loss_is_that_of_chance(activation, loss):
    """Without its prior a sigmoid would give each of the classes one half."""
    torch.manual_seed(0)
    maps = (FeatureSpec("a", 512, 32),)
    head = ClassificationHead(maps, 100, activation=activation, loss=loss, focal_gamma=0.0)
    values = F.one_hot(torch.arange(8), 100).float()
    batch = Batch(torch.zeros(8, 3, 1, 1), LabelTargets(values), ())
    raw = head({"a": torch.rand(8, 512, 2, 2)}, (64, 64))
    expected = math.log(100) + (99 * -math.log(0.99) if head.binary else 0)
    assert head.loss(raw, batch)["class"].item() == pytest.approx(expected, rel=0.1)


def test_the_prior():
    bias = make_head(activation="sigmoid", prior=0.25).classes.bias
    assert bias.sigmoid().tolist() == pytest.approx([0.25] * 3)
    assert make_head(1, activation="sigmoid").classes.bias.tolist() == [0.0]
    assert make_head(prior=0.25).classes.bias.tolist() == [0.0] * 3


def test_pools_by_hand():
    maps = {"a": torch.rand(2, 4, 5, 3), "b": torch.rand(2, 6, 3, 2)}
    for pool, reduce in (("average", torch.mean), ("max", torch.amax)):
        head = make_head(pool=pool, strides=[8, 16])
        pooled = torch.cat([reduce(maps["a"], (2, 3)), reduce(maps["b"], (2, 3))], 1)
        expected = pooled @ head.classes.weight.T + head.classes.bias
        torch.testing.assert_close(head(maps, (40, 24)).logits, expected)
        alone = make_head(pool=pool)
        assert [f.name for f in alone.used] == ["b"], "the coarsest"
        expected = reduce(maps["b"], (2, 3)) @ alone.classes.weight.T
        torch.testing.assert_close(alone(maps, (40, 24)).logits, expected)


def test_gem_lies_between_average_and_maximum():
    x = torch.rand(3, 4, 5, 6, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(GeM(1.0)(x), x.mean((2, 3)))
    torch.testing.assert_close(GeM(3.0)(x), (x**3).mean((2, 3)) ** (1 / 3))
    torch.testing.assert_close(GeM(2000.0)(x), x.amax((2, 3)), rtol=3e-3, atol=0)


def test_gem_survives_what_powers_do_not():
    for value in (6e4, 0.0, -3.0):
        x = torch.full((1, 1, 4, 4), value, dtype=torch.float16, requires_grad=True)
        gem = GeM(8.0)
        pooled = gem(x)
        assert pooled.dtype == torch.float16
        assert pooled.item() == pytest.approx(max(value, 0.0), rel=1e-3, abs=1e-5)
        pooled.sum().backward()
        assert torch.isfinite(x.grad).all()
        assert torch.isfinite(gem.log_power.grad).all()


def test_the_loss_is_of_float32_under_autocast():
    head = make_head(label_smoothing=0.1, class_weights="balanced")
    head.prepare(info())
    logits = LOGITS.bfloat16()
    plain = head.loss(ClassRaw(logits.float()), HARD)["class"]
    with torch.autocast("cpu", torch.bfloat16):
        mixed = head.loss(ClassRaw(logits), HARD)["class"]
        decoded = head.decode(ClassRaw(logits)).probabilities
        raw = head({"b": torch.rand(2, 6, 3, 2)}, (48, 32))
    assert mixed == plain
    assert decoded.dtype == torch.float32
    assert raw.logits.dtype == torch.bfloat16
    assert torch.equal(decoded, head.decode(ClassRaw(logits.float())).probabilities)


@pytest.mark.parametrize("batch", [HARD, SOFT], ids=["hard", "soft"])
def test_losses_are_torchs(batch):
    values = batch.targets.values
    plain = make_head(label_smoothing=0.1).loss(ClassRaw(LOGITS), batch)["class"]
    torch.testing.assert_close(plain, F.cross_entropy(LOGITS, values, label_smoothing=0.1))
    for arguments in ({"loss": "bce"}, {"activation": "sigmoid"}):
        binary = make_head(**arguments).loss(ClassRaw(LOGITS), batch)["class"]
        expected = F.binary_cross_entropy_with_logits(LOGITS, values, reduction="sum") / 4
        torch.testing.assert_close(binary, expected)
    focal = make_head(loss="focal", focal_gamma=0.0).loss(ClassRaw(LOGITS), batch)["class"]
    torch.testing.assert_close(focal, F.cross_entropy(LOGITS, values))
    focal = make_head(loss="focal", focal_gamma=2.0).loss(ClassRaw(LOGITS), batch)["class"]
    log_p = LOGITS.log_softmax(1)
    expected = -(values * (1 - log_p.exp()) ** 2 * log_p).sum() / 4
    torch.testing.assert_close(focal, expected)


def test_prepare_sets_the_class_weights():
    head = make_head(class_weights="balanced")
    assert head.class_weights.tolist() == [1, 1, 1]
    head.prepare(info((10, 30, 0)))
    assert head.class_weights.tolist() == pytest.approx([2, 2 / 3, 2])
    labels = torch.tensor([0, 2, 1, 0])
    expected = F.cross_entropy(LOGITS, labels, weight=head.class_weights)
    torch.testing.assert_close(head.loss(ClassRaw(LOGITS), HARD)["class"], expected)
    again = make_head(class_weights="balanced")
    again.load_state_dict(head.state_dict())
    assert torch.equal(again.class_weights, head.class_weights)
    plain = make_head()
    plain.load_state_dict(head.state_dict())
    plain.temperature.fill_(3.0)
    plain.prepare(info())  # begun from another run's weights
    assert plain.class_weights.tolist() == [1, 1, 1]
    assert plain.temperature.item() == 1


def test_data_that_the_activation_cannot_tell_are_refused():
    with pytest.raises(ConfigError, match=r"^head\.activation: .*head\.activation=sigmoid$"):
        make_head().check(info(exclusive=False))
    with pytest.raises(ConfigError, match=r"^data: there is a single class \(ant\)"):
        make_head(1).check(info((5,)))
    with pytest.raises(ConfigError, match=r"^data: this set is labelled with boxes"):
        make_head().check(replace(info(), kind="boxes"))
    make_head().check(info())
    make_head(activation="sigmoid").check(info(exclusive=False))
    make_head(1, activation="sigmoid").check(info((5,), exclusive=False))


def test_a_missing_stride_is_named():
    with pytest.raises(
        ConfigError, match=r"^head: no feature map at stride 32; there are .* 8, 16"
    ):
        make_head(strides=[16, 32])


def test_probabilities_are_what_was_trained():
    z = torch.tensor([[0.0, math.log(3.0), 0.0]])
    softmax = make_head().decode(ClassRaw(z)).probabilities
    assert softmax.tolist()[0] == pytest.approx([1 / 5, 3 / 5, 1 / 5])
    several = make_head(activation="sigmoid").decode(ClassRaw(z)).probabilities
    assert several.tolist()[0] == pytest.approx([1 / 2, 3 / 4, 1 / 2])
    one_of_all = make_head(loss="bce").decode(ClassRaw(z)).probabilities
    assert one_of_all.tolist()[0] == pytest.approx([2 / 7, 3 / 7, 2 / 7])


def test_results_say_whether_classes_exclude_each_other():
    for activation, exclusive in (("softmax", True), ("sigmoid", False)):
        head = make_head(activation=activation)
        head.options = PredictOptions(confidence=0.8)
        results = head.predict(ClassRaw(LOGITS), HARD)
        decoded = head.decode(ClassRaw(LOGITS)).probabilities.numpy()
        assert len(results) == 4
        for result, row in zip(results, decoded, strict=True):
            assert result.exclusive == exclusive
            assert result.probabilities.dtype == np.float32
            assert np.array_equal(result.probabilities, row)
        assert [r.label for r in results] == [0, 2, 1, 2]
    assert results[0].labels == [0], "0.88; the others are below the confidence asked for"
    assert results[3].labels == []


@pytest.mark.parametrize(("activation", "loss"), KINDS)
def test_the_average_of_one_is_itself_and_of_two_their_mean(activation, loss):
    head = make_head(activation=activation, loss=loss)
    one, other = ClassRaw(LOGITS), ClassRaw(LOGITS.flip(0) * 2)
    batch = SEVERAL if activation == "sigmoid" else HARD
    alone = head.average([one], [False])
    for made, wanted in (
        (head.decode(alone).probabilities, head.decode(one).probabilities),
        (head.loss(alone, batch)["class"], head.loss(one, batch)["class"]),
    ):
        torch.testing.assert_close(made, wanted, rtol=1e-5, atol=1e-6)
    both = head.decode(head.average([one, other], [False, True])).probabilities
    mean = (head.decode(one).probabilities + head.decode(other).probabilities) / 2
    if loss == "bce" and activation == "softmax":  # averaged before they are divided by their sum
        mean = (one.logits.sigmoid() + other.logits.sigmoid()) / 2
        mean = mean / mean.sum(1, keepdim=True)
    torch.testing.assert_close(both, mean)


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_calibration_recovers_a_temperature_and_keeps_the_order(activation):
    head = make_head(activation=activation, calibrate=True)
    assert head.calibrates
    assert not make_head().calibrates
    z = torch.randn(3000, 3, generator=torch.Generator().manual_seed(0)) * 2
    values = z.softmax(1) if activation == "softmax" else z.sigmoid()
    batches = [Batch(torch.zeros(len(v), 3, 0, 1), LabelTargets(v), ()) for v in values.split(1000)]
    raws = [ClassRaw(2.5 * part) for part in z.split(1000)]
    head.calibrate(raws, batches)
    assert head.temperature.item() == pytest.approx(2.5, rel=0.01)
    decoded = head.decode(ClassRaw(2.5 * z)).probabilities
    torch.testing.assert_close(decoded, values, rtol=0, atol=0.01)
    assert torch.equal(decoded.argmax(1), z.argmax(1))
    head.calibrate(raws, batches)
    assert head.temperature.item() == pytest.approx(2.5, rel=0.01), "it doesn't add up"
    kept = make_head()
    kept.load_state_dict(head.state_dict())
    assert kept.temperature == head.temperature


def test_calibration_on_nothing_leaves_everything():
    head = make_head(calibrate=True)
    head.calibrate([], [])
    head.calibrate([ClassRaw(LOGITS)], [NONE])
    assert head.temperature.item() == 1


@pytest.mark.parametrize("arguments", [{}, {"loss": "bce"}, {"activation": "sigmoid"}])
def test_a_tiny_model_learns_four_colours(arguments):
    model = make_model(pool="gem", **arguments).train()
    colours = torch.tensor([[250, 0, 0], [0, 250, 0], [0, 0, 250], [250, 250, 0]])
    images = colours.to(torch.uint8)[:, :, None, None].expand(4, 3, 64, 64)
    batch = replace(SEVERAL if arguments.get("activation") == "sigmoid" else HARD, images=images)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 0.3  # so that their statistics soon catch up
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    for _ in range(20):
        optimizer.zero_grad()
        model.head.loss(model(batch.images), batch)["class"].backward()
        optimizer.step()
    for _ in range(30):
        model(batch.images)
    for result, value in zip(model.eval().predict(batch), batch.targets.values, strict=True):
        if result.exclusive:
            assert result.label == value.argmax()
            assert result.score > 0.5
        else:
            assert (result.probabilities > 0.5).tolist() == (value > 0.5).tolist()
