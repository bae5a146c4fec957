"""Running trials: each is ``visionkit train`` in a process and a folder of its own."""

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from visionkit.data.cores import cores
from visionkit.overrides import quoted
from visionkit.tuning.study import Study

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

_LOG = "log.txt"
_LINES = 5
_STEP = 0.2

Tell = Callable[[str], None]


@dataclass
class Machine:
    """What trials run on, and whether they are to go on.

    Attributes:
        gpus: that there are.
        workers: trials at a time.
        stopping: set when a person stops the search.
        running: processes by worker.
    """

    gpus: int = 0
    workers: int = 1
    stopping: threading.Event = field(default_factory=threading.Event)
    running: dict[int, "subprocess.Popen[bytes]"] = field(default_factory=dict)

    def environment(self, worker: int) -> dict[str, str]:
        """Share GPUs and cores out among workers, unless the person did so."""
        found = dict(os.environ)
        if self.workers == 1:
            return found
        if self.gpus > 1:
            named = [n for n in found.get("CUDA_VISIBLE_DEVICES", "").split(",") if n]
            names = named or [str(n) for n in range(self.gpus)]
            each = max(1, len(names) // self.workers)
            first = worker * each % len(names)
            found["CUDA_VISIBLE_DEVICES"] = ",".join(names[first : first + each])
        found.setdefault("OMP_NUM_THREADS", str(max(1, cores() // self.workers)))
        return found

    def stop(self) -> None:
        """Ask the processes to save and end, once; the second time end them."""
        again = self.stopping.is_set()
        self.stopping.set()
        for process in list(self.running.values()):
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGKILL if again else signal.SIGINT)


def work(study: Study, machine: Machine, worker: int, end: float, tell: Tell) -> None:
    """Run one trial after another until there are enough.

    Args:
        study: of the search.
        machine: to run on.
        worker: which one this is.
        end: of :func:`time.monotonic`, after which no trial is begun.
        tell: says a line.
    """
    while not machine.stopping.is_set() and time.monotonic() < end and not hopeless(study):
        found = study.next()
        if found is None:
            return
        number, lock = found
        try:
            _run(study, machine, worker, number, lock, tell)
        finally:
            os.close(lock)


def hopeless(study: Study) -> str | None:
    """Why nothing more should be tried: the first three trials failed. None to go on."""
    from optuna.trial import TrialState

    ended = [t for t in study.trials() if t.state.is_finished()]
    if len(ended) < 3 or any(t.state != TrialState.FAIL for t in ended):
        return None
    return str(ended[0].user_attrs.get("error", "no trial could be run"))


def _run(study: Study, machine: Machine, worker: int, number: int, lock: int, tell: Tell) -> None:
    """Run a trial, or what is left of it, and tell the study."""
    trial = study.trial(number)
    folder = study.folder_of(number)
    start = time.monotonic()
    code: int | None = None
    if "pruned" not in trial.user_attrs:
        words = train_words(study, trial)
        with (folder / _LOG).open("ab") as log:
            log.write(f"visionkit train {shlex.join(words)}\n".encode())
            log.flush()
            code = _process(machine, worker, words, lock, log.fileno())
    if machine.stopping.is_set() and code != 0:
        tell(f"trial {number} was stopped, and goes on with the search")
        return
    seconds = round(time.monotonic() - start + trial.user_attrs.get("seconds", 0.0), 1)
    notes: dict[str, Any] = {"seconds": seconds}
    trial = study.trial(number)
    figures = trial.intermediate_values
    if "pruned" in trial.user_attrs:
        study.tell(number, None, "pruned", **notes)
        what = f"ended early, after epoch {max(figures)}: " + _figure(study, figures)
    elif code == 0 and figures:
        study.tell(number, study.better(figures.values()), "complete", **notes)
        what = _figure(study, figures)
    else:
        notes["error"] = why(code, folder / _LOG)
        study.tell(number, None, "fail", **notes)
        what = f"failed: {notes['error']}; see {folder / _LOG}"
    values = " ".join(f"{k}={short(v)}" for k, v in trial.params.items())
    tell(f"trial {number}, {seconds:.0f} s, {values}: {what}")


def train_words(study: Study, trial: "FrozenTrial") -> list[str]:
    """What ``visionkit train`` is told."""
    request, about = study.request, study.about
    folder = study.folder_of(trial.number)
    given = {k: str(v) for k, v in request.settings["pruner"].items()}
    pruner = ",".join(f"{k}:{v}" for k, v in given.items())
    metric = request.settings["metric"]
    callback = [
        "_target_:visionkit.callbacks.trial.Trial",
        f"folder:{quoted(str(request.folder))}",
        f"number:{trial.number}",
        f"metric:{'null' if metric is None else quoted(metric)}",
        f"pruner:{{{pruner}}}",
        f"epochs:{'null' if about['epochs'] is None else about['epochs']}",
    ]
    words = request.trial_words(trial.params)
    words += [f"run_dir={folder}", f"+callbacks.trial={{{','.join(callback)}}}"]
    if any((folder / "checkpoints").glob("*.ckpt")):
        words.append("resume=auto")
    flags = ["--config-dir", request.user_dir] if request.user_dir else []
    return [*flags, *words]


def _process(machine: Machine, worker: int, words: Sequence[str], lock: int, output: int) -> int:
    """Train in a process, and return its exit code.

    It has a session of its own, so that Ctrl-C reaches it once, by this process.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "visionkit", "train", *words],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        env=machine.environment(worker),
        pass_fds=(lock,),
        start_new_session=True,
    )
    machine.running[worker] = process
    try:
        if machine.stopping.is_set():  # since the last look
            process.send_signal(signal.SIGINT)
        return process.wait()
    finally:
        del machine.running[worker]


def why(code: int | None, log: Path) -> str:
    """Why a training run failed, in a line."""
    if code == -signal.SIGKILL:
        return "its process was ended by the system, perhaps for want of memory"
    text = log.read_text(encoding="utf-8", errors="replace").splitlines()
    errors = [line.removeprefix("error: ") for line in text if line.startswith("error: ")]
    if code == 0:
        return "no figure was measured: each was no number, or there was no validation"
    return (errors or text or ["it said nothing"])[-1][:300]


def _figure(study: Study, figures: Mapping[int, float]) -> str:
    best = study.better(figures.values())
    return f"{study.about['metric']} {best:.4f}"


def short(value: Any) -> str:
    """A value of a key in few letters."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


@contextlib.contextmanager
def stopping_on_signals() -> Iterator[None]:
    """Let SIGTERM and a lost terminal do what Ctrl-C does, so that no trial is left running.

    Where this process is deaf to Ctrl-C, as in a shell's background, trials hear it all the same.
    """

    def stop(number: int, _: Any) -> None:
        if number == signal.SIGHUP:  # shells send it once more, and twice would end trials unsaved
            signal.signal(number, lambda *_: None)
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heard = [signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup has it
        heard.append(signal.SIGHUP)
    before = {number: signal.signal(number, stop) for number in heard}
    deaf = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    if deaf:  # processes inherit that a signal is ignored, but no function
        signal.signal(signal.SIGINT, lambda *_: None)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if deaf:
            signal.signal(signal.SIGINT, signal.SIG_IGN)


def run_all(study: Study, machine: Machine, end: float, tell: Tell) -> bool:
    """Run trials on all workers; return False if a person stopped it.

    It goes on where nobody listens any more.
    """
    failed: list[BaseException] = []

    def say(line: str) -> None:
        with contextlib.suppress(OSError, SystemExit):  # rich exits where a pipe is gone
            tell(line)

    def one(worker: int) -> None:
        try:
            work(study, machine, worker, end, say)
        except BaseException as error:
            failed.append(error)
            if not machine.stopping.is_set():  # twice would end those that are saving
                machine.stop()

    threads = [threading.Thread(target=one, args=(n,)) for n in range(machine.workers)]
    with stopping_on_signals():
        for thread in threads:
            thread.start()
        alive, asked = True, False
        while alive or asked:
            try:
                if asked:
                    asked = False
                    machine.stop()
                    say("stopping; trials that run are saved first (once more ends them at once)")
                alive = any(thread.is_alive() for thread in threads)
                time.sleep(_STEP if alive else 0)
            except KeyboardInterrupt:  # also in the midst of telling
                asked = True
    if failed:
        raise failed[0]
    return not machine.stopping.is_set()
