"""Batch norms that meet a single value for each channel."""

import copy
import pickle

import pytest
import torch
from timm.layers import BatchNormAct2d
from torch import nn

from visionkit.backbones.norms import tolerate_single

ONE, SEVERAL = torch.full((1, 2, 1, 1), 3.0), torch.arange(16.0).view(2, 2, 2, 2)


def filled(norm: nn.Module) -> nn.Module:
    norm.running_mean.copy_(torch.tensor([1.0, 2.0]))
    norm.running_var.copy_(torch.tensor([4.0, 9.0]))
    return norm


def tolerant(norm: nn.Module) -> nn.Sequential:
    model = nn.Sequential(filled(norm)).train()
    tolerate_single(model)
    return model


@pytest.mark.parametrize("kind", [nn.BatchNorm2d, BatchNormAct2d])
def test_a_single_value_is_normalised_by_the_running_statistics(kind):
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        filled(kind(2)).train()(ONE)
    model = tolerant(kind(2))
    found = model(ONE).flatten().tolist()
    assert found == pytest.approx([(3 - 1) / 2, (3 - 2) / 3], rel=1e-4)
    assert model[0].running_mean.tolist() == [1, 2], "one value says nothing of the deviation"
    assert model[0].num_batches_tracked == 0
    assert model[0].training


def test_a_vector_counts_too():
    assert tolerant(nn.BatchNorm1d(2))(ONE.flatten(1)).shape == (1, 2)


def test_several_values_train_as_ever():
    model, plain = tolerant(nn.BatchNorm2d(2)), filled(nn.BatchNorm2d(2)).train()
    assert torch.equal(model(SEVERAL), plain(SEVERAL))
    assert torch.equal(model[0].running_var, plain.running_var)
    assert model[0].num_batches_tracked == 1


def test_the_gradient_passes():
    model = tolerant(nn.BatchNorm2d(2))
    x = ONE.clone().requires_grad_()
    model(x).square().sum().backward()
    assert x.grad.ne(0).all()
    assert model[0].weight.grad.ne(0).all()


def test_evaluation_and_frozen_norms_stay_as_they_are():
    model = tolerant(nn.BatchNorm2d(2)).eval()
    model(ONE)
    assert not model[0].training


def test_a_norm_that_fails_trains_on():
    model = tolerant(nn.BatchNorm2d(2))
    with pytest.raises(RuntimeError):
        model(torch.ones(1, 3, 1, 1))
    assert model[0].training


@pytest.mark.parametrize("again", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_are_tolerant_and_do_not_share_state(again):
    model = tolerant(nn.BatchNorm2d(2))
    other = again(model)
    other(ONE)
    other(SEVERAL)
    assert other[0].num_batches_tracked == 1
    assert model[0].num_batches_tracked == 0


def test_a_synchronised_norm_takes_its_place():
    model = nn.SyncBatchNorm.convert_sync_batchnorm(tolerant(nn.BatchNorm2d(2)))
    assert isinstance(model[0], nn.SyncBatchNorm)
    assert model.eval()(ONE).shape == ONE.shape


def test_a_graph_of_any_size_has_no_trace_of_it():
    model = tolerant(nn.BatchNorm2d(2)).eval()
    side = torch.export.Dim("side", min=1, max=64)
    graph = torch.export.export(model, (SEVERAL,), dynamic_shapes=({2: side, 3: side},)).module()
    assert torch.equal(graph(SEVERAL), model(SEVERAL))
    large = torch.rand(2, 2, 7, 7)
    torch.testing.assert_close(graph(large), model(large))


def test_a_compiled_model_is_tolerant():
    model = tolerant(nn.BatchNorm2d(2))
    compiled = torch.compile(model, backend="eager")
    assert compiled(ONE).flatten().tolist() == pytest.approx([1, 1 / 3], rel=1e-4)
    compiled(SEVERAL)
    assert model[0].training
    assert model[0].num_batches_tracked == 1
