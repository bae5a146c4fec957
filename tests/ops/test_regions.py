"""Pooling: levels by hand, values by hand, and torchvision's pooler for values and gradients."""

import pytest
import torch
from torchvision.ops import MultiScaleRoIAlign

from visionkit.ops.regions import pool_regions, pyramid_level

STRIDES = [4, 8, 16, 32]
HEIGHT, WIDTH = 480, 500


def square(side):
    return [0.0, 0, side, side]


@pytest.mark.parametrize(
    ("side", "level"),
    [(0, 0), (20, 0), (111, 0), (112, 1), (223, 1), (224, 2), (448, 3), (2000, 3)],
)
def test_a_box_is_looked_at_where_it_has_7_to_14_cells(side, level):
    assert pyramid_level(torch.tensor([square(side)]), STRIDES).tolist() == [level]


def test_levels_of_other_pyramids():
    sides = torch.tensor([square(s) for s in (50, 112, 224, 448)])
    assert pyramid_level(sides, [8, 16, 32]).tolist() == [0, 0, 1, 2]
    assert pyramid_level(sides, [8, 32]).tolist() == [0, 0, 0, 1]
    assert pyramid_level(sides, [16]).tolist() == [0, 0, 0, 0]


def test_a_slope_is_pooled_to_its_values_at_the_bins():
    """On a map that rises by 1 from column to column, a bin has its centre's column."""
    slope = torch.arange(32.0).expand(1, 1, 32, 32)
    boxes = torch.tensor([[32.0, 16, 32 + 56, 16 + 28]])  # columns 8 to 22
    pooled, order = pool_regions([slope], [4], boxes, torch.tensor([0]), 7)
    assert order is None
    assert pooled.shape == (1, 1, 7, 7)
    assert pooled[0, 0].tolist() == [pytest.approx([9.0, 11, 13, 15, 17, 19, 21])] * 7


def drawn(count=60):
    torch.manual_seed(0)
    maps = [torch.randn(3, 5, -(-HEIGHT // s), -(-WIDTH // s)) for s in STRIDES]
    most = torch.tensor([WIDTH, HEIGHT])
    corner = torch.rand(count, 2) * most
    boxes = torch.cat([corner, corner + torch.rand(count, 2) * 300], 1)
    boxes[0] = torch.tensor([0.0, 0, WIDTH, HEIGHT])
    boxes[1] = torch.tensor([WIDTH - 0.5, HEIGHT - 0.5, WIDTH, HEIGHT])
    boxes[2] = torch.tensor([3.0, 3, 3.01, 90])
    return maps, boxes.minimum(most.repeat(2)), torch.arange(count) % 3


def pooled_and_gradients(pool, maps):
    maps = [x.clone().requires_grad_() for x in maps]
    pooled = pool(maps)
    weights = torch.arange(pooled.numel()).view_as(pooled) % 7 - 3.0
    return pooled.detach(), torch.autograd.grad((pooled * weights).sum(), maps)


def torchvisions(boxes, image):
    names = [str(s) for s in STRIDES]
    pooler = MultiScaleRoIAlign(names, 7, 2)

    def pool(maps):
        mine = [boxes[image == i] for i in range(3)]
        pooled = pooler(dict(zip(names, maps, strict=True)), mine, [(HEIGHT, WIDTH)] * 3)
        return pooled[torch.cat([(image == i).nonzero()[:, 0] for i in range(3)]).argsort()]

    return pool


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_pooling_is_torchvisions(layout):
    maps, boxes, image = drawn()
    maps = [x.contiguous(memory_format=layout) for x in maps]
    expected, their_gradients = pooled_and_gradients(torchvisions(boxes, image), maps)
    ours, gradients = pooled_and_gradients(
        lambda maps: pool_regions(maps, STRIDES, boxes, image, 7)[0], maps
    )
    assert set(pyramid_level(boxes, STRIDES).tolist()) == {0, 1, 2, 3}
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-4)
    for mine, theirs in zip(gradients, their_gradients, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=2e-4)


def test_pooling_in_a_compiled_graph_is_the_same(monkeypatch):
    maps, boxes, image = drawn()
    eager, _ = pool_regions(maps, STRIDES, boxes, image, 7)
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    fixed, order = pool_regions(maps, STRIDES, boxes, image, 7)
    assert order is None
    torch.testing.assert_close(fixed, eager, rtol=0, atol=1e-4)


def test_boxes_that_are_not_finite_pool_something_and_spoil_no_other():
    maps, boxes, image = drawn(12)
    whole, _ = pool_regions(maps, STRIDES, boxes, image, 7)
    boxes[3], boxes[5, 2], boxes[7, 3] = torch.nan, torch.inf, -torch.inf
    pooled, _ = pool_regions(maps, STRIDES, boxes, image, 7)
    assert pooled.isfinite().all()
    others = [i for i in range(12) if i not in (3, 5, 7)]
    assert torch.equal(pooled[others], whole[others])


def test_no_box_at_all_still_carries_a_gradient():
    maps = [
        torch.randn(1, 4, 8, 8, requires_grad=True),
        torch.randn(1, 4, 4, 4, requires_grad=True),
    ]
    pooled, _ = pool_regions(maps, [4, 8], torch.zeros(0, 4), torch.zeros(0, dtype=torch.long), 7)
    assert pooled.shape == (0, 4, 7, 7)
    pooled.sum().backward()
    assert all(x.grad is not None and not x.grad.any() for x in maps)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_pooling_on_a_gpu_is_the_same():
    maps, boxes, image = drawn()
    eager, _ = pool_regions(maps, STRIDES, boxes, image, 7)
    pooled, order = pool_regions([x.cuda() for x in maps], STRIDES, boxes.cuda(), image.cuda(), 7)
    torch.testing.assert_close(pooled.cpu(), eager[order.cpu()], rtol=0, atol=1e-4)
