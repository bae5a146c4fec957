"""Small segmentation heads and the maps that they take."""

import torch

from visionkit.backbones.base import FeatureSpec
from visionkit.heads.segmentation.deeplab import DeepLabHead
from visionkit.heads.segmentation.fcn import FcnHead
from visionkit.heads.segmentation.fpn import FpnHead
from visionkit.heads.segmentation.lraspp import LrasppHead
from visionkit.heads.segmentation.pspnet import PspnetHead
from visionkit.heads.segmentation.unet import UnetHead
from visionkit.heads.segmentation.upernet import UpernetHead
from visionkit.losses.segmentation import SegmentationLoss

SMALL = {
    FcnHead: {"width": 16},
    UnetHead: {"channels": [16, 12, 8]},
    FpnHead: {"pyramid": 16, "width": 8},
    UpernetHead: {"width": 16},
    DeepLabHead: {"width": 16, "low_width": 8},
    PspnetHead: {"width": 16},
    LrasppHead: {"width": 16},
}
FAMILIES = list(SMALL)
FULL = FeatureSpec("s1", 3, 1)
FIVE = tuple(FeatureSpec(f"s{s}", c, s) for s, c in ((2, 4), (4, 6), (8, 8), (16, 10), (32, 12)))
LENET = (FeatureSpec("s2", 6, 2), FeatureSpec("s4", 20, 4))
SINGLE = (FeatureSpec("s16", 12, 16),)


def make_head(family, features=FIVE, classes=3, **more):
    torch.manual_seed(0)
    return family(features, classes, SegmentationLoss(), **SMALL[family] | more)


def make_maps(features, canvas, batch=1, seed=0):
    """Maps of ceil(side / stride) cells."""
    generator = torch.Generator().manual_seed(seed)
    return {
        f.name: torch.randn(
            batch, f.channels, *(-(-side // f.stride) for side in canvas), generator=generator
        )
        for f in features
    }
