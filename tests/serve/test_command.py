"""The command as a process of its own."""

import http.client
import io
import signal
import subprocess
import sys
import threading

import pytest
from rich.console import Console
from serving import BOX, Asker, encoded, picture, until

from visionkit import cli
from visionkit.compose import compose
from visionkit.config import check
from visionkit.errors import ConfigError
from visionkit.serve import command

SERVES_BRIGHT = """
import sys, time
sys.path.insert(0, {tests!r})
from visionkit import cli
import visionkit.commands.single  # what the command line itself imports
early = {{"cv2", "fastapi"}} & set(sys.modules)
from visionkit.serve import command
original = command.run
def run(cfg):
    import visionkit.predictor
    from serving import Bright
    class Slow(Bright):
        def predict(self, *arguments):
            time.sleep(0.3)
            return super().predict(*arguments)
    visionkit.predictor.load_runtime = lambda path, device, threads: Slow()
    original(cfg)
import visionkit.serve
visionkit.serve.run = run
code = cli.main(["serve", *sys.argv[1:]])
heavy = {{"torch", "torchvision", "lightning", "albumentations", "onnx"}} & set(sys.modules)
print("early", sorted(early), "heavy", sorted(heavy), flush=True)
sys.exit(code)
"""


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "bright.onnx"
    path.touch()
    return path


def start(folder, *words):
    tests = __file__.rpartition("/serve/")[0]
    code = SERVES_BRIGHT.format(tests=tests)
    return subprocess.Popen(
        [sys.executable, "-c", code, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
    )


def test_it_answers_until_it_is_stopped_and_ends_what_it_began(model, tmp_path):
    words = [f"checkpoint={model}", "port=0", "predict.confidence=0.06", "max_pixels=9000"]
    process = start(tmp_path, *words)
    try:
        line = process.stdout.readline()
        assert line.startswith("http://127.0.0.1:"), line + process.stderr.read()
        ask = Asker(int(line.split("/")[2].rpartition(":")[2]))
        assert ask("GET", "/info").json["options"]["confidence"] == 0.06
        assert ask.predict(encoded(picture())).json["boxes"] == [list(BOX)]
        assert ask.predict(encoded(picture(size=(100, 100)))).status == 413
        begun = []
        asker = threading.Thread(target=lambda: begun.append(ask.predict(encoded(picture()))))
        asker.start()
        until(lambda: ask("GET", "/health").json["requests"] == 1)
        process.send_signal(signal.SIGINT)
        asker.join(20)
        rest, errors = process.communicate(timeout=20)
    finally:
        process.kill()
    assert begun[0].json["boxes"] == [list(BOX)]
    assert (process.returncode, errors) == (0, "")
    assert rest.splitlines() == ["stopped", "early [] heavy []"]
    with pytest.raises(OSError):
        http.client.HTTPConnection("127.0.0.1", ask.port).connect()


def test_a_taken_port_is_told_before_the_model_is_loaded(model, capsys):
    with command.bound("127.0.0.1", 0) as taken:
        taken.listen()
        port = taken.getsockname()[1]
        assert cli.main(["serve", f"checkpoint={model}", f"port={port}"]) == 2
    line = capsys.readouterr().err
    assert line.startswith(
        f"error: port: {port} of 127.0.0.1 can't be had (Address already in use)"
    )
    assert line.count("\n") == 1


def test_a_host_that_is_not_there():
    with pytest.raises(ConfigError, match=r"host: there is no 'nowhere\.invalid'"):
        command.bound("nowhere.invalid", 0)


@pytest.mark.parametrize(
    ("host", "warned"), [("127.0.0.1", False), ("localhost", False), ("0.0.0.0", True)]
)
def test_who_lets_others_in_is_warned(host, warned):
    console = Console(file=io.StringIO(), width=60)
    with command.bound(host, 0) as listening:
        command._tell(console, host, listening)
    told = console.file.getvalue()
    assert ("warning: host=0.0.0.0: whoever reaches" in told) == warned
    assert told.count("\n") == 1 + warned


def test_what_is_not_installed_is_told(model, capsys, monkeypatch):
    monkeypatch.setattr(command.importlib.util, "find_spec", lambda name: None)
    assert cli.main(["serve", f"checkpoint={model}"]) == 2
    assert "the package fastapi; pip install 'visionkit[serve]'" in capsys.readouterr().err


def test_the_configuration_is_checked(model, capsys):
    check(compose([f"checkpoint={model}", "host=::1", "timeout=5"], "serve"), "serve")
    words = ["port=99999", "batch_size=0", "max_pixel=5", "predict.confidence=3"]
    assert cli.main(["serve", f"checkpoint={model}", *words]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == len(words)
    assert any("max_pixel" in line and "did you mean 'max_pixels'" in line for line in lines)


def test_a_missing_file(tmp_path, capsys):
    assert cli.main(["serve", f"checkpoint={tmp_path / 'no.onnx'}"]) == 2
    assert "no.onnx" in capsys.readouterr().err
