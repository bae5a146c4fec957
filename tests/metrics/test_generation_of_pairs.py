"""GenerationEvaluator on pictures that were turned into others."""

from dataclasses import dataclass

import cv2
import numpy as np
import pytest
from generation_cases import Pictures, noisy, scenes

from visionkit.errors import ConfigError
from visionkit.metrics import real_pictures
from visionkit.metrics.extractor import Extractor
from visionkit.metrics.generation import GenerationEvaluator
from visionkit.results import Generated


@pytest.fixture(scope="module")
def look() -> Extractor:
    return Extractor(batch_size=16)


@pytest.fixture(scope="module")
def fakes() -> Pictures:
    return noisy(scenes(12, 1), 10)


@dataclass
class Domains:
    """Pictures of several sizes, and those of another kind."""

    others: list[Pictures]
    image_ids: np.ndarray
    kind: str = "unpaired"

    def __len__(self) -> int:
        return len(self.image_ids)

    @property
    def targets(self) -> list[Pictures]:
        return self.others

    def target(self, i: int) -> Pictures:
        return self.others[i % len(self.others)]


def test_made_from_pictures_with_partners(look, fakes) -> None:
    index = Domains(list(scenes(12, 4, 30)), np.arange(12), "pairs")
    evaluator = GenerationEvaluator(index, look)
    shapes = [fakes[i][: 24 - i] for i in range(12)]
    evaluator.update(range(12), [Generated(s) for s in shapes])
    real, fake = evaluator.features()
    assert evaluator.size == (64, 64)
    order = real_pictures.chosen(index, 12)
    shown = [cv2.resize(index.target(i), (64, 64)) for i in order]
    assert np.array_equal(real, look(np.stack(shown)))
    assert np.array_equal(fake[0], look(cv2.resize(shapes[order[0]], (64, 64))[None])[0])
    assert evaluator.real_places() == evaluator.places() == order.tolist()


@pytest.mark.parametrize(("count", "others", "samples"), [(12, 5, 50), (5, 12, 50), (9, 9, 4)])
def test_of_two_lists_each_real_picture_counts_once(look, fakes, count, others, samples) -> None:
    pictures = scenes(others, 4, 30)
    index = Domains(list(pictures), np.arange(count))
    train = Domains(list(scenes(40, 5, 30)), np.arange(3))
    evaluator = GenerationEvaluator(index, look, train, samples=samples, searched=0)
    evaluator.detailed = True
    evaluator.update(range(count), [Generated(fake) for fake in fakes[:count]])
    few = min(count, others, samples)
    real, fake = evaluator.features()
    assert len(real) == len(fake) == len(set(evaluator.real_places())) == few
    assert len(set(evaluator.places())) == few and max(evaluator.places()) < count
    # drawn from the whole second list, not from its front
    drawn = np.random.default_rng(0).permutation(others)[:few].tolist()
    assert evaluator.real_places() == drawn
    assert np.array_equal(real, look(np.stack([cv2.resize(pictures[i], (64, 64)) for i in drawn])))
    # so are those of the floor: 40 pictures to be looked like, though only 3 to be turned into them
    assert len(set(evaluator.training_places())) == few
    assert max(evaluator.training_places()) > 3
    assert "kid_real" in evaluator.details()


def test_reading_by_threads_holds_a_few_pictures_at_once(look) -> None:
    index = Domains(list(scenes(5, 4, 30)), np.arange(5), "pairs")
    parts = list(real_pictures.read_in_parts(index, [i % 5 for i in range(150)], (20, 20)))
    assert [len(part) for part in parts] == [64, 64, 22]
    one = [real_pictures.read(index, [i % 5], (20, 20))[0] for i in range(150)]
    assert np.array_equal(np.concatenate(parts), np.stack(one))


@pytest.mark.parametrize("kind", ["boxes", "masks"])
def test_data_of_another_kind_is_refused(look, kind) -> None:
    with pytest.raises(ConfigError, match=f"^evaluator: Gen.* the data is of {kind}; choose"):
        GenerationEvaluator(Domains([], np.arange(3), kind), look)
