"""Parameter groups, schedules and Muon."""

import itertools
import math

import pytest
import torch
from tiny import CSP, HEAD, NECK, make_model
from torch import nn
from torchvision.models import VisionTransformer

from visionkit.backbones import torchvision as torchvision_backbones
from visionkit.backbones.base import Norm
from visionkit.backbones.torchvision import TorchvisionBackbone
from visionkit.models.model import build_model
from visionkit.tasks.optim import (
    Muon,
    orthogonalise,
    parameter_groups,
    warmup_constant,
    warmup_cosine,
)


def test_groups_hold_every_trainable_parameter_once_and_decay_only_matrices():
    spec = {"backbone": CSP | {"lr_multiplier": 0.1, "frozen_stages": 1}, "neck": NECK}
    model = build_model(spec | {"head": HEAD}, 2)
    groups = parameter_groups(model, 0.5, 0.05)
    held = [id(p) for g in groups for p in g["params"]]
    assert sorted(held) == sorted(id(p) for p in model.parameters() if p.requires_grad)
    group_of = {id(p): g for g in groups for p in g["params"]}
    norms = {id(p) for m in model.modules() if isinstance(m, Norm) for p in m.parameters()}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            group = group_of[id(parameter)]
            vector = id(parameter) in norms or name.endswith("bias")
            assert group["weight_decay"] == (0.0 if vector else 0.05), name
            assert group["matrix"] != vector
            assert group["lr"] == pytest.approx(0.05 if name.startswith("backbone") else 0.5)


def test_layer_scales_are_not_decayed_but_a_single_class_is():
    backbone = TorchvisionBackbone("convnext_tiny")
    decayed = {id(p) for g in parameter_groups(backbone, 1, 1) if g["matrix"] for p in g["params"]}
    scales = [p for n, p in backbone.named_parameters() if n.endswith("layer_scale")]
    assert scales
    assert not any(id(p) in decayed for p in scales)
    last = make_model(1).head.many.classes[0][-1]
    groups = parameter_groups(last, 1, 1)
    assert [g["matrix"] for g in groups for p in g["params"] if p is last.weight] == [True]


def test_layer_decay_lowers_the_rate_of_early_layers():
    spec = {"backbone": CSP | {"lr_multiplier": 0.4, "layer_decay": 0.5}, "neck": NECK}
    model = build_model(spec | {"head": HEAD}, 2)
    groups = parameter_groups(model, 1.0, 0.05)
    rate = {id(p): g["lr"] for g in groups for p in g["params"]}
    named = {n: rate[id(p)] for n, p in model.named_parameters() if p.requires_grad}
    assert named["backbone.stem.0.weight"] == pytest.approx(0.4 / 16)
    assert named["backbone.stages.0.0.0.weight"] == pytest.approx(0.4 / 8)
    assert named["backbone.stages.3.2.mix.0.weight"] == pytest.approx(0.4)
    assert {r for n, r in named.items() if not n.startswith("backbone.")} == {1.0}
    assert sum(len(g["params"]) for g in groups) == len(named)


def test_embeddings_of_places_are_not_decayed(monkeypatch):
    small = VisionTransformer(32, 16, 1, 2, 16, 32)
    monkeypatch.setattr(torchvision_backbones, "_build", lambda name, weights: small)
    backbone = TorchvisionBackbone("vit_b_16")
    plain = [p for g in parameter_groups(backbone, 1, 1) if not g["matrix"] for p in g["params"]]
    held = {id(p) for p in plain}
    assert {id(small.class_token), id(small.encoder.pos_embedding)} <= held
    assert id(small.conv_proj.weight) not in held


def rates(make, steps, **options):
    parameter = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([{"params": [parameter], "lr": 2.0}])
    schedule = make(optimizer, total_steps=steps, **options)
    found = []
    for _ in range(steps + 1):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return found


def test_the_cosine_rises_and_falls():
    found = rates(warmup_cosine, 100, warmup=0.1, final=0.01)
    assert found[:10] == pytest.approx([0.2 * (k + 1) for k in range(10)])
    assert found[10] == pytest.approx(2)
    assert found[55] == pytest.approx(2 * (0.01 + 0.99 / 2))
    assert found[100] == pytest.approx(0.02)
    assert all(a >= b for a, b in itertools.pairwise(found[10:]))


def test_a_warm_up_may_be_a_number_of_steps():
    assert rates(warmup_constant, 20, warmup=4)[:6] == pytest.approx([0.5, 1, 1.5, 2, 2, 2])
    assert max(rates(warmup_cosine, 10, warmup=1000)) == pytest.approx(2)
    assert rates(warmup_cosine, 1, warmup=0.0)[0] == pytest.approx(2)


@pytest.mark.parametrize("shape", [(20, 50), (50, 20), (16, 16)])
def test_orthogonalise_brings_singular_values_near_one(shape):
    torch.manual_seed(0)
    matrix = torch.randn(shape)
    values = torch.linalg.svdvals(orthogonalise(matrix))
    assert values.min() > 0.3
    assert values.max() < 1.3
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    cosine = (orthogonalise(matrix) * (u @ v)).sum() / (
        orthogonalise(matrix).norm() * (u @ v).norm()
    )
    assert cosine > 0.95


def test_muon_moves_a_matrix_as_far_as_adamw_would():
    weight = nn.Parameter(torch.zeros(32, 16, 3, 3))
    optimizer = Muon([weight], lr=0.01, weight_decay=0.0)
    weight.grad = torch.randn(weight.shape, generator=torch.Generator().manual_seed(1))
    optimizer.step()
    assert weight.detach().square().mean().sqrt().item() == pytest.approx(0.002, rel=0.3)
    assert "momentum" in optimizer.state[weight]


def test_muon_leaves_vectors_depthwise_and_small_weights_to_adamw():
    shapes = [(8,), (32, 1, 3, 3), (2, 32, 1, 1), (32, 3, 2, 2)]
    weights = [nn.Parameter(torch.zeros(s)) for s in shapes]
    optimizer = Muon(weights, lr=0.01, weight_decay=0.0)
    for w in weights:
        w.grad = torch.randn(w.shape)
    optimizer.step()
    for w in weights:
        assert "square" in optimizer.state[w]
        torch.testing.assert_close(w.detach(), -0.01 * w.grad.sign(), atol=1e-4, rtol=1e-2)


def test_the_adamw_inside_is_torchs():
    ours, theirs = (nn.Parameter(torch.linspace(-1, 1, 7)) for _ in range(2))
    options = {"lr": 0.05, "weight_decay": 0.1, "betas": (0.9, 0.99), "eps": 1e-8}
    a, b = Muon([ours], **options), torch.optim.AdamW([theirs], **options)
    for step in range(20):
        gradient = torch.sin(torch.arange(7.0) + step)
        ours.grad, theirs.grad = gradient.clone(), gradient.clone()
        a.step()
        b.step()
    torch.testing.assert_close(ours, theirs)


def quadratic(parameters, wanted):
    return sum((p - w).square().sum() for p, w in zip(parameters, wanted, strict=True))


@pytest.mark.parametrize("betas", [(0.9, 0.99), [0, 0.99], (0, 1 - 1e-3)])
def test_muon_converges_whatever_the_type_of_betas(betas):
    torch.manual_seed(0)
    wanted = [torch.randn(16, 24), torch.randn(5)]
    parameters = [nn.Parameter(torch.zeros_like(w)) for w in wanted]
    optimizer = Muon(parameters, lr=0.1, weight_decay=0.0, betas=betas)
    schedule = warmup_cosine(optimizer, 150)
    start = quadratic(parameters, wanted).item()
    for _ in range(150):
        optimizer.zero_grad()
        quadratic(parameters, wanted).backward()
        optimizer.step()
        schedule.step()
    assert quadratic(parameters, wanted).item() < 1e-2 * start


def test_muons_state_survives_a_round_trip():
    torch.manual_seed(0)
    start = [torch.randn(16, 16), torch.randn(4)]
    runs = []
    for interrupted in (False, True):
        parameters = [nn.Parameter(w.clone()) for w in start]
        optimizer = Muon(parameters, lr=0.05)
        for step in range(6):
            if interrupted and step == 3:
                state = optimizer.state_dict()
                optimizer = Muon(parameters, lr=123.0)
                optimizer.load_state_dict(state)
            optimizer.zero_grad()
            sum(p.sin().sum() for p in parameters).backward()
            optimizer.step()
        runs.append(parameters)
    for a, b in zip(*runs, strict=True):
        assert torch.equal(a, b)


def test_muon_passes_over_what_has_no_gradient_and_calls_its_closure():
    weight = nn.Parameter(torch.ones(16, 16))
    optimizer = Muon([weight], lr=1.0)
    assert optimizer.step(lambda: torch.tensor(math.pi)).item() == pytest.approx(math.pi)
    assert torch.equal(weight, torch.ones(16, 16))
