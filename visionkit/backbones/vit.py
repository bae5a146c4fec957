"""torchvision's vision transformer for pictures of any size."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import VisionTransformer


class VisionTransformerTrunk(nn.Module):
    """A vision transformer (Dosovitskiy et al. 2021) up to its last norm, whose tokens are a map.

    The positional embedding, learned for a square grid, is interpolated (bicubic) to the picture's.
    Sides that are no multiple of the patch are padded with zeros, the mean colour. The layers keep
    torchvision's names, so its state dicts fit.

    Args:
        net: the classifier.
    """

    wanted: frozenset[str] = frozenset(["encoder"])
    order: tuple[str, ...] = ("encoder",)

    def __init__(self, net: VisionTransformer) -> None:
        super().__init__()
        self.patch = int(net.patch_size)
        self.conv_proj = net.conv_proj
        self.class_token: nn.Parameter = net.class_token
        self.encoder = net.encoder

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Map images [B, 3, H, W] to one map [B, C, ceil(H / patch), ceil(W / patch)]."""
        height, width = images.shape[-2:]
        if height % self.patch or width % self.patch:
            images = F.pad(images, (0, -width % self.patch, 0, -height % self.patch))
        patches = self.conv_proj(images)
        rows, columns = patches.shape[-2:]
        tokens = patches.flatten(2).transpose(1, 2)
        tokens = torch.cat([self.class_token.expand(len(tokens), -1, -1), tokens], 1)
        tokens = tokens + resized_embedding(self.encoder.pos_embedding, rows, columns)
        tokens = self.encoder.ln(self.encoder.layers(self.encoder.dropout(tokens)))
        return {"encoder": tokens[:, 1:].transpose(1, 2).unflatten(2, (rows, columns))}

    def depths(self) -> list[set[int]]:
        """Return the ids of the parameters of the embedding, then of each encoder block."""
        blocks: list[set[int]] = [set(map(id, block.parameters())) for block in self.encoder.layers]
        blocks[-1] |= set(map(id, self.encoder.ln.parameters()))
        embedding = {id(self.class_token), id(self.encoder.pos_embedding)}
        return [embedding | set(map(id, self.conv_proj.parameters())), *blocks]


def resized_embedding(embedding: Tensor, rows: int, columns: int) -> Tensor:
    """Bring a positional embedding [1, 1 + N * N, C] to [1, 1 + rows * columns, C].

    The first entry, the class token's, stays as it is.
    """
    side = math.isqrt(embedding.shape[1] - 1)
    if (rows, columns) == (side, side):
        return embedding
    first, grid = embedding[:, :1], embedding[:, 1:]
    grid = grid.transpose(1, 2).reshape(1, -1, side, side)
    grid = F.interpolate(grid, size=(rows, columns), mode="bicubic", align_corners=False)
    return torch.cat([first, grid.flatten(2).transpose(1, 2)], 1)
