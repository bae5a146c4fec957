"""Training in visionkit's loop beside torchvision's reference loop: images/s and peak memory.

    python benchmarks/train_step.py [resnet50] [deeplab] [faster_rcnn] [yolo] [--device cuda]
        [--precision bf16] [--channels-last] [--compile] [--size N] [--batch N] [--steps N]

Ours is the whole loop of `visionkit train`: Lightning, logging of the losses, on a GPU the copying
ahead; theirs is reference_loops.py. Both have SGD with momentum, the same pictures, precision,
memory order and compile setting, and take turns, a step each, in one process. What either loader
costs is left out: batches lie in memory, of bytes for ours and of floats for theirs, as each has
them. Weights are drawn at random.

resnet50 is torchvision's network in both. faster_rcnn is the same network twice, with a frozen
stem, first stage and norms. deeplab is our DeepLabV3+ beside torchvision's deeplabv3_resnet50,
whose last stages are dilated where ours are refined by a finer map: a dearer network, so the ratio
says less. YOLO nano has no peer: it stands beside its own bare steps, never compiled. --averaging
adds to ours what visionkit does by default beyond the scripts: averaged weights, and clipping.

Memory is the most that a contestant alone holds while it trains, in a process of its own: what
torch has given out on a GPU, on a processor what the process has grown by.
"""

import argparse
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import lightning
import torch
import torchvision
from reference_loops import make_batches, reference_steps

from visionkit.batch import Batch
from visionkit.benchmarking.machine import processor
from visionkit.build import build, plain
from visionkit.callbacks.ema import Ema
from visionkit.compose import compose
from visionkit.data.prefetch import ahead, side_stream
from visionkit.lightning_says import quieten
from visionkit.models.build import build_network

WARM_UP = 3
ALONE = 4
"""Steps in which memory is measured."""
SGD = ["optimizer=sgd", "optimizer.lr=1e-4", "optimizer.momentum=0.9", "optimizer.nesterov=false"]


class Subject(NamedTuple):
    """What is trained: our words, K, size and batch on a processor and on a GPU, and the peer."""

    words: list[str]
    classes: int
    small: tuple[int, int]
    large: tuple[int, int]
    peer: str


SUBJECTS = {
    "resnet50": Subject(
        ["task=classification", "backbone=resnet50", "model.norm=batch"],
        1000,
        (224, 8),
        (224, 128),
        "torchvision resnet50",
    ),
    "deeplab": Subject(
        [
            "task=segmentation",
            "backbone=resnet50",
            "head=deeplabv3plus",
            "model.norm=batch",
            "head.loss.dice=0",
        ],
        21,
        (256, 4),
        (512, 16),
        "torchvision deeplabv3_resnet50",
    ),
    "faster_rcnn": Subject(
        [
            "task=detection",
            "model=faster_rcnn",
            "backbone.frozen_stages=2",
            "backbone.frozen_norm=true",
        ],
        90,
        (320, 2),
        (800, 8),
        "torchvision fasterrcnn_resnet50_fpn",
    ),
    "yolo": Subject(
        ["task=detection", "model=yolo"], 80, (320, 8), (640, 64), "the same, bare and not compiled"
    ),
}


def our_task(subject: Subject, size: int, options: argparse.Namespace) -> Any:
    """The Lightning module, as a run builds it."""
    words = [*subject.words, *SGD, "data.root=.", f"data.image_size={size}"]
    spec = plain(compose(words))
    torch.manual_seed(0)
    model = build_network(spec, subject.classes, (size, size))
    return build(
        spec["task"],
        "task",
        model=model,
        entry={},
        optimizer=build(spec["optimizer"], "optimizer"),
        scheduler=None,
        evaluator=None,
        compile=options.compile,
        channels_last=options.channels_last,
    )


class Turns(lightning.Callback):
    """After each of our steps lets the others take one; notes what each took."""

    def __init__(self, others: dict[str, Callable[[int], None]], device: torch.device) -> None:
        self.others, self.device = others, device
        self.spent: dict[str, list[float]] = {name: [] for name in ("ours", *others)}

    def on_train_start(self, *args: Any) -> None:
        self.start = self._now()

    def on_train_batch_end(self, trainer: Any, module: Any, out: Any, batch: Any, n: int) -> None:
        self._note("ours")
        for name, step in self.others.items():
            step(n)
            self._note(name)

    def _note(self, name: str) -> None:
        now = self._now()
        self.spent[name].append(now - self.start)
        self.start = self._now()

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()


class Host:
    """Batches in memory, on a GPU copied ahead as a run's loader does."""

    def __init__(self, batches: list[Batch], steps: int, device: torch.device) -> None:
        self.batches, self.steps, self.device = batches, steps, device

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[Batch]:
        given = (self.batches[n % len(self.batches)] for n in range(self.steps))
        return ahead(given, *side_stream(self.device)) if self.device.type == "cuda" else given


def train(
    task: Any, batches: list[Batch], steps: int, options: argparse.Namespace, turns: Turns
) -> None:
    """Our loop."""
    averaging = [Ema()] if options.averaging else []
    trainer = lightning.Trainer(
        accelerator="gpu" if options.device == "cuda" else "cpu",
        devices=1,
        precision="bf16-mixed" if options.precision == "bf16" else "32-true",
        max_epochs=1,
        gradient_clip_val=10.0 if options.averaging else None,
        logger=False,
        callbacks=[*averaging, turns],
        limit_val_batches=0,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(task, Host(batches, steps, turns.device))


def bare_steps(
    subject: Subject, batches: list[Batch], size: int, options: argparse.Namespace
) -> Callable[[int], None]:
    """A function that takes a step of our own model, not compiled, without Lightning."""
    device = torch.device(options.device)
    task = our_task(subject, size, argparse.Namespace(**vars(options) | {"compile": False}))
    task.to(device).train()
    task.log = task.log_dict = lambda *args, **keywords: None
    optimizer = task.make_optimizer(list(task.parameters()))

    def step(number: int) -> None:
        batch = batches[number % len(batches)].to(device, non_blocking=True)
        with torch.autocast(device.type, torch.bfloat16, enabled=options.precision == "bf16"):
            loss = task.training_step(batch, number)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def contest(name: str, options: argparse.Namespace) -> Iterator[str]:
    """Let both take turns; yield the table's lines."""
    subject = SUBJECTS[name]
    size, count = subject.large if options.device == "cuda" else subject.small
    size, count = options.size or size, options.batch or count
    device = torch.device(options.device)
    batches = make_batches(name, subject.classes, size, count, device.type == "cuda")
    others: dict[str, Callable[[int], None]] = {}
    if options.alone:
        Path("/proc/self/clear_refs").write_text("5")  # forget the most that there has been
    before = resident("VmRSS")
    if options.alone != "ours":
        given = (batches, size, options)
        bare = name == "yolo"
        others["theirs"] = (
            bare_steps(subject, *given) if bare else reference_steps(name, subject.classes, *given)
        )
    if options.alone == "theirs":
        for n in range(ALONE):
            others["theirs"](n)
        yield f"{peak(device, before):.0f}"
        return
    task = our_task(subject, size, options)
    turns = Turns(others, device)
    train(task, batches, ALONE if options.alone else WARM_UP + options.steps, options, turns)
    if options.alone:
        yield f"{peak(device, before):.0f}"
        return
    memory = {who: alone(name, who) if options.memory else 0.0 for who in turns.spent}
    median = {who: statistics.median(t[WARM_UP:]) for who, t in turns.spent.items()}
    for who, title in (("ours", "visionkit"), ("theirs", subject.peer)):
        ratio = [median["theirs"] / median[who], memory[who] / (memory["theirs"] or 1)]
        yield (
            f"{name if who == 'ours' else '':12}{title:36}{size:6d}{count:6d}"
            f"{1000 * median[who]:10.1f}{count / median[who]:10.1f}{ratio[0]:8.2f}"
            f"{memory[who]:8.0f}{ratio[1]:8.2f}"
        )


def resident(line: str) -> float:
    """Memory of this process in MiB: VmRSS, as it is, or VmHWM, the most it has been."""
    return int(Path("/proc/self/status").read_text().split(f"{line}:")[1].split()[0]) / 1024


def peak(device: torch.device, before: float) -> float:
    """The most memory that training took, in MiB."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    return resident("VmHWM") - before


def alone(name: str, who: str) -> float:
    """What a contestant holds in a process of its own, in MiB."""
    words = [sys.executable, __file__, *sys.argv[1:], "--only", name, "--alone", who]
    found = subprocess.run(words, check=True, capture_output=True, text=True, timeout=600)
    return float(found.stdout.split()[-1])


def main() -> None:
    """Read the arguments, measure, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", metavar="name", help=f"of {', '.join(SUBJECTS)}")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--size", type=int, help="pixels of a side")
    parser.add_argument("--batch", type=int)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--precision", choices=("32", "bf16"), default="32")
    parser.add_argument("--channels-last", action="store_true")
    parser.add_argument("--compile", action="store_true", help="both")
    parser.add_argument("--averaging", action="store_true", help="ours also averages and clips")
    parser.add_argument("--no-memory", dest="memory", action="store_false")
    parser.add_argument("--only", choices=tuple(SUBJECTS), help=argparse.SUPPRESS)
    parser.add_argument("--alone", choices=("ours", "theirs"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    unknown = set(options.names) - set(SUBJECTS)
    if unknown:
        parser.error(f"there is no {min(unknown)}; there are {', '.join(SUBJECTS)}")
    quieten()
    warnings.filterwarnings("ignore", ".*no `val_dataloader`.*")
    if options.only:
        print(*contest(options.only, options))
        return
    machine = torch.cuda.get_device_name() if options.device == "cuda" else processor()
    print(
        f"{machine}, {torch.get_num_threads()} threads, torch {torch.__version__}, torchvision "
        f"{torchvision.__version__}, precision {options.precision}"
        f"{', channels last' * options.channels_last}{', compiled' * options.compile}"
    )
    print(
        f"{'':48}{'size':>6}{'batch':>6}{'ms':>10}{'images/s':>10}{'ratio':>8}{'MiB':>8}{'ratio':>8}"
    )
    for name in options.names or SUBJECTS:
        for text in contest(name, options):
            print(text, flush=True)


if __name__ == "__main__":
    main()
