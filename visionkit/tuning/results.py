"""What a search found: as files, and on the screen."""

import csv
import math
import shlex
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf

from visionkit.compose import attempt, config_dir, groups
from visionkit.overrides import group_of_part, value_of
from visionkit.report import replacing, write_json
from visionkit.tuning.request import Request
from visionkit.tuning.study import Study
from visionkit.tuning.trials import short

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial
    from rich.console import Console

FORMAT = 1
_SHOWN = 10
_NOTES = ("seconds", "error")


def best_of(study: Study) -> "FrozenTrial | None":
    """The best trial that was trained to its end, the first of equals."""
    done = [t for t in study.trials() if t.state.name == "COMPLETE" and _told(t.value) is not None]
    sign = -1.0 if study.about["mode"] == "max" else 1.0
    return min(done, key=lambda t: sign * float(t.value or 0.0), default=None)


def importance(study: Study) -> dict[str, float]:
    """How much of what makes trials good each key accounts for, 0..1, the greatest first.

    By PED-ANOVA (Watanabe, Bansal & Hutter 2023) over trials that were trained to their end; empty
    where there are fewer than ten, or where they are all alike.
    """
    import optuna

    done = [t for t in study.trials() if t.state.name == "COMPLETE"]
    if len(done) < 10 or len(study.request.space) < 2:
        return {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = optuna.importance.get_param_importances(
                study.study, evaluator=optuna.importance.PedAnovaImportanceEvaluator()
            )
        except (ValueError, RuntimeError):
            return {}
    return (
        {k: float(v) for k, v in found.items()} if all(map(math.isfinite, found.values())) else {}
    )


def _told(figure: float | None) -> float | None:
    """A figure, None where it is no finite number, which JSON can't hold."""
    return figure if figure is not None and math.isfinite(figure) else None


def row(study: Study, trial: "FrozenTrial") -> dict[str, Any]:
    """A trial as plain data."""
    figures = trial.intermediate_values
    best = study.better(figures.values()) if figures else None
    return {
        "trial": trial.number,
        "state": trial.state.name.lower(),
        study.about["metric"]: _told(best),
        "epochs": max(figures, default=0),
        "seconds": trial.user_attrs.get("seconds"),
        "params": dict(trial.params),
        "error": trial.user_attrs.get("error"),
    }


def write(study: Study) -> dict[str, Any]:
    """Write ``study.json``, ``trials.csv`` and ``experiment/best.yaml``, and return the first.

    Returns:
        ``format``, ``metric``, ``mode``, ``words``, ``space``, ``trials`` (see :func:`row`),
        ``importance``, ``best`` (a trial's row with ``command`` and ``experiment``, or None).
    """
    request = study.request
    folder = request.folder
    rows = [row(study, trial) for trial in study.trials() if trial.state.name != "WAITING"]
    found: dict[str, Any] = {
        "format": FORMAT,
        "metric": study.about["metric"],
        "mode": study.about["mode"],
        "words": list(request.words),
        "space": {key: str(dimension) for key, dimension in request.space.items()},
        "trials": rows,
        "importance": importance(study),
        "best": None,
    }
    best = best_of(study)
    if best is not None:
        words = winning_words(request, best.params)
        experiment = write_experiment(request, words)
        flags = ["--config-dir", request.user_dir] if request.user_dir else []
        found["best"] = row(study, best) | {
            "checkpoint": str(study.folder_of(best.number) / "checkpoints" / "best.ckpt"),
            "command": shlex.join(["visionkit", "train", *flags, *words]),
            "experiment": None if experiment is None else str(experiment),
        }
    write_json(folder / "study.json", found, indent=1)
    _write_table(folder / "trials.csv", rows, request)
    return found


def _write_table(path: Path, rows: list[dict[str, Any]], request: Request) -> None:
    with replacing(path) as file:
        head = [key for key in (rows[0] if rows else {}) if key != "params"]
        table = csv.writer(file, lineterminator="\n")
        at = head.index("error") if head else 0
        table.writerow([*head[:at], *request.space, *head[at:]])
        for each in rows:
            cells = [each[key] for key in head]
            values = [each["params"].get(key) for key in request.space]
            table.writerow(["" if c is None else c for c in [*cells[:at], *values, *cells[at:]]])


def winning_words(request: Request, params: dict[str, Any]) -> list[str]:
    """The words of a training run with these values, options of groups first."""
    words = request.trial_words(params)
    known = groups([config_dir(), *([Path(request.user_dir)] if request.user_dir else [])])
    return sorted(words, key=lambda word: word.lstrip("+~").partition("=")[0] not in known)


def write_experiment(request: Request, words: list[str]) -> Path | None:
    """Write a recipe that amounts to these words: ``experiment/best.yaml`` of the study's folder.

    Returns:
        The file; None where no recipe says the same, as with words that take keys away or a
        ``--config-dir`` (the command line knows one only).
    """
    path = request.folder / "experiment" / "best.yaml"
    path.unlink(missing_ok=True)
    known = groups([config_dir()])
    if request.user_dir:
        return None
    recipes: list[str] = []
    defaults: list[Any] = []
    values: list[str] = []
    for word in words:
        key, _, option = word.partition("=")
        if key == "debug":
            return None
        part = group_of_part(key, known)
        if key == "experiment":
            named = value_of(word)
            recipes += named if isinstance(named, list) else [named] if named else []
        elif key in known:
            named = option if option[:1] != "[" else value_of(word)
            defaults.append({f"override /{key}": None if option == "null" else named})
        elif part is not None:
            defaults.append({f"override /{part}@{key}": option})
        else:
            values.append(word)
    cfg = OmegaConf.create({"defaults": [*recipes, *defaults]})
    try:
        for word in values:
            key, equals, _ = word.partition("=")
            if not equals or key[0] == "~":
                return None
            OmegaConf.update(cfg, key.lstrip("+"), value_of(word), force_add=True)
    except Exception:  # a word that Hydra alone understands
        return None
    text = OmegaConf.to_yaml(cfg)
    with replacing(path) as file:
        file.write(
            f"# @package _global_\n# the best trial of the search in {request.folder}\n{text}"
        )
    if _same(request, words):
        return path
    path.unlink()
    return None


def _same(request: Request, words: list[str]) -> bool:
    """Whether the recipe says what the words say."""
    folder = "run_dir=x"
    ours, wrong = attempt(["experiment=best", folder], user_dir=request.folder)
    theirs, _ = attempt([*words, folder])
    if wrong or ours is None or theirs is None:
        return False
    plain = (OmegaConf.to_container(cfg, resolve=False) for cfg in (ours, theirs))
    one, other = plain
    return bool(one == other)


def show(study: Study, found: dict[str, Any], console: "Console") -> None:
    """Print the best trials, and how to train the best one."""
    from rich.table import Table
    from rich.text import Text

    metric = study.about["metric"]
    sign = -1.0 if study.about["mode"] == "max" else 1.0
    rows = [r for r in found["trials"] if r[metric] is not None]
    rows.sort(key=lambda r: (r["state"] != "complete", sign * r[metric]))
    if rows:
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
        for head in ("trial", metric, "epochs", "seconds", *study.request.space, ""):
            table.add_column(Text(head), justify="right" if head else "left")
        for each in rows[:_SHOWN]:
            values = [short(each["params"].get(key, "-")) for key in study.request.space]
            spent = each["seconds"]
            cells = [f"{each[metric]:.4f}", str(each["epochs"]), "-" if spent is None else
                     f"{spent:.0f}"]  # fmt: skip
            ended = {"pruned": "ended early", "complete": "", "running": "stopped"}.get(
                each["state"], each["state"]
            )
            table.add_row(str(each["trial"]), *cells, *map(Text, values), ended)
        console.print(table)
    states = [r["state"] for r in found["trials"]]
    counts = {"complete": "trained to the end", "pruned": "ended early", "fail": "failed",
              "running": "stopped"}  # fmt: skip
    parts = [f"{states.count(s)} {words}" for s, words in counts.items() if s in states]

    def line(words: str) -> None:
        console.print(words, highlight=False, markup=False, soft_wrap=True)

    line(f"{len(states)} trial{'s' * (len(states) != 1)}: {', '.join(parts)}")
    weights = found["importance"]
    if weights:
        line("what matters: " + ", ".join(f"{k} {v:.2f}" for k, v in weights.items()))
    best = found["best"]
    if best is not None:
        line(f"best: trial {best['trial']}, {metric} {best[metric]:.4f}: {best['checkpoint']}")
        line(f"to train it again: {best['command']}")
        if best["experiment"]:
            line(f"or: visionkit train --config-dir {study.request.folder} experiment=best")
    line(f"everything is in {study.request.folder}")
