"""Pictures from noise: through the library and as a command."""

import io
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from bright import FakeLoaded, config, picture, save, stand_in
from flat_gan import flat_gan, holding, red_of
from PIL import Image
from rich.console import Console

from visionkit.errors import ConfigError
from visionkit.predict import run
from visionkit.predictor import Predictor
from visionkit.runtimes.network import NetworkRuntime
from visionkit.sampling import slerp, walk


def test_a_picture_depends_on_its_seed_alone() -> None:
    gan = flat_gan()
    predictor = Predictor(NetworkRuntime(holding(gan), "cpu"))
    made = predictor.sample(5, seed=7, batch_size=2)
    assert [p.seed for p in made] == [7, 8, 9, 10, 11]
    assert [int(p.image[0, 0, 0]) for p in made] == [red_of(gan, s) for s in range(7, 12)]
    assert len({red_of(gan, s) for s in range(7, 12)}) == 5
    assert made[0].image.shape == (8, 12, 3)
    (alone,) = predictor.sample(1, seed=9)
    np.testing.assert_array_equal(alone.image, made[2].image)


def test_classes_come_in_turn_or_as_they_are_wanted() -> None:
    predictor = Predictor(NetworkRuntime(holding(flat_gan()), "cpu"))
    assert [p.name for p in predictor.sample(4, seed=1)] == ["bee", "cat", "ant", "bee"]
    assert [int(p.image[0, 0, 1]) for p in predictor.sample(3)] == [0, 128, 255]
    assert [p.label for p in predictor.sample(3, labels="cat", batch_size=2)] == [2, 2, 2]
    assert [p.label for p in predictor.sample(2, labels=1)] == [1, 1]
    assert [p.label for p in predictor.sample(3, labels=["bee", 0, "2"])] == [1, 0, 2]
    for number in (np.int64(2), np.array(2), torch.tensor(2)):
        assert [p.label for p in predictor.sample(2, labels=number)] == [2, 2]
    for each in (np.array([2, 0]), torch.tensor([2, 0]), (np.int64(2), 0)):
        assert [p.label for p in predictor.sample(2, labels=each)] == [2, 0]
    numbers = holding(flat_gan())
    numbers.classes = ("2", "1", "0")  # a name goes before a number
    assert [p.label for p in Predictor(NetworkRuntime(numbers, "cpu")).sample(1, labels="0")] == [2]


def test_truncation_is_the_model_s_unless_another_is_said() -> None:
    gan = flat_gan(conditional=False)
    predictor = Predictor(NetworkRuntime(holding(gan, truncation=0.5), "cpu"))
    for said, held in ((None, 0.5), (0.8, 0.8)):
        (made,) = predictor.sample(1, 3, truncation=said)
        assert int(made.image[0, 0, 0]) == red_of(gan, 3, held) != red_of(gan, 3)
        assert (made.label, made.name) == (None, "")


def test_wrong_calls_are_refused(tmp_path: Path) -> None:
    predictor = Predictor(NetworkRuntime(holding(flat_gan()), "cpu"))
    with pytest.raises(ConfigError, match=r"label: .* no class 'bea'; did you mean 'bee'\?"):
        predictor.sample(1, labels="bea")
    with pytest.raises(ConfigError, match="label: the model has no class '3'; there are: ant"):
        predictor.sample(1, labels=3)
    with pytest.raises(ConfigError, match="label: the model has no class '-1'"):
        predictor.sample(1, labels=-1)
    with pytest.raises(ValueError, match="2 labels for 3 pictures"):
        predictor.sample(3, labels=[0, 1])
    with pytest.raises(ValueError, match="truncation: must be between"):
        predictor.sample(1, truncation=0.0)
    for n, seed, size in ((0, 0, 1), (1, -1, 1), (1, 0, 0)):
        with pytest.raises(ValueError, match="n and batch_size are 1 or more"):
            predictor.sample(n, seed, batch_size=size)
    with pytest.raises(ConfigError, match="source: this model makes pictures from noise"):
        predictor.predict(picture(None))
    with pytest.raises(ConfigError, match="n: this model makes no pictures from noise"):
        Predictor(NetworkRuntime(FakeLoaded(), "cpu")).sample(1)
    with pytest.raises(ConfigError, match="label: this model wasn't told the classes"):
        Predictor(NetworkRuntime(holding(flat_gan(conditional=False)), "cpu")).sample(1, labels=0)


def test_slerp_keeps_the_length_of_noise() -> None:
    a, b = np.array([3, 0, 0], np.float32), np.array([0, 3, 0], np.float32)
    np.testing.assert_allclose(slerp(a, b, 0.0), a, atol=1e-6)
    np.testing.assert_allclose(slerp(a, b, 1.0), b, atol=1e-6)
    half = 3 / 2**0.5
    np.testing.assert_allclose(slerp(a, b, 0.5), [half, half, 0], atol=1e-6)
    third = slerp(a, b, 1 / 3)  # 30 degrees of 90
    np.testing.assert_allclose(third, [3 * 3**0.5 / 2, 1.5, 0], atol=1e-6)
    np.testing.assert_allclose(slerp(a, a, 0.4), a, atol=1e-6)


def test_a_walk_goes_from_seed_to_seed_and_back() -> None:
    gan = flat_gan()
    predictor = Predictor(NetworkRuntime(holding(gan), "cpu"))
    frames = walk(predictor, [4, 5, 6], 4, batch_size=5)
    assert len(frames) == 12
    own = [p.image for p in predictor.sample(3, 4)]
    for frame, image in zip(frames[::4], own, strict=True):
        np.testing.assert_array_equal(frame, image)
    greens = [int(f[0, 0, 1]) for f in frames]  # bee, cat, ant, bee: 0, 1, -1, 0
    assert greens == [128, 159, 191, 223, 255, 191, 128, 64, 0, 32, 64, 96]
    wanted = walk(predictor, [4, 5], 3, "ant")
    assert {int(f[0, 0, 1]) for f in wanted} == {0}
    half = walk(predictor, [4], 2, truncation=0.5)
    assert int(half[0][0, 0, 0]) == red_of(gan, 4, 0.5)


def sampled(fake: FakeLoaded, folder: Path, **more: Any) -> tuple[dict[str, Any], str]:
    console = Console(file=io.StringIO(), width=200)
    cfg = config("", folder) | {"source": None} | more
    done = run(cfg, console)
    return done, str(console.file.getvalue())  # type: ignore[attr-defined]


def test_the_command_writes_all_that_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake, gan = stand_in(monkeypatch), flat_gan()
    fake.model, fake.classes, fake.predict = gan, ("ant", "bee", "cat"), {}
    out = tmp_path / "out"
    done, text = sampled(fake, out, n=7, seed=2, predict={"truncation": 0.5})
    assert done == {"images": 7, "run_dir": str(out)}
    assert sorted(p.name for p in out.iterdir()) == [
        "grid.png",
        "latent_walk.gif",
        "latent_walk.png",
        "made",
        "predictions.json",
        "truncation.png",
    ]
    assert len(list((out / "made").iterdir())) == 7
    records = json.loads((out / "predictions.json").read_text())
    assert [r["seed"] for r in records] == list(range(2, 9))
    assert records[0] == {
        "made": "made/2.png",
        "width": 12,
        "height": 8,
        "label": 2,
        "name": "cat",
        "seed": 2,
        "truncation": 0.5,
    }
    for record in records:
        image = cv2.imread(str(out / record["made"]))
        assert image.shape == (8, 12, 3)
        assert int(image[0, 0, 2]) == red_of(gan, record["seed"], 0.5)
    with Image.open(out / "latent_walk.gif") as walked:
        assert getattr(walked, "n_frames", 1) > 30  # equal neighbours become one
        assert min(walked.size) > 160
    sweep = cv2.imread(str(out / "truncation.png")).astype(int)[..., 2]
    cells = np.linspace(0, sweep.shape[0], 13).astype(int)[1::2]  # the middles of the six rows
    spreads = [sweep[row, 80:].max() - sweep[row, 80:][sweep[row, 80:] > 30].min() for row in cells]
    assert spreads == sorted(spreads)
    assert spreads[0] < spreads[-1]
    assert (
        text
        == f"7 pictures of the seeds 2 to 8, grid.png, latent_walk.gif and truncation.png: {out}/\n"
    )


def test_pictures_of_an_earlier_command_are_taken_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake, made = stand_in(monkeypatch), tmp_path / "made"
    fake.model, fake.predict = flat_gan(conditional=False), {}
    sampled(fake, tmp_path, n=12, seed=3, predict={})
    for other in ("a.png", "07.png", "7.jpg", "x7.png"):
        (made / other).write_bytes(b"mine")
    sampled(fake, tmp_path, n=2, seed=9, predict={})
    left = ["07.png", "10.png", "7.jpg", "9.png", "a.png", "x7.png"]
    assert sorted(p.name for p in made.iterdir()) == left
    records = json.loads((tmp_path / "predictions.json").read_text())
    assert [r["made"] for r in records] == ["made/9.png", "made/10.png"]


def test_by_default_64_of_seed_0(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = stand_in(monkeypatch)
    fake.model, fake.predict = flat_gan(conditional=False), {}
    done, _ = sampled(fake, tmp_path, predict={}, batch_size=50)
    assert done["images"] == 64
    assert (tmp_path / "made" / "0.png").is_file()
    assert (tmp_path / "made" / "63.png").is_file()
    _, text = sampled(fake, tmp_path / "b", n=1, seed=5, predict={})
    assert text.startswith("1 picture of the seed 5, grid.png")


def test_noise_and_pictures_are_not_mixed_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = stand_in(monkeypatch)
    for key, value in (("n", 4), ("seed", 0), ("label", "ant")):
        with pytest.raises(ConfigError, match=f"{key}: this model makes no pictures from noise"):
            sampled(fake, tmp_path, **{key: value})
    with pytest.raises(ConfigError, match="source: missing; give this model pictures"):
        sampled(fake, tmp_path)
    fake.model = flat_gan()
    source = save(tmp_path / "in" / "a.png", picture(None))
    with pytest.raises(ConfigError, match="source: this model makes pictures from noise"):
        sampled(fake, tmp_path / "out", source=str(source))
    with pytest.raises(ConfigError, match="leave flip, scales and window alone"):
        sampled(fake, tmp_path / "out", predict={"flip": True})
    assert not (tmp_path / "out").exists()
