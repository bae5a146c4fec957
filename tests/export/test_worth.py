"""Whether a smaller file is worth it."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from onnx_cases import pictures, small_detector

from visionkit.errors import ConfigError
from visionkit.export import worth
from visionkit.export.worth import keep_if_worth_it, weigh

EXAMPLES = [{"images": pictures(1)}]


@pytest.fixture
def large(tmp_path: Path) -> Path:
    return small_detector(tmp_path / "large.onnx", width=64)


@pytest.fixture
def little(tmp_path: Path) -> Path:
    return small_detector(tmp_path / "little.onnx", width=2)


@pytest.fixture(autouse=True)
def _seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files take as long as they are large: 1 second for each 100 kB."""

    def by_size(paths: tuple[Path, Path], *_: object) -> tuple[float, float]:
        full, small = (path.stat().st_size / 1e5 for path in paths)
        return full, small

    monkeypatch.setattr(worth, "_side_by_side", by_size)


def test_what_is_smaller_faster_and_as_good_is_kept(large: Path, little: Path) -> None:
    figures = {large: {"AP": 0.5}, little: {"AP": 0.495}}
    verdict = weigh(large, little, EXAMPLES, figures.__getitem__)
    assert verdict.kept
    assert verdict.size == pytest.approx(little.stat().st_size / large.stat().st_size)
    assert verdict.latency == pytest.approx(verdict.size)
    assert verdict.drop == pytest.approx(0.005)
    assert (verdict.figure, verdict.figures) == ("AP", (0.5, 0.495))
    written = little.read_bytes()
    keep_if_worth_it(large, little, verdict)
    assert large.read_bytes() == written
    assert not little.exists()


def test_what_is_slower_and_larger_is_left_with_its_reasons(large: Path, little: Path) -> None:
    verdict = weigh(little, large, EXAMPLES)
    assert not verdict.kept
    assert verdict.why.startswith("it isn't smaller (") and "; it isn't faster (" in verdict.why
    assert verdict.drop is verdict.figures is None
    written = little.read_bytes()
    keep_if_worth_it(little, large, verdict)
    assert little.read_bytes() == written
    assert not large.exists()


@pytest.mark.parametrize(
    ("figures", "mode", "drop"),
    [((0.5, 0.48), "max", 0.02), ((0.1, 0.2), "min", 0.1), ((0.5, float("nan")), "max", None)],
)
def test_a_worse_figure_is_a_reason(
    large: Path, little: Path, figures: tuple[float, float], mode: str, drop: float | None
) -> None:
    score = {large: {"AP": figures[0]}, little: {"AP": figures[1]}}.__getitem__
    falling = ["AP"] if mode == "min" else []
    verdict = weigh(large, little, EXAMPLES, score, falling=falling)
    assert not verdict.kept
    assert verdict.why.startswith("its figure drops by")
    if drop is not None:
        assert verdict.drop == pytest.approx(drop)
        assert weigh(large, little, EXAMPLES, score, falling=falling, most=drop + 0.001).kept


def test_a_better_figure_is_no_reason(large: Path, little: Path) -> None:
    figures = {large: {"FID": 0.2}, little: {"FID": 0.1}}
    assert weigh(large, little, EXAMPLES, figures.__getitem__, falling=["FID"]).kept


@pytest.mark.parametrize("lost", [0.44, float("nan")])
def test_of_several_figures_the_one_that_loses_most_decides(
    large: Path, little: Path, lost: float
) -> None:
    """Boxes that gain what masks lose aren't as good, though the mean is."""
    figures = {
        large: {"detection/AP": 0.5, "segmentation/miou": 0.5},
        little: {"detection/AP": 0.56, "segmentation/miou": lost},
    }
    verdict = weigh(large, little, EXAMPLES, figures.__getitem__)
    assert not verdict.kept
    assert verdict.why.startswith("its segmentation/miou drops by")
    assert verdict.figure == "segmentation/miou"


def test_there_must_be_something_to_time_with(large: Path, little: Path) -> None:
    with pytest.raises(ConfigError, match="precision: there are no pictures to time"):
        weigh(large, little, [])


def test_files_are_timed_in_turn_on_the_same_pictures(
    large: Path, little: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    seen: list[tuple[str, float]] = []

    class Session:
        def __init__(self, path: Path) -> None:
            self.name = path.stem

        def run(self, _: None, inputs: dict[str, np.ndarray]) -> None:  # type: ignore[type-arg]
            seen.append((self.name, float(inputs["images"][0])))

    monkeypatch.setattr(worth, "_session", lambda path, threads: Session(path))
    monkeypatch.setattr(worth, "WARM_UP", 0)
    examples = [{"images": np.array([n])} for n in range(2)]
    verdict = weigh(large, little, examples, rounds=3)
    assert seen == [
        ("little", 0), ("large", 0), ("large", 1), ("little", 1), ("little", 0), ("large", 0),
    ]  # fmt: skip
    assert min(verdict.seconds) > 0


def test_sessions_run_with_the_threads_that_are_asked_for(large: Path) -> None:
    assert worth._session(large, 1).get_session_options().intra_op_num_threads == 1


def test_what_can_not_be_run_is_a_line(
    large: Path, little: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    with pytest.raises(ConfigError, match=r"^precision: ONNX Runtime can't run .*; take fp32$"):
        weigh(large, little, [{"images": np.zeros((1, 2), np.uint8)}])
