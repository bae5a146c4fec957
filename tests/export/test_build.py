"""Every head as a file: what the graph says is what the network says, at unseen sizes."""

import functools
import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from small_gans import MODELS
from small_rcnn import HEAD as RCNN
from small_rcnn import NECK as PYRAMID
from tiny import CSP, HEAD, NECK

from visionkit.about import from_plain, from_strings
from visionkit.build import plain
from visionkit.checkpoint import Loaded
from visionkit.compose import compose
from visionkit.errors import ConfigError
from visionkit.export.build import build_file
from visionkit.export.parity import prove, proving_options
from visionkit.export.tracing import trace
from visionkit.heads.base import Graph
from visionkit.models.build import build_network
from visionkit.models.graphs import Traceable, example
from visionkit.models.model import build_model
from visionkit.predictor import load_runtime
from visionkit.runtimes.network import NetworkRuntime

CANVAS = (64, 96)
SHAPES = ((2, *CANVAS), (1, 96, 64), (3, 160, 96))
IDENTITY = {"_target_": "visionkit.necks.identity.Identity"}
CLASSIFIER = {"_target_": "visionkit.heads.classification.ClassificationHead"}
LOSS = {"_target_": "visionkit.losses.segmentation.SegmentationLoss"}
SEGMENTER = "visionkit.heads.segmentation."
STRIDES = {"strides": [4, 8, 16, 32]}  # at 64 px a map of stride 64 has a single cell
PARTS = {
    "yolo": (NECK, HEAD),
    "one_to_one": (NECK, HEAD | {"one_to_one": True}),
    "rcnn": (PYRAMID | STRIDES, RCNN | STRIDES),
    "cascade": (
        PYRAMID | STRIDES,
        RCNN | STRIDES | {"cascade_ious": [0.5, 0.6], "class_agnostic": True},
    ),
    "softmax": (IDENTITY, CLASSIFIER),
    "sigmoid": (IDENTITY, CLASSIFIER | {"activation": "sigmoid", "pool": "gem"}),
    "deeplab": (
        IDENTITY,
        {"_target_": SEGMENTER + "deeplab.DeepLabHead", "width": 8, "low_width": 8, "loss": LOSS},
    ),
    "unet": (
        IDENTITY,
        {"_target_": SEGMENTER + "unet.UnetHead", "channels": [16, 12, 8], "loss": LOSS},
    ),
    "pspnet": (IDENTITY, {"_target_": SEGMENTER + "pspnet.PspnetHead", "width": 8, "loss": LOSS}),
}
SOMETIMES = ("cascade", "sigmoid", "pspnet", "one_to_one", "deeplab")


@functools.cache
def loaded(name):
    neck, head = PARTS[name]
    torch.manual_seed(0)
    model = build_model({"backbone": CSP, "neck": neck, "head": head}, 3).train()
    with torch.no_grad():
        for seed in range(10):  # norms that fit
            model(pictures((4, *CANVAS), seed))
        sharpen(model.eval())
    predict = {"iou": 0.57, "max_detections": 20}
    return Loaded(model, ("a", "b", "c"), CANVAS, "some task", {"k": 1}, None, predict)


def sharpen(model):
    """Give last layers, which begin near zero, something to say: else every place is alike."""
    last = [m for m in model.head.modules() if isinstance(getattr(m, "bias", None), torch.Tensor)]
    last = [m for m in last if m.weight.ndim > 1 and m.weight.std() < 0.03]
    hooks = [layer.register_forward_hook(spread) for layer in last]
    model(pictures((4, *CANVAS), 99))
    for hook in hooks:
        hook.remove()


def spread(layer, _, out):
    bias = layer.bias.view(-1, *[1] * (out.ndim - 2))
    layer.weight.data.mul_(2 / (out - bias).std())


def pictures(shape, seed=0):
    lots = torch.Generator().manual_seed(seed)
    count, height, width = shape
    images = 0
    for cell in (4, 8, 16):  # of noise alone, every place would be alike
        small = torch.rand(count, 3, -(-height // cell), -(-width // cell), generator=lots)
        images = images + torch.nn.functional.interpolate(small, (height, width)) * 85
    return images.to(torch.uint8)


def session(path):
    made = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [o.name for o in made.get_outputs()]
    return lambda **inputs: dict(
        zip(names, made.run(None, {k: v.numpy() for k, v in inputs.items()}), strict=True)
    )


def program(path):
    module = torch.export.load(path).module()
    return lambda **inputs: module(*inputs.values())


def same(found, wanted):
    for name, expected in wanted.items():
        got = np.asarray(found[name])
        assert got.dtype == expected.numpy().dtype
        tolerance = 5e-3 if name == "boxes" else 1e-5
        np.testing.assert_allclose(got, expected.numpy(), atol=tolerance, rtol=0, err_msg=name)


def agree(made, path, about):
    """Boxes of the file are those of the network, one by one and three at a time."""
    seen = [(str(n), pictures((1, 64, 64), 50 + n)[0].permute(1, 2, 0).numpy()) for n in range(4)]
    reference, file = NetworkRuntime(made, "cpu"), load_runtime(path, "cpu")
    sizes, numbers = [shape[1:] for shape in SHAPES], (1, 3)
    rows = prove(reference, file, seen, sizes, numbers, proving_options(about), 1e-4)
    assert len(rows) == 6
    for row in rows:
        assert row.difference["boxes"] < 5e-3
        assert row.difference["scores"] < 1e-5
        assert row.difference["unmatched"] == row.difference["labels"] == 0
        assert row.difference["excused"] < 20  # of 80


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] * (n in SOMETIMES)) for n in PARTS]
)
def test_an_onnx_file_says_what_the_network_says(name: str, tmp_path: Path) -> None:
    made = loaded(name)
    about = build_file(made, tmp_path / "model.onnx", run={"checkpoint": "x.ckpt"})
    ask = session(tmp_path / "model.onnx")
    if about.says == "boxes":
        agree(made, tmp_path / "model.onnx", about)
    else:
        for n, shape in enumerate(SHAPES):
            images = pictures(shape, 50 + n)
            with torch.no_grad():
                same(ask(images=images), made.model.head.outputs(made.model(images), Graph()))
    texts = (
        onnxruntime.InferenceSession(tmp_path / "model.onnx").get_modelmeta().custom_metadata_map
    )
    read = from_strings(texts, "model.onnx")
    assert read.strings() == about.strings()
    assert (read.task, read.says, read.classes) == ("some task", made.model.says, ("a", "b", "c"))
    assert read.canvas == CANVAS
    assert read.predict["iou"] == 0.57
    assert read.run == {"checkpoint": "x.ckpt"}
    assert read.sizes.batch and read.sizes.canvas


@pytest.mark.parametrize("name", ["yolo", "softmax"])
def test_a_program_says_the_same(name: str, tmp_path: Path) -> None:
    made = loaded(name)
    about = build_file(made, tmp_path / "model.pt2", "program")
    if about.says == "boxes":
        agree(made, tmp_path / "model.pt2", about)
    else:
        ask = program(tmp_path / "model.pt2")
        for n, shape in enumerate(SHAPES):
            images = pictures(shape, 50 + n)
            with torch.no_grad():
                wanted = made.model.head.outputs(made.model(images), Graph())
                found = dict(zip(wanted, ask(images=images), strict=True))
            assert all(torch.equal(found[key], wanted[key]) for key in wanted)
    beside = json.loads((tmp_path / "model.json").read_text())
    assert from_plain(beside, "model.json").strings() == about.strings()


@pytest.mark.parametrize("decode", [pytest.param("topk", marks=pytest.mark.slow), "raw"])
def test_boxes_as_far_as_they_are_wanted(decode: str, tmp_path: Path) -> None:
    made = loaded("yolo")
    about = build_file(made, tmp_path / "model.onnx", decode=decode)
    assert about.decode == decode
    assert (about.candidates, about.suppresses) == (100, True)
    assert about.predict["iou"] == 0.57
    agree(made, tmp_path / "model.onnx", about)
    if decode == "raw":
        images = pictures((2, 96, 64), 9)
        with torch.no_grad():
            wanted = made.model.head.outputs(made.model(images), Graph(decode))
        points = 96 * 64 // 64 + 96 * 64 // 256 + 96 * 64 // 1024
        assert wanted["scores"].shape == (2, points, 3)
        same(session(tmp_path / "model.onnx")(images=images), wanted)


def gan(name):
    words = ["task=generation", f"model={name}", "data.root=.", *MODELS[name]]
    spec = plain(compose(words))
    torch.manual_seed(0)
    model = build_network(spec, 3, (32, 32), 3).eval()
    return Loaded(model, ("a", "b", "c"), (32, 32), "generation", {}, None, {})


@pytest.mark.parametrize("name", ["dcgan", pytest.param("stylegan2", marks=pytest.mark.slow)])
def test_a_generator_makes_the_same_pictures(name: str, tmp_path: Path) -> None:
    made = gan(name)
    about = build_file(made, tmp_path / "model.onnx")
    assert about.says == "noise"
    assert about.latent == made.model.generator.latent
    z = made.model.latents([4, 5, 6])
    labels = torch.eye(3) if about.conditional else None
    inputs = {"z": z} | ({"labels": labels} if about.conditional else {})
    found = session(tmp_path / "model.onnx")(**inputs)["pictures"]
    wanted = made.model.sample([4, 5, 6], labels)
    for picture, one in zip(found, wanted, strict=True):
        levels = np.abs(picture.transpose(1, 2, 0).astype(int) - one.image.astype(int))
        assert levels.max() <= 1


def test_a_translator_makes_the_same_pictures(tmp_path: Path) -> None:
    made = gan("pix2pix")
    build_file(made, tmp_path / "model.onnx")
    images = pictures((2, 32, 32), 3)
    found = session(tmp_path / "model.onnx")(images=images)["pictures"]
    with torch.no_grad():
        wanted = made.model.translate(images.float() / 127.5 - 1)
    levels = np.abs(found.astype(float) - ((wanted.numpy() + 1) * 127.5).clip(0, 255))
    assert levels.max() <= 1


def test_what_no_file_can_do_is_refused(tmp_path: Path) -> None:
    made = loaded("rcnn")
    with pytest.raises(ConfigError, match="decode: a two-stage head"):
        build_file(made, tmp_path / "model.onnx", decode="raw")
    with pytest.raises(ConfigError, match=r"predict\.window: .* can't be in a file"):
        build_file(made, tmp_path / "model.onnx", predict={"window": 64})
    assert not list(tmp_path.iterdir())


def test_what_a_head_that_suppresses_none_says_of_itself() -> None:
    model = loaded("one_to_one").model
    facts = model.traceable(Graph("topk"), CANVAS).facts
    assert (facts["suppresses"], facts["candidates"]) == (False, 100)


def test_a_generator_of_one_class_has_examples_of_it() -> None:
    model = gan("dcgan").model
    model.conditional, model.num_classes = True, 1
    inputs = model.traceable(Graph(), (32, 32)).inputs
    assert inputs["labels"].tolist() == [[1], [1]]


def test_a_network_that_can_not_be_run_is_told_in_a_line() -> None:
    class Broken(torch.nn.Module):
        def forward(self, images):
            raise RuntimeError("no such size\nand more")

    with pytest.raises(ConfigError, match=r"there is no graph of this network \(no such size\)$"):
        trace(lambda canvas: Traceable(Broken(), example(canvas)), (32, 32))


def test_a_network_that_is_too_large_for_onnx(tmp_path: Path, monkeypatch) -> None:
    def refuse(*_):
        raise ValueError("The proto size is larger than the 2 GB limit")

    monkeypatch.setattr(onnx, "save_model", refuse)
    with pytest.raises(ConfigError, match=r"^format: .*2 GB limit\); take format=program"):
        build_file(loaded("softmax"), tmp_path / "model.onnx", dynamic=False)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_two_stage_program_says_of_each_picture_what_it_says_of_it_alone(tmp_path: Path) -> None:
    build_file(loaded("rcnn"), tmp_path / "model.pt2", "program")
    ask, images = program(tmp_path / "model.pt2"), pictures((3, 160, 96), 3)
    together = dict(zip(("boxes", "scores", "labels"), ask(images=images), strict=True))
    for n in range(3):
        alone = dict(zip(together, ask(images=images[n : n + 1]), strict=True))
        same(alone, {name: rows[n : n + 1] for name, rows in together.items()})
