"""TensorFlow's SAME padding in graphs: for any side what timm computes."""

import pytest
import torch
from timm.layers.conv2d_same import Conv2dSame
from torch import nn
from torch.export import Dim

from visionkit.backbones.same_padding import RestPadded, pad_by_rest


@pytest.mark.parametrize("kernel", [3, 5, 6])
def test_a_graph_for_any_side_computes_what_timm_does(kernel: int) -> None:
    torch.manual_seed(0)
    layers = [Conv2dSame(3, 4, kernel, 2), nn.ReLU(), Conv2dSame(4, 2, 3, 2, dilation=2)]
    plain = nn.Sequential(*layers).eval()
    images = torch.randn(1, 3, 66, 66)
    sizes = [(rows, columns) for rows in range(63, 67) for columns in range(63, 67)]
    with torch.no_grad():
        wanted = {size: plain(images[..., : size[0], : size[1]]) for size in sizes}
        pad_by_rest(plain)
        assert all(type(layer) is RestPadded for layer in (plain[0], plain[2]))
        sides = {2: Dim("height", min=32, max=512), 3: Dim("width", min=32, max=512)}
        example = (torch.randn(1, 3, 40, 48),)
        graph = torch.export.export(plain, example, dynamic_shapes=(sides,)).module()
        for rows, columns in sizes:
            found = graph(images[..., :rows, :columns])
            torch.testing.assert_close(found, wanted[rows, columns])
            torch.testing.assert_close(plain(images[..., :rows, :columns]), found)
