"""Clocks between reading, the network and what comes after it."""

from pathlib import Path
from typing import Any

import pytest
import torch
from bench_cases import NETWORK, POST, READ, Clock, SlowFile, SlowNoise, pictures
from small_gans import MODELS
from tiny import make_model

from visionkit.benchmarking import stages as module
from visionkit.benchmarking.cases import Case, Times
from visionkit.benchmarking.stages import WARM_UP, Stages, Watch
from visionkit.build import plain
from visionkit.checkpoint import Loaded
from visionkit.compose import compose
from visionkit.models.build import build_network
from visionkit.runtimes.network import NetworkRuntime

CALL = READ + NETWORK + POST


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The time of the module, in which reading a batch takes a while."""
    clock, read = Clock(), module.read_samples

    def slowly(*arguments: Any) -> Any:
        clock.sleep(READ)
        return read(*arguments)

    monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr(module, "read_samples", slowly)
    return clock


def test_the_parts_of_a_call_are_told_apart(clock: Clock, tmp_path: Path) -> None:
    stages = Stages(SlowFile(clock), pictures(tmp_path, 2))
    for _ in range(2):
        assert stages.call(Case(64, 96, 3)) == Times(READ, NETWORK, POST)
    assert clock.now == 2 * CALL


def test_pictures_come_in_turn_on_the_case_s_canvas(clock: Clock, tmp_path: Path) -> None:
    runtime = SlowFile(clock)
    stages = Stages(runtime, pictures(tmp_path, 2))
    stages.call(Case(64, 96, 3))
    stages.call(Case(32, 32, 1))
    shapes, names, options = zip(*runtime.seen, strict=True)
    assert shapes == ((3, 3, 64, 96), (1, 3, 32, 32))
    assert names == (("0.png", "1.png", "0.png"), ("1.png",))
    # windows, scales and mirror images cost as often as they look
    assert (options[0].flip, options[0].scales, options[0].window) == (False, (1.0,), None)


def test_noise_is_drawn_with_classes_in_turn(clock: Clock) -> None:
    runtime = SlowNoise(clock)
    assert Stages(runtime, []).call(Case(8, 8, 3)) == Times(0, NETWORK, 0)
    assert runtime.seen[0][:2] == ((3, 5), ("0", "1", "0"))


def test_a_checkpoint_s_network_is_told_from_its_decoding(
    clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_model()

    def slower(part: Any, name: str, seconds: float) -> None:
        method = getattr(part, name)

        def slowly(*arguments: Any) -> Any:
            clock.sleep(seconds)
            return method(*arguments)

        monkeypatch.setattr(part, name, slowly)

    slower(model.backbone, "forward", 0.5)
    slower(model.head, "decode", 0.25)
    loaded = Loaded(model, ("a", "b"), (64, 64), "detection", {}, None, {})
    stages = Stages(NetworkRuntime(loaded, "cpu"), pictures(tmp_path, 1))
    assert stages.call(Case(64, 64, 1)) == Times(READ, 0.5, 0.25)


@pytest.mark.parametrize(("name", "part"), [("dcgan", ""), ("pix2pix", ""), ("cyclegan", "a_to_b")])
def test_the_network_of_a_gan_is_its_generator(
    name: str, part: str, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = plain(compose(["task=generation", f"model={name}", "data.root=.", *MODELS[name]]))
    model: Any = build_network(spec, 2, (32, 32))
    generator = model.generator[part] if part else model.generator
    generator.register_forward_hook(lambda *_: clock.sleep(0.5))
    loaded = Loaded(model, ("a", "b"), (32, 32), "generation", {}, None, {})
    times = Stages(NetworkRuntime(loaded, "cpu"), pictures(tmp_path, 1)).call(Case(32, 32, 2))
    assert times == Times(0 if name == "dcgan" else READ, 0.5, 0)


def test_a_gpu_is_waited_for(clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: clock.sleep(8))
    runtime = SlowFile(clock)
    runtime.device = torch.device("cuda")
    times = Stages(runtime, pictures(tmp_path, 1)).call(Case(64, 64, 1))
    assert times == Times(READ, NETWORK + 8, POST)


def test_the_first_call_of_a_turn_counts_only_if_it_is_alone(clock: Clock, tmp_path: Path) -> None:
    runtime = SlowFile(clock)
    stages = Stages(runtime, pictures(tmp_path, 1))
    assert len(stages.measure(Case(64, 64, 1), 0.5 * CALL)) == 1
    runtime.seen.clear()
    assert len(stages.measure(Case(64, 64, 1), 2.5 * CALL)) == 2
    assert len(runtime.seen) == 3


def test_warming_up_tells_the_first_call(clock: Clock, tmp_path: Path) -> None:
    runtime = SlowFile(clock)
    stages = Stages(runtime, pictures(tmp_path, 1))
    assert stages.warm_up(Case(64, 64, 1), 0.0) == CALL
    assert len(runtime.seen) == WARM_UP
    runtime.seen.clear()
    stages.warm_up(Case(64, 64, 1), 4.5 * CALL)
    assert len(runtime.seen) == 1 + 5  # what the first takes isn't among the seconds


def test_a_watch_adds_up_and_passes_on(clock: Clock) -> None:
    class Owner:
        def work(self, a: int, b: int = 0) -> int:
            clock.sleep(1)
            return a + b

    owner = Owner()
    watch = Watch(owner, "work", lambda: clock.sleep(0.5))
    assert owner.work(2, b=3) == 5
    assert owner.work(1) == 1
    assert watch.seconds == 3
