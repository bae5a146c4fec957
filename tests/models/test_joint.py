"""Several heads on one backbone: one pass, losses and results of each as if it stood alone."""

import pytest
import torch
from small_joint import CLASSES, PARTS, make_joint, make_joint_batch
from tiny import CSP

from visionkit.errors import ConfigError
from visionkit.models.build import build_network
from visionkit.models.joint import build_joint
from visionkit.options import PredictOptions
from visionkit.tasks.optim import parameter_groups


def test_the_backbone_runs_once_and_is_saved_once():
    model = make_joint()
    passes = []
    model.backbone.register_forward_hook(lambda *_: passes.append(1))
    raw = model(make_joint_batch().images)
    assert list(raw) == list(PARTS) == list(model.names)
    assert len(passes) == 1
    tensors = list(model.state_dict().values())
    assert len({t.data_ptr() for t in tensors if t.numel()}) == sum(t.numel() > 0 for t in tensors)


@pytest.mark.parametrize("name", list(PARTS))
def test_a_part_says_and_costs_what_it_would_alone(name):
    model, batch = make_joint().eval(), make_joint_batch()
    part = model.part(name)
    assert part.backbone is model.backbone
    assert part.head is model.heads[name]
    with torch.no_grad():
        losses, results = model.judge(batch)
        alone, said = part.judge(batch.part(name))
    assert {k: float(v) for k, v in alone.items()} == {
        k.removeprefix(f"{name}/"): float(v) for k, v in losses.items() if k.startswith(name)
    }
    assert [str(r.parts[name].to_dict()) for r in results] == [str(s.to_dict()) for s in said]


def test_parts_without_targets_are_neither_run_nor_weighed():
    model, batch = make_joint().eval(), make_joint_batch("segmentation")
    model.heads["detection"].register_forward_hook(lambda *_: pytest.fail("has no targets"))
    losses, results = model.judge(batch)
    assert all(name.startswith("segmentation/") for name in losses)
    assert [list(r.parts) for r in results] == [["segmentation"]] * 2


def test_prediction_says_all_and_weights_multiply_losses():
    batch = make_joint_batch()
    model = make_joint().eval()
    assert [list(r.parts) for r in model.predict(batch)] == [list(PARTS)] * 2
    with torch.no_grad():
        before = {k: float(v) for k, v in model.judge(batch)[0].items()}
        model.weights["segmentation"] = 0.5
        after = model.judge(batch)[0]
    for name, value in after.items():
        factor = 0.5 if name.startswith("segmentation") else 1.0
        assert float(value) == pytest.approx(factor * before[name])


def test_gradients_reach_every_trainable_parameter():
    model, batch = make_joint(), make_joint_batch()
    sum(
        v for part in model.losses(model(batch.images), batch).values() for v in part.values()
    ).backward()
    assert [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None] == []


def test_what_no_part_needs_is_frozen():
    coarse = {"neck": PARTS["classification"]["neck"], "head": {
        **PARTS["classification"]["head"], "strides": [8]}}  # fmt: skip
    model = build_joint({"backbone": CSP, "parts": {"classification": coarse}}, CLASSES)
    whole = make_joint("classification")
    free = sum(p.requires_grad for p in model.backbone.parameters())
    assert 0 < free < sum(p.requires_grad for p in whole.backbone.parameters())


def test_learned_weights_are_trained_but_never_decayed():
    model = make_joint(weighting={"_target_": "visionkit.losses.weighting.UncertaintyWeights"})
    groups = parameter_groups(model, 0.1, 0.1)
    ids = {id(s) for s in model.weighting.log_variance.values()}
    (mine,) = [g for g in groups if ids & {id(p) for p in g["params"]}]
    assert ids <= {id(p) for p in mine["params"]}
    assert mine["weight_decay"] == 0.0


def test_norms_of_all_parts_become_group_norms():
    model = make_joint(model={"norm": "group"})
    assert model.grouped == ("backbone", "necks", "heads")
    assert not [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    again = make_joint(grouped=list(model.grouped))
    assert again.load_state_dict(model.state_dict())


def test_a_random_backbone_with_frozen_norms_is_told(caplog):
    frozen = {"backbone": {**CSP, "frozen_norm": True}, "parts": PARTS}
    build_joint(frozen | {"model": {"norm": "group"}}, CLASSES)
    assert "backbone.frozen_norm: the backbone starts at random" in caplog.text


@pytest.mark.parametrize("name", ["items", "type", "train", "half", "get", "file", "seconds"])
def test_names_that_stand_for_something_else_are_refused(name):
    spec = {"backbone": CSP, "parts": {name: PARTS["detection"]}}
    with pytest.raises(ConfigError, match=rf"^parts.{name}: the name stands for something else"):
        build_joint(spec, {name: 2})


def test_options_reach_each_head_and_are_refused_by_name():
    model = make_joint()
    model.set_options(PredictOptions(confidence=0.4, iou=0.5), (64, 64))
    assert model.heads["detection"].options.confidence == 0.4
    assert model.heads["segmentation"].options.confidence == 0.0  # masks have every pixel's best
    with pytest.raises(ConfigError, match=r"^parts.detection: predict.flip: .* leave it false"):
        model.check_options(PredictOptions(flip=True))


def test_views_are_averaged_where_all_parts_can():
    model, batch = make_joint("segmentation", "classification").eval(), make_joint_batch()
    model.set_options(PredictOptions(flip=True), (64, 64))
    both = model.observe(batch.images)["segmentation"]
    assert both.logits.shape == (2, 3, 64, 64)
    alone = model.part("segmentation").observe(batch.images)
    assert torch.equal(both.logits, alone.logits)
    assert torch.allclose(both.logits, both.logits.flip(-1)) is False


@pytest.mark.parametrize(
    ("parts", "classes", "says"),
    [
        ({"road": PARTS["segmentation"]}, CLASSES, r"^parts.road: the data have no labels"),
        ({"detection": PARTS["detection"]}, 2, r"^parts.detection: .*they are of one kind"),
        ({"Boxes": PARTS["detection"]}, {"Boxes": 2}, r"^parts.Boxes: a part is named by small"),
        (
            {"detection": PARTS["detection"] | {"head": {"_target_": "torch.nn.ReLU"}}},
            CLASSES,
            r"^parts.detection.head",
        ),
    ],
)
def test_parts_that_cannot_be_built_are_named(parts, classes, says):
    with pytest.raises(ConfigError, match=says):
        build_joint({"backbone": CSP, "parts": parts}, classes)


def test_a_single_network_refuses_labels_of_several_kinds():
    with pytest.raises(ConfigError, match=r"labels for detection, segmentation.*a task with parts"):
        build_network({"backbone": CSP, **PARTS["detection"]}, CLASSES, (64, 64))
