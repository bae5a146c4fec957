"""Small networks that translate pictures, and batches for them."""

import lightning
import numpy as np
import torch
from torch.utils.data import DataLoader

from visionkit.batch import Batch, PictureTargets
from visionkit.geometry import Letterbox
from visionkit.models.build import build_network
from visionkit.sample import ImageMeta

UNET = {"_target_": "visionkit.generators.unet.UnetTranslator", "width": 8}
RESNET = {
    "_target_": "visionkit.generators.translator_resnet.ResnetTranslator",
    "width": 8,
    "blocks": 1,
}
PAIR = {"_target_": "visionkit.models.translation.PairGan"}
CYCLE = {"_target_": "visionkit.models.translation.CycleGan"}


def network(gan, generator, side=16, seed=0, **backbone):
    """A pairing of small networks; ``backbone`` are the critic's arguments."""
    spec = {
        "backbone": {
            "_target_": "visionkit.backbones.patchgan.PatchGan",
            "width": 8,
            "stages": 2,
            **backbone,
        },
        "neck": {"_target_": "visionkit.necks.identity.Identity"},
        "head": {"_target_": "visionkit.heads.patch.PatchDiscriminator"},
        "generator": generator,
        "gan": gan,
    }
    torch.manual_seed(seed)
    return build_network(spec, 0, (side, side))


def batch_of(images, targets, sizes=None):
    """A batch of pictures [B, H, W, 3] with others; ``sizes`` are those of the files."""
    canvas = images.shape[1:3]
    sizes = sizes or [canvas] * len(images)
    return Batch(
        images=torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(),
        targets=PictureTargets.stack([type("P", (), {"image": t}) for t in targets]),
        meta=tuple(ImageMeta(i, "", Letterbox(s, canvas)) for i, s in enumerate(sizes)),
    )


def noise(count, side=16, seed=0):
    """Pictures [count, side, side, 3] of random bytes."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, side, side, 3)).astype(np.uint8)


def cells(count, side=16, seed=0):
    """Pictures of 4 by 4 cells of random colours."""
    rng = np.random.default_rng(seed)
    colours = rng.integers(30, 226, (count, 4, 4, 3)).astype(np.uint8)
    return colours.repeat(side // 4, 1).repeat(side // 4, 2)


def squares(count, side=16, channel=0, seed=0):
    """A square of a random brightness in one channel, somewhere on black."""
    rng = np.random.default_rng(seed)
    images = np.zeros((count, side, side, 3), np.uint8)
    for image in images:
        size = rng.integers(side // 3, side // 2)
        y, x = rng.integers(0, side - size, 2)
        image[y : y + size, x : x + size, channel] = rng.integers(120, 256)
    return images


def trainer(**settings):
    """One that writes nothing."""
    return lightning.Trainer(
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **settings,
    )


def loader(batches):
    return DataLoader(batches, batch_size=None)
