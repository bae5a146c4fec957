"""The study: trials with their values and figures, in a file that several processes may share."""

import importlib.util
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from visionkit.errors import ConfigError
from visionkit.tuning.journal import JOURNAL, NAME, open_storage, trial_id
from visionkit.tuning.locks import held, take
from visionkit.tuning.request import Request
from visionkit.tuning.space import untried

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial

_LOCK = "study.lock"
_LIKE = "like"
_DRAWS = 100


def check_installed() -> None:
    """Refuse to begin without Optuna.

    Raises:
        ConfigError: the extra ``tune`` isn't installed.
    """
    if importlib.util.find_spec("optuna") is None:
        raise ConfigError(
            "tune: needs the package optuna; install it with pip install 'visionkit[tune]'"
        )


def make_pruner(settings: Mapping[str, Any], epochs: int | None) -> "BasePruner":
    """Make what ends trials that lead nowhere.

    Args:
        settings: ``pruner`` of the configuration.
        epochs: of a whole trial; None if it isn't known.
    """
    from optuna import pruners

    if settings["name"] == "median":
        return pruners.MedianPruner(settings["startup"], settings["warmup"])
    if settings["name"] == "hyperband":
        least = max(1, settings["warmup"])
        most: Any = max(epochs, least) if epochs else "auto"
        return pruners.HyperbandPruner(min_resource=least, max_resource=most)
    return pruners.NopPruner()


def make_sampler(settings: Mapping[str, Any], seed: int, number: int, several: bool) -> Any:
    """Make what chooses the values of a trial.

    Each trial has a sampler of its own, so that what is chosen depends on the trials before it and
    not on how often the search was stopped.

    Args:
        settings: ``sampler`` of the configuration.
        seed: of the search.
        number: of the trial.
        several: whether trials run beside one another, which are then taken for bad ones until
            they are done.
    """
    from optuna import samplers

    made: BaseSampler
    own = (seed * 1_000_003 + number) % 2**32
    if settings["name"] == "random":
        made = samplers.RandomSampler(own)
    else:
        with warnings.catch_warnings():  # what is new in Optuna is none of a person's business
            warnings.simplefilter("ignore")
            made = samplers.TPESampler(
                n_startup_trials=settings["startup"], seed=own, constant_liar=several
            )
    return made


class Study:
    """A study on disk; safe to use from several threads and processes.

    Args:
        request: what is searched.
        about: ``metric``, ``mode`` and ``epochs`` of its training runs, ``seed`` of the search.

    Raises:
        ConfigError: the folder holds a study of something else.
    """

    def __init__(self, request: Request, about: Mapping[str, Any]) -> None:
        import optuna

        self.request, self.about = request, dict(about)
        self.storage = open_storage(request.folder)
        self.study = optuna.create_study(
            storage=self.storage,
            study_name=NAME,
            direction="maximize" if about["mode"] == "max" else "minimize",
            load_if_exists=True,
            pruner=make_pruner(request.settings["pruner"], about["epochs"]),
        )
        self.distributions = {k: d.distribution() for k, d in request.space.items()}
        self._remember()

    @property
    def better(self) -> Any:
        """``max`` or ``min``."""
        return max if self.about["mode"] == "max" else min

    def _remember(self) -> None:
        """Note what the study is of; see that it still is."""
        mine = {"metric": self.about["metric"], "mode": self.about["mode"], **stored(self.request)}
        with held(self.request.folder / _LOCK):
            theirs = self.study.user_attrs
            if not theirs:
                for key, value in mine.items():
                    self.study.set_user_attr(key, value)
                theirs = mine
        for key, value in mine.items():
            if theirs.get(key) != value:
                raise ConfigError(
                    f"run_dir: {self.request.folder} holds a search with another {key} "
                    f"({_shown(theirs.get(key))} there, {_shown(value)} here); choose another "
                    "run_dir, or give only run_dir to go on with that one"
                )
        self.study.set_user_attr("settings", list(self.request.own))

    def trials(self) -> "list[FrozenTrial]":
        """All of them, by number; without those that were only drawn, see :meth:`next`."""
        return [t for t in self.study.get_trials(deepcopy=False) if _LIKE not in t.user_attrs]

    def trial(self, number: int) -> "FrozenTrial":
        """That of a number."""
        return self.study.get_trials(deepcopy=False)[number]

    def suggest_first(self, params: Mapping[str, Any]) -> None:
        """Let the first trial have these values; the others of it are chosen."""
        with held(self.request.folder / _LOCK):
            if params and not self.trials():
                self.study.enqueue_trial(dict(params))

    def next(self) -> tuple[int, int] | None:
        """Begin a trial, or take one that was begun and that nobody runs any more.

        Values that were tried are drawn again at random: the run would be the same.

        Returns:
            Its number, and the descriptor of a file that is held while it is run; None if there
            are enough, or no other values were found.
        """
        from optuna.trial import TrialState

        with held(self.request.folder / _LOCK):
            for trial in self.trials():
                lock = None
                if trial.state == TrialState.RUNNING:
                    lock = self._take(trial.number)
                if lock is not None and trial.params.keys() == self.distributions.keys():
                    return trial.number, lock
                if lock is not None:  # killed while it was begun
                    os.close(lock)
                    self.tell(trial.number, None, "fail", error="its values were never chosen")
            begun = [t for t in self.trials() if t.state != TrialState.WAITING]
            if len(begun) >= self.request.settings["trials"]:
                return None
            number = self._draw({_key(t.params): t.number for t in begun}, begun)
            if number is None:
                return None
            lock = self._take(number)
            assert lock is not None
            return number, lock

    def _draw(self, tried: Mapping[str, int], begun: "list[FrozenTrial]") -> int | None:
        """Begin a trial of values that weren't tried, None if none were found."""
        settings = self.request.settings
        how = settings["sampler"]
        for _ in range(_DRAWS):
            count = len(self.study.get_trials(deepcopy=False))
            self.study.sampler = make_sampler(
                how, self.about["seed"], count, settings["workers"] > 1
            )
            trial = self.study.ask(self.distributions)
            like = tried.get(_key(trial.params))
            if like is None:
                return trial.number
            self.tell(trial.number, None, "fail", **{_LIKE: like})
            left = untried(self.request.space, [t.params for t in begun])
            if left is not None:
                return self._begin(left, count)
            how = {"name": "random"}
        return None

    def _begin(self, left: "list[dict[str, Any]]", seed: int) -> int | None:
        """Begin a trial of one of these values, None if there are none."""
        if not left:
            return None
        self.study.enqueue_trial(Random(f"{self.about['seed']} {seed}").choice(left))
        number: int = self.study.ask(self.distributions).number
        return number

    @property
    def exhausted(self) -> bool:
        """Whether every value of the space was tried."""
        return untried(self.request.space, [t.params for t in self.trials()]) == []

    def folder_of(self, number: int) -> Path:
        """The run folder of a trial."""
        return self.request.folder / "trials" / f"{number:04d}"

    def _take(self, number: int) -> int | None:
        folder = self.folder_of(number)
        folder.mkdir(parents=True, exist_ok=True)
        return take(folder / "lock")

    def tell(self, number: int, value: float | None, state: str, **notes: Any) -> None:
        """End a trial.

        Args:
            number: of the trial.
            value: its figure; None unless it is complete.
            state: ``complete``, ``pruned`` or ``fail``.
            **notes: to be kept with it.
        """
        from optuna.trial import TrialState

        for key, note in notes.items():
            self.storage.set_trial_user_attr(trial_id(self.storage, number), key, note)
        self.study.tell(number, value, state=TrialState[state.upper()])


def _key(params: Mapping[str, Any]) -> str:
    """Tells values from others, but for the last bits of numbers."""
    plain = {k: f"{v:.12g}" if isinstance(v, float) else v for k, v in params.items()}
    return repr(sorted(plain.items()))


def remembered(folder: Path) -> dict[str, Any] | None:
    """What a folder's study was told; None if there is none."""
    if not (folder / JOURNAL).is_file():
        return None
    storage = open_storage(folder)
    for study in storage.get_all_studies():
        if study.study_name == NAME:
            return study.user_attrs or None
    return None


def stored(request: Request) -> dict[str, Any]:
    """What tells a search from another, as plain data."""
    space = {key: str(dimension) for key, dimension in request.space.items()}
    return {"words": list(request.words), "space": space, "config_dir": request.user_dir}


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{k}: {v}" for k, v in value.items())
    return " ".join(value) if isinstance(value, list) else str(value)
