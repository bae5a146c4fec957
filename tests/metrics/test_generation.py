"""GenerationEvaluator: what is compared with what, however it comes in."""

import json
import pickle
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from generation_cases import Pictures, index_of, made, noisy, scenes

from visionkit.data.class_index import ClassIndex
from visionkit.data.image_index import ImageIndex
from visionkit.data.strings import StringTable
from visionkit.errors import DataError
from visionkit.metrics import real_pictures
from visionkit.metrics.extractor import Extractor
from visionkit.metrics.frechet import frechet
from visionkit.metrics.generation import GenerationEvaluator
from visionkit.metrics.kid import kid
from visionkit.metrics.manifold import manifold

COUNT = 90
FIGURES = ["kid", "kid_sigma", "fid_random", "precision", "recall", "density", "coverage"]


@pytest.fixture(scope="module")
def look() -> Extractor:
    return Extractor(batch_size=16)


@pytest.fixture(scope="module")
def index() -> ClassIndex:
    return index_of(scenes(COUNT, 0))


@pytest.fixture(scope="module")
def fakes() -> Pictures:
    return noisy(scenes(COUNT, 1), 10)


class Counting:
    """How many pictures an extractor looks at."""

    def __init__(self, look: Extractor) -> None:
        self.look, self.seen = look, 0
        self.batch_size, self.name, self.size = look.batch_size, look.name, look.size

    def __call__(self, images: Pictures):
        self.seen += len(images)
        return self.look(images)


def give(
    evaluator: GenerationEvaluator, images: Pictures, order: list[int], batch: int = 7
) -> GenerationEvaluator:
    for start in range(0, len(order), batch):
        which = order[start : start + batch]
        evaluator.update(evaluator.index.image_ids[which].tolist(), made(images[which]))
    return evaluator


def everything(evaluator: GenerationEvaluator) -> dict[str, float]:
    return evaluator.compute() | evaluator.details()


def test_the_figures_are_those_of_the_features(look, index, fakes) -> None:
    found = give(GenerationEvaluator(index, look), fakes, list(range(COUNT))).compute()
    order = real_pictures.chosen(index, COUNT)
    real, fake = look(index.pixels[order]), look(fakes[order])
    expected = [*kid(real, fake), frechet(real, fake), *manifold(real, fake, 3, 5)]
    assert list(found) == FIGURES
    assert list(found.values()) == expected
    assert 0 < found["kid_sigma"] < found["kid"]
    assert 0 < found["recall"] < 1


def test_batches_order_and_ranks_change_not_one_bit(look, index, fakes) -> None:
    def evaluator() -> GenerationEvaluator:
        return GenerationEvaluator(index, look, samples=70)

    expected = give(evaluator(), fakes, list(range(COUNT)), COUNT).compute()
    order = np.random.default_rng(3).permutation(COUNT).tolist()
    assert give(evaluator(), fakes, order, 1).compute() == expected
    ranks = [give(evaluator(), fakes, order[r::2], 5) for r in range(2)]
    states = [pickle.loads(pickle.dumps(rank.state())) for rank in ranks]
    for rank in ranks:
        rank.merge(states)
        assert rank.compute() == expected
    alone = give(evaluator(), fakes, order, 16)
    alone.merge([alone.state()])
    assert alone.compute() == expected


def test_real_pictures_are_looked_at_once(look, index, fakes) -> None:
    counting = Counting(look)
    ranks = [GenerationEvaluator(index, counting) for _ in range(2)]
    for epoch in range(3):
        for number, rank in enumerate(ranks):
            rank.reset()
            # another rank may see a picture the next time
            give(rank, fakes, list(range(COUNT))[(number + epoch) % 2 :: 2])
        states = [rank.state() for rank in ranks]
        assert sum(len(state.real) for state in states) == (COUNT if epoch == 0 else 0)
        for rank in ranks:
            rank.merge(states)
        assert len({tuple(rank.compute().values()) for rank in ranks}) == 1
    assert counting.seen == (1 + 3) * COUNT


def test_at_most_so_many_are_compared(look, index, fakes) -> None:
    counting = Counting(look)
    evaluator = give(GenerationEvaluator(index, counting, samples=20), fakes, list(range(COUNT)))
    evaluator.compute()
    assert counting.seen == 2 * 20
    places = evaluator.places()
    assert len(set(places)) == 20
    assert places == real_pictures.chosen(index, 20).tolist()
    # not the front of a list by class, and the same for ever
    assert 5 < sum(place < COUNT // 2 for place in places) < 15
    assert real_pictures.chosen(index, 3).tolist() == [27, 20, 13]


def test_validation_may_stop_early(look, index, fakes) -> None:
    some = list(range(40))
    found = give(GenerationEvaluator(index, look), fakes, some)
    assert len(found.features()[0]) == 40
    whole = give(GenerationEvaluator(index.only(np.arange(COUNT) < 40), look), fakes[:40], some)
    # the same pictures, in other blocks
    assert found.compute()["precision"] == pytest.approx(whole.compute()["precision"])


def test_training_pictures_are_the_floor(look, index, fakes) -> None:
    train = index_of(scenes(150, 2))
    evaluator = GenerationEvaluator(index, look, train, searched=60)
    figures = give(evaluator, fakes, list(range(COUNT))).details()
    real, _ = evaluator.features()
    other = look(train.pixels[real_pictures.chosen(train, COUNT)])
    assert list(figures) == ["kid_real", "kid_real_sigma", "fid_random_real", "nearest_ratio"]
    assert (figures["kid_real"], figures["kid_real_sigma"]) == kid(real, other)
    assert figures["fid_random_real"] == frechet(real, other)
    assert abs(figures["kid_real"]) < 2 * figures["kid_real_sigma"]
    assert figures["fid_random_real"] < evaluator.compute()["fid_random"]


def test_training_pictures_that_are_repeated_show(look, index) -> None:
    train = index_of(scenes(100, 2))
    fresh, repeated = (
        give(GenerationEvaluator(index, look, train), images, list(range(COUNT))).details()
        for images in (scenes(COUNT, 3), noisy(train.pixels[:COUNT], 2))
    )
    assert 0.8 < fresh["nearest_ratio"] < 1.2
    assert repeated["nearest_ratio"] < 0.4


def test_no_floor_of_another_number(look, index, fakes) -> None:
    order = list(range(COUNT))
    small = give(GenerationEvaluator(index, look, index_of(scenes(50, 2))), fakes, order)
    assert list(small.details()) == ["nearest_ratio"]
    alone = give(GenerationEvaluator(index, look), fakes, order)
    assert alone.details() == {}
    itself = give(GenerationEvaluator(index, look, index), fakes, order)
    assert itself.details() == {}
    unsearched = GenerationEvaluator(index, look, index_of(scenes(COUNT, 2)), searched=0)
    assert "nearest_ratio" not in give(unsearched, fakes, order).details()


def test_nothing_is_drawn_from_the_runs_numbers(look, index, fakes) -> None:
    state, numpys = torch.get_rng_state(), np.random.get_state()[1].copy()
    train = index_of(scenes(COUNT, 2))
    everything(give(GenerationEvaluator(index, look, train), fakes, list(range(COUNT))))
    assert torch.equal(torch.get_rng_state(), state)
    assert np.array_equal(np.random.get_state()[1], numpys)


def test_real_pictures_as_the_network_sees_them(look, tmp_path) -> None:
    large = np.zeros((20, 40, 3), np.uint8)
    large[:, 10:30] = 200
    cv2.imwrite(str(tmp_path / "a.png"), large)
    files = StringTable([str(tmp_path / "a.png")])
    whole = ImageIndex((), np.arange(1), np.zeros((1, 0), np.bool_), files)
    framed = real_pictures.read(whole, [0], (16, 16))[0]
    assert framed.shape == (16, 16, 3)
    assert (framed[0, 0] == (124, 116, 104)).all()  # the letterbox's pad
    cut = real_pictures.read(replace(whole, square=True), [0], (16, 16))[0]
    assert (cut == 200).all()
    grey = ClassIndex(("a",), np.arange(3), np.zeros(3, np.int64), pixels=scenes(3, 0)[..., 0])
    expected = np.repeat(grey.pixels[[2, 0], :, :, None], 3, 3)
    assert np.array_equal(real_pictures.read(grey, [2, 0], (24, 24)), expected)
    assert real_pictures.read(grey, [], (24, 24)).shape == (0, 24, 24, 3)
    (tmp_path / "a.png").unlink()
    with pytest.raises(DataError, match=r"a\.png"):
        real_pictures.read(whole, [0], (16, 16))


def test_what_is_refused(look, index, fakes) -> None:
    evaluator = GenerationEvaluator(index, look)
    assert list(evaluator.compute().values()) == [-1] * 7
    assert evaluator.details() == {}
    ids = index.image_ids.tolist()
    evaluator.update([], [])
    evaluator.update(ids[:2], made(fakes[:2]))
    with pytest.raises(ValueError, match="given twice"):
        evaluator.update(ids[1:2], made(fakes[:1]))
    with pytest.raises(ValueError, match="isn't in the split"):
        evaluator.update([-5], made(fakes[:1]))
    with pytest.raises(ValueError, match=r"made pictures of \(24, 24\) and of \(12, 24\)"):
        evaluator.update(ids[2:3], made(fakes[:1, :12]))
    with pytest.raises(ValueError, match="1 image ids for 2 results"):
        evaluator.update(ids[4:5], made(fakes[:2]))


@pytest.mark.parametrize("with_train", [True, False])
def test_report(look, index, fakes, tmp_path, with_train) -> None:
    train = index_of(scenes(100, 2)) if with_train else None
    evaluator = GenerationEvaluator(index, look, train, samples=80, searched=30)
    evaluator.detailed = True
    give(evaluator, fakes, list(range(COUNT)))
    everything(evaluator)
    assert len(evaluator.pictures()) == 64
    assert np.array_equal(evaluator.pictures()[3], fakes[evaluator.places()[3]])
    evaluator.report(tmp_path / "run")
    about = json.loads((tmp_path / "run" / "extractor.json").read_text())
    assert about == {
        "extractor": "random",
        "weights": "random, seed 0",
        "sha256": None,
        "size": None,
        "dimensions": 560,
        "images": 80,
        "training_images": 30 if with_train else 0,
        "picture_size": [24, 24],
    }
    sheet = cv2.imread(str(tmp_path / "run" / "nearest.jpg"))
    assert sheet.shape[0] > 10 * 96
    assert sheet.shape[1] >= 6 * 96


def test_the_report_of_nothing_takes_the_old_sheet_away(look, index, tmp_path) -> None:
    (tmp_path / "nearest.jpg").write_bytes(b"old")
    GenerationEvaluator(index, look).report(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["extractor.json"]
    assert json.loads((tmp_path / "extractor.json").read_text())["images"] == 0
