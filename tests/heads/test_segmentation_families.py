"""Each family of segmentation heads: its maps, its layers, any size, one picture, its export."""

import copy
import math

import pytest
import torch
from small_heads import FAMILIES, FIVE, FULL, LENET, SINGLE, SMALL, make_head, make_maps
from tiny import CSP, make_mask_batch
from torch import nn

from visionkit.backbones.base import FeatureSpec
from visionkit.backbones.norms import tolerate_single
from visionkit.errors import ConfigError
from visionkit.heads.segmentation.deeplab import DeepLabHead
from visionkit.heads.segmentation.fcn import FcnHead
from visionkit.heads.segmentation.fpn import FpnHead
from visionkit.heads.segmentation.lraspp import LrasppHead
from visionkit.heads.segmentation.pspnet import PspnetHead
from visionkit.heads.segmentation.unet import UnetHead
from visionkit.heads.segmentation.upernet import UpernetHead
from visionkit.losses.segmentation import SegmentationLoss
from visionkit.models.model import build_model


def make_model(family, classes=3, **more):
    target = f"{family.__module__}.{family.__name__}"
    loss = {"_target_": "visionkit.losses.segmentation.SegmentationLoss"}
    torch.manual_seed(0)
    return build_model(
        {
            "backbone": CSP,
            "neck": {"_target_": "visionkit.necks.identity.Identity"},
            "head": {"_target_": target, "loss": loss, **SMALL[family], **more},
        },
        classes,
    )


@pytest.mark.parametrize("canvas", [(97, 131), (32, 32), (1, 1), (5, 64)])
@pytest.mark.parametrize("features", [FIVE, LENET, SINGLE, (FULL, *FIVE)], ids=["5", "2", "1", "6"])
@pytest.mark.parametrize("family", FAMILIES)
def test_one_picture_of_any_size_trains(family, features, canvas):
    head = make_head(family, features).train()
    tolerate_single(head)
    batch = make_mask_batch(3, labels=torch.ones(1, *canvas, dtype=torch.uint8))
    maps = {name: x.requires_grad_() for name, x in make_maps(features, canvas).items()}
    raw = head(maps, canvas)
    loss = sum(head.loss(raw, batch).values())
    assert torch.isfinite(loss)
    loss.backward()
    assert [n for n, p in head.named_parameters() if p.grad is None] == [], "DDP would wait"
    used = {f.name for f in head.used}
    assert {name for name, x in maps.items() if x.grad is not None} == used
    assert all(p.grad.isfinite().all() for p in head.parameters())
    assert head.decode(raw).probabilities.shape == (1, 3, *canvas)
    (found,) = head.predict(raw, batch)
    assert found.labels.shape == canvas


@pytest.mark.parametrize("family", FAMILIES)
def test_the_first_loss_is_that_of_chance(family):
    features = tuple(FeatureSpec(f.name, 128, f.stride) for f in FIVE)
    torch.manual_seed(0)
    head = family(features, 20, SegmentationLoss())
    labels = torch.randint(0, 20, (2, 64, 64), generator=torch.Generator().manual_seed(0)).byte()
    batch = make_mask_batch(20, labels=labels)
    raw = head(make_maps(features, (64, 64), batch=2), (64, 64))
    (loss,) = head.loss(raw, batch).values()
    assert loss.item() == pytest.approx(math.log(20), rel=0.05)
    assert raw.logits.std() > 0.001, "but it isn't all zero: the backbone learns at once"


@pytest.mark.parametrize(
    ("family", "features", "wanted"),
    [
        *[(FcnHead, FIVE, [8, 16, 32]), (FcnHead, LENET, [2, 4]), (FcnHead, SINGLE, [16])],
        *[(UnetHead, FIVE, [2, 4, 8, 16, 32]), (UnetHead, LENET, [2, 4])],
        *[(FpnHead, FIVE, [4, 8, 16, 32]), (FpnHead, LENET, [2, 4]), (FpnHead, SINGLE, [16])],
        *[(UpernetHead, FIVE, [4, 8, 16, 32]), (UpernetHead, FIVE[3:], [16, 32])],
        *[(DeepLabHead, FIVE, [4, 32]), (DeepLabHead, LENET, [2, 4]), (DeepLabHead, SINGLE, [16])],
        *[(DeepLabHead, FIVE[3:], [16, 32]), (PspnetHead, FIVE, [16]), (PspnetHead, LENET, [4])],
        *[(LrasppHead, FIVE, [8, 32]), (LrasppHead, LENET, [2, 4]), (LrasppHead, SINGLE, [16])],
    ],
)
def test_the_maps_that_are_chosen(family, features, wanted):
    assert [f.stride for f in make_head(family, features).used] == wanted


@pytest.mark.parametrize(
    ("family", "wanted", "maps"),
    [
        (FcnHead, {"strides": [32]}, [32]),
        (UnetHead, {"strides": [4, 16]}, [4, 16]),
        (FpnHead, {"strides": [8, 32]}, [8, 32]),
        (UpernetHead, {"strides": [16]}, [16]),
        (DeepLabHead, {"stride": 16, "low_stride": 2}, [2, 16]),
        (DeepLabHead, {"stride": 2}, [2]),
        (PspnetHead, {"stride": 8}, [8]),
        (LrasppHead, {"stride": 16}, [8, 16]),
    ],
)
def test_the_maps_that_are_asked_for(family, wanted, maps):
    head = make_head(family, **wanted)
    assert [f.stride for f in head.used] == maps
    assert head.eval()(make_maps(FIVE, (40, 50)), (40, 50)).logits.shape[-2] == -(-40 // maps[0])


@pytest.mark.parametrize("family", FAMILIES)
def test_a_map_that_is_not_there_is_named(family):
    many = family in (FcnHead, UnetHead, FpnHead, UpernetHead)
    with pytest.raises(
        ConfigError, match=r"^head: no feature map at stride 64; there are strides 2"
    ):
        make_head(family, **({"strides": [32, 64]} if many else {"stride": 64}))


def test_the_finer_map_must_be_finer():
    for family in (DeepLabHead, LrasppHead):
        with pytest.raises(ConfigError, match=r"^head.low_stride: 16 isn't finer than .* 8"):
            make_head(family, stride=8, low_stride=16)


def test_no_channels():
    with pytest.raises(ConfigError, match=r"^head\.channels: an empty list"):
        make_head(UnetHead, channels=[])


@pytest.mark.parametrize("family", FAMILIES)
def test_it_learns_where_things_are(family):
    """Left and right of two pictures that are exchanged in the second."""
    model = make_model(family, classes=2).train()
    left = torch.zeros(2, 3, 64, 64, dtype=torch.uint8)
    left[0, :, :, :32] = left[1, :, :, 32:] = 200
    labels = (left[:, 0] == 0).byte()
    batch = make_mask_batch(2, labels=labels)
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    losses = []
    for _ in range(25):
        loss = sum(model.head.loss(model(left), batch).values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize("family", FAMILIES)
def test_half_precision(family):
    head, maps = make_head(family), make_maps(FIVE, (64, 96), batch=2)
    batch = make_mask_batch(3, (64, 96))
    with torch.autocast("cpu", torch.bfloat16):
        raw = head(maps, (64, 96))
        losses = head.loss(raw, batch)
    assert raw.logits.dtype == torch.bfloat16
    assert all(loss.isfinite() and loss.dtype == torch.float32 for loss in losses.values())


@pytest.mark.parametrize("family", FAMILIES)
def test_copies_are_whole(family):
    head, maps = make_head(family).eval(), make_maps(FIVE, (40, 50))
    assert torch.equal(copy.deepcopy(head)(maps, (40, 50)).logits, head(maps, (40, 50)).logits)


class Decoder(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, images):
        return self.model.head.decode(self.model(images)).probabilities


SLOW = {"marks": [pytest.mark.slow]}


@pytest.mark.parametrize(
    ("family", "more"),
    [
        *(pytest.param(f, {}, **({} if f is FpnHead else SLOW)) for f in FAMILIES),
        pytest.param(UnetHead, {"full": True}, **SLOW),
    ],
)
def test_one_graph_for_pictures_of_all_sizes(family, more):
    """Of more than a cell: torch makes a graph of its own for sides of one."""
    model = make_model(family, **more).eval()
    nn.init.normal_(model.head.classes.weight)
    decoder = Decoder(model)
    rows, columns = (torch.export.Dim(name, min=33, max=1024) for name in ("rows", "columns"))
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (2, 3, 97, 131), generator=generator, dtype=torch.uint8)
    dynamic = ({2: rows, 3: columns},)
    graph = torch.export.export(decoder, (images,), dynamic_shapes=dynamic).module()
    with torch.no_grad():
        for height, width in ((97, 131), (64, 96), (33, 131)):
            view = images[..., :height, :width].contiguous()
            found = graph(view)
            assert found.shape == (2, 3, height, width)
            torch.testing.assert_close(found, decoder(view), rtol=1e-4, atol=1e-5)
        cell = images[:1, :, :32, :32].contiguous()
        graph = torch.export.export(decoder, (cell,)).module()
        torch.testing.assert_close(graph(cell), decoder(cell), rtol=1e-4, atol=1e-5)
