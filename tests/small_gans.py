"""Small GANs and small sets of pictures for them."""

from pathlib import Path

import cv2
import numpy as np

from visionkit.compose import compose

SIDE = 32
MODELS = {
    "dcgan": ["generator.width=8", "generator.latent=8", "backbone.width=8"],
    "wgan_gp": ["generator.width=8", "backbone.width=8", "gan.conditional=false"],
    "sngan": ["generator.width=8", "backbone.width=8", "gan.conditional=true"],
    "projected_gan": [
        "backbone=csp",
        "backbone.width=0.125",
        "backbone.depth=0.1",
        "generator.width=8",
        "gan.critic_size=64",
    ],
    "stylegan2": [
        "generator.width=8",
        "generator.latent=16",
        "backbone.width=8",
        "task.penalty_every=4",
        "task.path_every=2",
        "task.adaptive=0.6",
    ],
    "pix2pix": ["generator.width=8", "backbone.width=8", "backbone.stages=2"],
    "cyclegan": [
        "generator.width=8",
        "generator.blocks=1",
        "backbone.width=8",
        "backbone.stages=2",
    ],
}
"""What makes each model small."""
KINDS = {"pix2pix": "pairs", "cyclegan": "unpaired"}


def blob(rng: np.random.Generator, side: int = SIDE) -> np.ndarray:
    """A bright disc somewhere on a dark ground, [side, side, 3] uint8."""
    image = np.full((side, side, 3), 40, np.uint8)
    colour = rng.integers(120, 255, 3).tolist()
    where = rng.integers(side // 4, 3 * side // 4, 2).tolist()
    return cv2.circle(image, where, side // 5, colour, -1)


def make_images(root: Path, count: int = 24, side: int = SIDE) -> Path:
    """Class folders ``train`` and ``val``, of two classes."""
    rng = np.random.default_rng(0)
    for split, number in (("train", count), ("val", count // 2)):
        for i in range(number):
            file = root / split / ("even", "odd")[i % 2] / f"{i}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(file), blob(rng, side))
    return root


def make_sides(root: Path, count: int = 8, side: int = SIDE) -> Path:
    """``trainA``, ``trainB``, ``valA``, ``valB``: pictures, and these with red and blue swapped."""
    rng = np.random.default_rng(1)
    for split, number in (("train", count), ("val", count // 2)):
        for i in range(number):
            image = blob(rng, side)
            for name, picture in (("A", image), ("B", image[:, :, ::-1])):
                file = root / f"{split}{name}" / f"{i}.png"
                file.parent.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(file), picture)
    return root


def words(model: str, images: Path, sides: Path, run_dir: Path, *more: str) -> list[str]:
    """A run of a few steps, on the set of pictures that suits the model."""
    kind = KINDS.get(model, "folder")
    return [
        "task=generation",
        f"model={model}",
        f"data={kind}",
        f"data.root={images if kind == 'folder' else sides}",
        f"run_dir={run_dir}",
        f"data.image_size={SIDE}",
        "data.batch_size=4",
        "data.num_workers=0",
        "trainer=cpu",
        "trainer.max_epochs=2",
        "logger=none",
        "ema.ramp=2",
        *MODELS[model],
        *more,
    ]


def small_run(model: str, images: Path, sides: Path, run_dir: Path, *more: str):
    """The configuration of such a run."""
    return compose(words(model, images, sides, run_dir, *more))
