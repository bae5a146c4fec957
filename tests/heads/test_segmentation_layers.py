"""The layers of each family of segmentation heads, against what its paper says."""

import pytest
import torch
import torch.nn.functional as F
from small_heads import FIVE, FULL, make_head, make_maps
from torch import nn

from visionkit.heads.segmentation.deeplab import AtrousPooling, DeepLabHead
from visionkit.heads.segmentation.fcn import FcnHead
from visionkit.heads.segmentation.fpn import FpnHead
from visionkit.heads.segmentation.layers import PyramidPooling, enlarge, pool_to
from visionkit.heads.segmentation.lraspp import LrasppHead
from visionkit.heads.segmentation.unet import UnetHead
from visionkit.heads.segmentation.upernet import UpernetHead


def test_fcn_adds_the_scores_of_finer_maps():
    head, maps = make_head(FcnHead).eval(), make_maps(FIVE, (64, 96))
    for number, skip in enumerate(head.skips):
        assert skip.weight.eq(0).all(), "as in the paper"
        nn.init.constant_(skip.weight, number + 1.0)
    coarse = head.classes(head.conv(maps["s32"]))
    middle = F.interpolate(coarse, size=(4, 6), mode="bilinear") + 2 * maps["s16"].sum(1)
    wanted = F.interpolate(middle, size=(8, 12), mode="bilinear") + maps["s8"].sum(1)
    torch.testing.assert_close(head(maps, (64, 96)).logits, wanted)


def test_unet_climbs_to_the_finest_map_or_to_the_picture():
    head = make_head(UnetHead)
    assert [stage.convs[1][0].out_channels for stage in head.stages] == [16, 12, 8, 8]
    assert [stage.convs[0][0].in_channels for stage in head.stages] == [22, 20, 14, 12]
    assert head(make_maps(FIVE, (97, 131)), (97, 131)).logits.shape == (1, 3, 49, 66)
    full = make_head(UnetHead, full=True, channels=[16, 12, 8, 8, 4])
    assert full.classes.in_channels == 4
    assert full(make_maps(FIVE, (97, 131)), (97, 131)).logits.shape == (1, 3, 97, 131)
    there = make_head(UnetHead, (FULL, *FIVE), full=True)
    assert len(there.stages) == 5, "a map of stride 1 is that of the picture"


def test_fpn_is_the_papers():
    """Each level enlarged by itself, then the sum: what the shared last step must equal."""
    head, maps = make_head(FpnHead).eval(), make_maps(FIVE, (70, 90))
    levels = [layer(maps[f.name]) for layer, f in zip(head.laterals, head.used, strict=True)]
    for i in (2, 1, 0):
        levels[i] = levels[i] + F.interpolate(levels[i + 1], size=levels[i].shape[-2:])
    total = head.levels[0][0](levels[0])
    for n in (1, 2, 3):
        x = levels[n]
        assert len(head.levels[n]) == n
        for i, conv in enumerate(head.levels[n], 1):
            x = F.interpolate(conv(x), size=levels[n - i].shape[-2:], mode="bilinear")
        total = total + x
    torch.testing.assert_close(head(maps, (70, 90)).logits, head.classes(total))


def test_upernet_fuses_by_one_convolution_over_all_maps():
    """With maps of one size, where nothing is enlarged."""
    head = make_head(UpernetHead, FIVE[1:3]).eval()
    maps = {f.name: torch.randn(1, f.channels, 5, 7) for f in FIVE[1:3]}
    coarse = head.pooling(maps["s8"])
    fine = head.smooth[0](head.laterals[0](maps["s4"]) + coarse)
    weight = torch.cat([conv.weight for conv in head.fuse], 1)
    wanted = head.classes(head.norm(F.conv2d(torch.cat([fine, coarse], 1), weight)).relu())
    torch.testing.assert_close(head(maps, (20, 28)).logits, wanted)


def test_lraspp_enlarges_scores_for_channels():
    head, maps = make_head(LrasppHead).eval(), make_maps(FIVE, (100, 130))
    low, high = maps["s8"], maps["s32"]
    x = head.conv(high) * head.gate(F.adaptive_avg_pool2d(high, 1))
    wanted = head.classes(F.interpolate(x, size=low.shape[-2:], mode="bilinear"))
    torch.testing.assert_close(head(maps, (100, 130)).logits, wanted + head.low_classes(low))


def test_atrous_pooling_is_one_convolution_over_all_branches():
    torch.manual_seed(0)
    pooling, x = AtrousPooling(6, 8, (1, 3)).eval(), torch.randn(2, 6, 5, 7)
    assert [b[0].dilation for b in pooling.branches[1:]] == [(1, 1), (3, 3)]
    branches = [branch(x) for branch in pooling.branches]
    whole = pooling.whole[:2](F.adaptive_avg_pool2d(x, 1)).expand(2, 8, 5, 7)
    weight = torch.cat([pooling.mix.weight, pooling.whole[2].weight], 1)
    wanted = pooling.norm(F.conv2d(torch.cat([*branches, whole], 1), weight))
    torch.testing.assert_close(pooling(x), wanted)


@pytest.mark.parametrize(
    ("stride", "cells"), [(32, [3, 6, 9]), (16, [6, 12, 18]), (8, [12, 24, 36])]
)
def test_rates_reach_as_far_as_the_papers(stride, cells):
    head = make_head(DeepLabHead, stride=stride)
    assert [branch[0].dilation[0] for branch in head.pooling.branches[1:]] == cells
    given = make_head(DeepLabHead, stride=stride, rates=[2, 5])
    assert [branch[0].dilation[0] for branch in given.pooling.branches[1:]] == [2, 5]


@pytest.mark.parametrize("size", [(12, 18), (7, 5), (6, 6), (2, 3), (1, 1), (1, 9)])
@pytest.mark.parametrize("bins", [1, 2, 3, 6])
def test_pooling_is_adaptive_average_pooling(bins, size):
    x = torch.randn(2, 4, *size, dtype=torch.float64, requires_grad=True)
    found, wanted = pool_to(x, bins), F.adaptive_avg_pool2d(x, bins)
    torch.testing.assert_close(found, wanted)
    weight = torch.rand_like(wanted)
    torch.testing.assert_close(
        torch.autograd.grad((found * weight).sum(), x),
        torch.autograd.grad((wanted * weight).sum(), x),
    )


def test_pyramid_pooling_by_hand():
    torch.manual_seed(0)
    pooling, x = PyramidPooling(4, 16, (1, 2)).eval(), torch.randn(1, 4, 5, 7)
    parts = [x]
    for bins, branch in zip((1, 2), pooling.branches, strict=True):
        y = branch(F.adaptive_avg_pool2d(x, bins))
        parts.append(F.interpolate(y, size=(5, 7), mode="bilinear", align_corners=False))
    torch.testing.assert_close(pooling(x), pooling.mix(torch.cat(parts, 1)))
    assert PyramidPooling(4, 16, ())(x).shape == (1, 16, 5, 7)


def test_enlarging_takes_real_sizes():
    x = torch.arange(6.0).view(1, 1, 2, 3)
    assert enlarge(x, (3, 4), "nearest")[0, 0].tolist() == [
        [0, 0, 1, 2],
        [0, 0, 1, 2],
        [3, 3, 4, 5],
    ]
    assert enlarge(x, torch.Size([1, 1, 2, 6]))[0, 0, 0].tolist() == [0, 0.25, 0.75, 1.25, 1.75, 2]
