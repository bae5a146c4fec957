"""Headless Chromium, driven over its own protocol (Chrome DevTools) through a pair of pipes."""

import base64
import contextlib
import fcntl
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
    *("--no-first-run", "--remote-debugging-pipe", "--window-size=1100,900"),
)
_PATIENCE = 60.0


def find_chromium() -> str | None:
    return next((found for found in map(shutil.which, NAMES) if found), None)


class Tab:
    """A page of a browser.

    Attributes:
        complaints: what scripts threw, and what the browser logged as errors.
    """

    def __init__(self, commands: int, answers: int) -> None:
        self.commands, self.answers = commands, answers
        self.waiting, self.number, self.session = b"", 0, ""
        self.complaints: list[str] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self.session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "DOM"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Run a command and return its result."""
        self.number += 1
        message: dict[str, Any] = {"id": self.number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.commands, json.dumps(message).encode() + b"\0")
        while True:
            told = self._message()
            if told.get("id") == self.number:
                assert "error" not in told, f"{method}: {told.get('error')}"
                return dict(told["result"])
            self._note(told)

    def _message(self) -> dict[str, Any]:
        while b"\0" not in self.waiting:
            ready, _, _ = select.select([self.answers], [], [], _PATIENCE)
            assert ready, "the browser says nothing"
            data = os.read(self.answers, 1 << 20)
            assert data, "the browser has ended"
            self.waiting += data
        text, _, self.waiting = self.waiting.partition(b"\0")
        return dict(json.loads(text))

    def _note(self, event: dict[str, Any]) -> None:
        params = event.get("params", {})
        if event.get("method") == "Runtime.exceptionThrown":
            self.complaints.append(str(params["exceptionDetails"]))
        elif event.get("method") == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.complaints.append(params["entry"]["text"])

    def run(self, code: str) -> Any:
        """Evaluate JavaScript and return its value; promises are awaited."""
        told = self.call("Runtime.evaluate", expression=code, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in told, told
        return told["result"].get("value")

    def until(self, code: str, seconds: float = 30.0) -> None:
        """Wait for an expression to become true."""
        end = time.monotonic() + seconds
        while not self.run(code):
            assert time.monotonic() < end, (
                f"never true: {code}; {self.run('document.body.innerText')}"
            )
            time.sleep(0.02)

    def go(self, url: str) -> None:
        self.call("Page.navigate", url=url)
        self.until("document.readyState === 'complete'")

    def choose(self, selector: str, path: Path) -> None:
        """Choose a file in a file input."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", files=[str(path)], nodeId=node)

    def drop(self, selector: str, path: Path) -> None:
        """Drag a file over an element and drop it there."""
        box = f"JSON.stringify(document.querySelector('{selector}').getBoundingClientRect())"
        at = json.loads(self.run(box))
        place = {"x": at["x"] + at["width"] / 2, "y": at["y"] + at["height"] / 2}
        data = {"items": [], "files": [str(path)], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            self.call("Input.dispatchDragEvent", type=kind, data=data, **place)

    def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))


@contextlib.contextmanager
def open_tab(folder: Path) -> Iterator[Tab]:
    """Start a browser with a profile in ``folder``, and end it."""
    program = find_chromium()
    assert program is not None
    to_browser, commands = os.pipe()
    answers, from_browser = os.pipe()
    # out of the way of 3 and 4, where the browser wants them
    ends = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in (to_browser, from_browser)]
    for end in (to_browser, from_browser):
        os.close(end)

    def place() -> None:
        os.dup2(ends[0], 3)
        os.dup2(ends[1], 4)

    browser = subprocess.Popen(
        [program, *_FLAGS, f"--user-data-dir={folder}", "about:blank"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=place,
        close_fds=False,
    )
    for end in ends:
        os.close(end)
    try:
        yield Tab(commands, answers)
    finally:
        browser.terminate()
        browser.wait(20)
        os.close(commands)
        os.close(answers)
