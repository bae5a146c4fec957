"""The README's commands run as they stand there, with a tiny budget."""

import gzip
import json
import re
import shlex
import shutil
import signal
import struct
import subprocess
import sys
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from small_gans import make_sides
from small_masks import make_masks
from tiny import make_coco, make_folders

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
TINY = [
    "trainer.max_epochs=1",
    "trainer.limit_train_batches=1",
    "trainer.limit_val_batches=1",
    "data.image_size=64",
    "data.batch_size=2",
    "data.num_workers=0",
    "trainer.accelerator=cpu",
]

QUICK = ["seconds=0.05", "batch_sizes=[1]", "runtimes=[eager,onnx]"]
MONITORED = {
    "detection": ("AP",),
    "classification": ("accuracy",),
    "segmentation": ("miou",),
    "generation": ("kid", "l1"),
    "multitask": ("score",),
}


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def commands() -> list[str]:
    lines = [line for block in blocks("bash") for line in block.splitlines() if line.strip()]
    return [part.strip() for line in lines for part in line.split("&&")]


def run(command: str, folder: Path) -> str:
    words = shlex.split(command.replace("weights=default", "weights=none"))  # not to be online
    if words[0] == "visionkit":
        words = [sys.executable, "-m", "visionkit", *words[1:]]
    else:
        assert words[0] == "python"
        words = [sys.executable, str(ROOT / words[1]), *words[2:]]
    if any(word in command for word in ("train", "visionkit tune", "visionkit find")):
        words += TINY
    if "visionkit tune" in command:
        words = [word for word in words if not word.startswith("trials=")] + ["trials=1"]
    if "visionkit find" in command:
        words += ["lr.steps=20"]
    if "export" in command:
        words.append("proof.scored=0")  # of a network at random, ties decide the figure
    if "benchmark" in command:
        words += QUICK
    if "serve" in command:
        return serve(words, folder)
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def serve(words: list[str], folder: Path) -> str:
    """Start a service, ask whether it is well, and end it as Ctrl-C does."""
    with subprocess.Popen(
        [*words, "port=0"], cwd=folder, stdout=subprocess.PIPE, text=True
    ) as made:
        try:
            assert made.stdout is not None
            address = next(
                re.search(r"http://[\d.]+:\d+", line) for line in made.stdout if "http" in line
            )
            assert address is not None
            with urllib.request.urlopen(f"{address[0]}/health", timeout=60) as answer:
                return str(answer.read())
        finally:
            made.send_signal(signal.SIGINT)
            assert made.wait(60) in (0, 130)


def test_the_two_commands_of_a_fresh_machine_stand_in_the_readme() -> None:
    assert "pip install -e . && python tools/train.py task=detection" in README
    assert "pip install -e '.[test]' && pytest" in README


def test_ci_installs_and_tests_as_the_readme_says() -> None:
    script = (ROOT / ".ci" / "run").read_text()
    assert "pip install" in script
    assert "-e '.[test]'" in script
    assert "-m pytest\n" in script


def test_links_and_pictures_exist() -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


def write_idx(folder: Path) -> None:
    """Fashion-MNIST's files with a few pictures of noise."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for stem, count in (("train", 5020), ("t10k", 10)):
        pixels = rng.integers(0, 256, (count, 28, 28), np.uint8)
        labels = (np.arange(count) % 10).astype(np.uint8)
        for name, array in (("images-idx3", pixels), ("labels-idx1", labels)):
            head = struct.pack(f">I{array.ndim}I", 0x800 + array.ndim, *array.shape)
            data = gzip.compress(head + array.tobytes(), 1)
            (folder / f"{stem}-{name}-ubyte.gz").write_bytes(data)


def give_outlines(root: Path) -> None:
    """Let every box of a COCO set be a polygon, too."""
    for path in (root / "annotations").glob("*.json"):
        content = json.loads(path.read_text())
        for annotation in content["annotations"]:
            x, y, width, height = annotation["bbox"]
            right, bottom = x + width, y + height
            annotation["segmentation"] = [[x, y, right, y, right, bottom, x, bottom]]
        path.write_text(json.dumps(content))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("readme")
    make_coco(home / "DIR")
    give_outlines(home / "DIR")
    make_folders(home / "PHOTOS")
    make_masks(home / "STREETS")
    make_sides(home / "PAIRS")
    write_idx(home / "CLOTHES")
    shutil.copytree(home / "DIR" / "val", home / "PICTURES")
    return home


RUN = [c for c in commands() if c.startswith(("visionkit", "python"))]


def test_there_are_commands() -> None:
    assert len(RUN) >= 10
    assert blocks("python")


@pytest.mark.parametrize("command", RUN)
def test_the_commands_run_in_order(folder: Path, command: str) -> None:
    """Each finds what those before it have left."""
    out = run(command, folder)
    if "train" in command:
        task = command.partition("task=")[2].split()[0]
        assert any(figure in out for figure in MONITORED[task])


@pytest.mark.parametrize("block", blocks("python"))
def test_the_code_runs(folder: Path, block: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", block], cwd=folder, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
