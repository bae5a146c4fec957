"""L1, PSNR and SSIM against loops, torchmetrics, and values worked out by hand."""

import csv
import pickle
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from generation_cases import made, noisy, scenes
from numpy.typing import NDArray
from torchmetrics.functional.image import structural_similarity_index_measure

from visionkit.errors import ConfigError
from visionkit.metrics.translation import CAP, TranslationEvaluator, l1, psnr, ssim


@dataclass
class Pairs:
    targets: list[NDArray[np.uint8]]
    image_ids: NDArray[np.int64]
    kind: str = "pairs"

    def path(self, i: int) -> str:
        return f"folder/{i}.png"

    def target(self, i: int) -> NDArray[np.uint8]:
        return self.targets[i]


def pairs(count: int = 9) -> Pairs:
    ids = np.random.default_rng(0).permutation(10 * count)[:count]
    return Pairs(list(scenes(count, 0)), ids.astype(np.int64))


def given(index: Pairs, images, order, batch: int) -> TranslationEvaluator:
    evaluator = TranslationEvaluator(index)
    for start in range(0, len(order), batch):
        which = order[start : start + batch]
        evaluator.update(index.image_ids[which].tolist(), made([images[i] for i in which]))
    return evaluator


def grey(*rows) -> NDArray[np.uint8]:
    return np.repeat(np.array(rows, np.uint8)[:, :, None], 3, 2)


@pytest.mark.parametrize("kind", ["unpaired", "classes"])
def test_pictures_without_partners_are_refused(kind) -> None:
    with pytest.raises(ConfigError, match=f"^evaluator: .* kind is {kind}.*choose data=pairs"):
        TranslationEvaluator(Pairs([], np.zeros(0, np.int64), kind))


def test_by_hand() -> None:
    truth, other = grey([0, 255], [100, 51]), grey([51, 255], [100, 0])
    assert l1(other, truth) == l1(truth, other) == pytest.approx((0.2 + 0.2) / 4)
    error = (51**2 + 51**2) / 4
    assert psnr(other, truth) == pytest.approx(20 * np.log10(255) - 10 * np.log10(error))
    assert psnr(grey([0]), grey([255])) == 0
    assert psnr(truth, truth) == CAP == 100
    assert l1(truth, truth) == 0
    assert ssim(truth, truth) == pytest.approx(1)


def test_similarity_of_one_pixel_by_hand() -> None:
    # no variance: what is left is how alike the means are
    first, second = 0.01**2 * 255**2, 0.03**2 * 255**2
    expected = (2 * 60 * 90 + first) / (60**2 + 90**2 + first) * second / second
    assert ssim(grey([60]), grey([90])) == pytest.approx(expected)


def test_flat_pictures_by_hand() -> None:
    side = [[40] * 15] * 13
    expected = (2 * 40 * 80 + 6.5025) / (40**2 + 80**2 + 6.5025)
    assert ssim(grey(*side), 2 * grey(*side)) == pytest.approx(expected)


def slow_ssim(made, truth) -> float:
    axis = np.arange(-5, 6)
    window = np.exp(-(axis[:, None] ** 2 + axis**2) / (2 * 1.5**2))
    window /= window.sum()
    found = []
    for channel in range(3):
        for row in range(made.shape[0] - 10):
            for column in range(made.shape[1] - 10):
                x, y = (
                    s[row : row + 11, column : column + 11, channel].astype(float)
                    for s in (made, truth)
                )
                mx, my = (window * x).sum(), (window * y).sum()
                vx, vy = (window * (x - mx) ** 2).sum(), (window * (y - my) ** 2).sum()
                both = (window * (x - mx) * (y - my)).sum()
                found.append(
                    (2 * mx * my + 6.5025)
                    * (2 * both + 58.5225)
                    / ((mx**2 + my**2 + 6.5025) * (vx + vy + 58.5225))
                )
    return float(np.mean(found))


@pytest.mark.parametrize("sides", [(11, 11), (16, 13), (24, 24)])
def test_similarity_equal_to_loops(sides) -> None:
    truth = scenes(2, 3)[:, : sides[0], : sides[1]]
    other = noisy(truth, 25)
    assert ssim(other[0], truth[0]) == pytest.approx(slow_ssim(other[0], truth[0]), abs=1e-9)
    assert 0.1 < ssim(other[0], truth[0]) < 0.98
    assert ssim(truth[1], truth[0]) == pytest.approx(slow_ssim(truth[1], truth[0]), abs=1e-9)


def test_similarity_equal_to_torchmetrics() -> None:
    truth = scenes(3, 5, 40)
    other = noisy(truth, 20)
    x, y = (torch.from_numpy(s).permute(0, 3, 1, 2).double() for s in (other, truth))
    _, full = structural_similarity_index_measure(x, y, data_range=255.0, return_full_image=True)
    expected = float(full[..., 5:-5, 5:-5].mean())  # it also has windows over the border
    found = np.mean([ssim(a, b) for a, b in zip(other, truth, strict=True)])
    assert found == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("sides", [(1, 1), (2, 30), (10, 3), (11, 4)])
def test_small_pictures(sides) -> None:
    rng = np.random.default_rng(0)
    truth, other = rng.integers(0, 256, (2, *sides, 3)).astype(np.uint8)
    assert ssim(truth, truth) == pytest.approx(1)
    assert -1 <= ssim(other, truth) < 0.99


def test_batches_order_and_ranks_change_not_one_bit() -> None:
    index = pairs()
    images = noisy(np.stack(index.targets), 30)
    expected = given(index, images, list(range(9)), 9).compute()
    each = [(l1(a, b), psnr(a, b), ssim(a, b)) for a, b in zip(images, index.targets, strict=True)]
    assert list(expected.values()) == pytest.approx(np.mean(each, 0).tolist())
    assert list(expected) == ["l1", "psnr", "ssim"]
    order = np.random.default_rng(1).permutation(9).tolist()
    assert given(index, images, order, 2).compute() == expected
    ranks = [given(index, images, order[r::2], 3) for r in range(2)]
    states = [pickle.loads(pickle.dumps(rank.state())) for rank in ranks]
    ranks[0].merge(states)
    assert ranks[0].compute() == expected
    with pytest.raises(ValueError, match="given twice"):
        ranks[0].merge([states[0], states[0]])


def test_made_pictures_are_brought_to_the_size_of_the_truth() -> None:
    index = pairs(2)
    index.targets[0] = np.full((10, 20, 3), 60, np.uint8)
    evaluator = TranslationEvaluator(index)
    evaluator.update(
        index.image_ids.tolist(), made([np.full((24, 48, 3), 60, np.uint8), index.targets[1]])
    )
    assert evaluator.compute() == {"l1": 0, "psnr": 100, "ssim": pytest.approx(1)}


def test_nothing_seen() -> None:
    evaluator = TranslationEvaluator(pairs())
    assert evaluator.compute() == {"l1": -1, "psnr": -1, "ssim": -1}
    with pytest.raises(ValueError, match="isn't in the split"):
        evaluator.update([10**6], made(scenes(1, 0)))
    with pytest.raises(ValueError, match="1 image ids for 2 results"):
        evaluator.update([1], made(scenes(2, 0)))


def test_report(tmp_path) -> None:
    index = pairs(3)
    images = [noisy(t[None], s)[0] for t, s in zip(index.targets, (5, 60, 20), strict=True)]
    evaluator = given(index, images, [2, 0, 1], 3)
    evaluator.report(tmp_path / "new")
    with (tmp_path / "new" / "pictures.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [r["file"] for r in rows] == [f"folder/{i}.png" for i in (1, 2, 0)]
    assert [int(r["image_id"]) for r in rows] == index.image_ids[[1, 2, 0]].tolist()
    assert float(rows[0]["ssim"]) == pytest.approx(ssim(images[1], index.targets[1]), abs=1e-6)
    assert np.mean([float(r["l1"]) for r in rows]) == pytest.approx(
        evaluator.compute()["l1"], abs=1e-6
    )
