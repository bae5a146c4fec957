"""A picture looked at several times: mirrored, scaled, through windows."""

from dataclasses import dataclass, replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from visionkit.errors import ConfigError
from visionkit.geometry import window_places
from visionkit.heads.base import Head
from visionkit.models import views
from visionkit.models.model import Model
from visionkit.ops.windows import blend
from visionkit.options import PredictOptions


@dataclass(frozen=True)
class Said:
    values: Tensor
    canvas: tuple[int, int]


class Trunk(nn.Module):
    """One convolution; remembers the sizes that it saw."""

    mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)

    def __init__(self, kernel: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 2, kernel, padding=kernel // 2)
        self.seen: list[tuple[int, ...]] = []

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        self.seen.append(tuple(x.shape))
        return {"s1": self.convolution(x)}


class BoxHead(Head):
    """Says of each pixel what the map says, and can't join what is said of two views."""

    def __init__(self) -> None:
        super().__init__([], 2)

    def forward(self, features, canvas):
        return Said(features["s1"], canvas)

    def loss(self, raw, batch):
        raise AssertionError("nothing is learnt here")

    decode = predict = loss


class PixelHead(BoxHead):
    """Can."""

    averages = assembles = True

    def average(self, raws, mirrored):
        size = raws[0].canvas
        turned = [r.values.flip(-1) if m else r.values for r, m in zip(raws, mirrored, strict=True)]
        sized = [F.interpolate(t, size, mode="bilinear", align_corners=False) for t in turned]
        return Said(torch.stack(sized).mean(0), size)

    def assemble(self, raws, places, canvas):
        return Said(blend((r.values for r in raws), places, canvas), canvas)


def make(kernel: int = 1, **options) -> Model:
    torch.manual_seed(0)
    model = Model(Trunk(kernel), nn.Identity(), PixelHead())
    model.head.options = PredictOptions(**options)
    return model.eval()


def picture(*size: int) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (2, 3, *size), dtype=torch.uint8, generator=generator)


@pytest.fixture(autouse=True)
def _no_gradients():
    with torch.no_grad():
        yield


def test_plainly_a_picture_is_looked_at_once():
    model, images = make(3), picture(8, 10)
    found = model.observe(images)
    assert torch.equal(found.values, model(images).values)
    assert found.canvas == (8, 10)
    assert model.backbone.seen[:1] == [(2, 3, 8, 10)]
    assert len(model.backbone.seen) == 2  # the second by this test


def test_what_is_said_of_the_mirror_image_is_turned_back():
    model, images = make(3, flip=True), picture(8, 10)
    found = model.observe(images).values
    mirrored = model(images.flip(-1)).values.flip(-1)
    torch.testing.assert_close(found, (model(images).values + mirrored) / 2)
    assert not torch.allclose(found, mirrored)
    symmetric = make(1, flip=True)
    torch.testing.assert_close(symmetric.observe(images).values, symmetric(images).values)


def test_a_mirrored_picture_gets_the_mirrored_answer():
    model, images = make(3, flip=True, scales=(1.0, 0.5)), picture(8, 12)
    turned = model.observe(images.flip(-1)).values.flip(-1)
    torch.testing.assert_close(model.observe(images).values, turned, rtol=1e-4, atol=1e-3)


def test_scales_are_views_of_other_sizes():
    model, images = make(1, scales=(0.5, 1.0, 1.5), flip=True), picture(8, 11)
    found = model.observe(images)
    assert found.canvas == (8, 11)
    sizes = [shape[2:] for shape in model.backbone.seen]
    assert sizes == [(8, 11), (8, 11), (4, 6), (4, 6), (12, 16), (12, 16)]


def test_scales_by_hand():
    model, images = make(1, scales=(2.0, 1.0)), picture(4, 6)
    large = F.interpolate(images.float(), (8, 12), mode="bilinear", align_corners=False)
    back = F.interpolate(model(large).values, (4, 6), mode="bilinear", align_corners=False)
    expected = (model(images).values + back) / 2
    torch.testing.assert_close(model.observe(images).values, expected)


@pytest.mark.parametrize("scales", [(2.0,), (0.5, 1.5)])
def test_the_answer_has_the_canvas_of_the_picture_even_if_no_view_has(scales):
    model = make(1, scales=scales)
    assert model.observe(picture(4, 6)).canvas == (4, 6)
    assert (4, 6) not in [shape[2:] for shape in model.backbone.seen]


@pytest.mark.parametrize("overlap", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("window", [(5, 5), (6, 100), (100, 4), (7, 3)])
def test_windows_of_a_net_that_knows_no_place_give_what_the_whole_gives(window, overlap):
    model, images = make(1, window=window, overlap=overlap), picture(13, 11)
    found = model.observe(images)
    assert found.canvas == (13, 11)
    cut = (min(13, window[0]), min(11, window[1]))
    assert {shape[2:] for shape in model.backbone.seen} == {cut}
    torch.testing.assert_close(found.values, model(images).values, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("window", [(8, 10), (9, 100)])
def test_a_window_that_covers_all_is_the_whole(window):
    model, images = make(3, window=window), picture(8, 10)
    found = model.observe(images).values
    assert len(model.backbone.seen) == 1
    assert torch.equal(found, model(images).values)


def test_several_windows_go_through_together_and_it_makes_no_difference(monkeypatch):
    images = picture(12, 8)
    together, alone = make(3, window=(4, 4), flip=True), make(3, window=(4, 4), flip=True)
    places = len(window_places((12, 8), (4, 4), 0.5))
    found = together.observe(images).values
    assert [shape[0] for shape in together.backbone.seen] == [2 * places, 2 * places]
    monkeypatch.setattr(views, "PIXELS", 1)
    torch.testing.assert_close(alone.observe(images).values, found, rtol=1e-5, atol=1e-4)
    assert [shape[0] for shape in alone.backbone.seen] == [2] * 2 * places
    monkeypatch.setattr(views, "PIXELS", 2 * 4 * 4 * 4)  # four at a time, and a rest
    some = make(3, window=(4, 4))
    some.observe(images)
    assert [shape[0] for shape in some.backbone.seen] == [8, 8, 8, 6]


def test_each_window_is_looked_at_as_often_as_a_whole_picture():
    """A net that knows no place, so that only the scales' smoothing is left to compare."""
    model, images = make(1, window=(4, 4), overlap=0.0, scales=(1.0, 2.0)), picture(4, 8)
    found = model.observe(images).values
    model.head.options = replace(model.head.options, window=None)
    halves = [model.observe(half).values for half in images.split(4, -1)]
    torch.testing.assert_close(found, torch.cat(halves, -1), rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize(
    ("option", "value"), [("flip", True), ("scales", (0.5, 1.0)), ("window", (32, 32))]
)
def test_heads_refuse_views_that_they_cannot_join(option, value):
    options = PredictOptions(**{option: value})
    PixelHead().check_options(options)
    with pytest.raises(ConfigError, match=rf"^predict\.{option}: BoxHead can't .*; leave it"):
        BoxHead().check_options(options)
    BoxHead().check_options(PredictOptions(scales=[1.0]))
    model = make()
    model.head = BoxHead()
    model.head.options = options
    with pytest.raises(TypeError, match="BoxHead doesn't"):
        model.observe(picture(48, 48))


@pytest.mark.parametrize(("option", "value"), [("truncation", 0.5), ("reverse", True)])
def test_heads_refuse_what_is_for_generators(option, value):
    for head in (PixelHead(), BoxHead()):
        with pytest.raises(ConfigError, match=rf"^predict\.{option}: .*; leave it"):
            head.check_options(PredictOptions(**{option: value}))
