"""The figures of several parts of one network, each by its own evaluator."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from visionkit.about import BETWEEN
from visionkit.argtypes import nearest
from visionkit.build import call, expect
from visionkit.data.joint_index import JointIndex
from visionkit.errors import ConfigError
from visionkit.metrics.base import Evaluator
from visionkit.results import Joint, Result

SCORE = "score"
"""The mean of what each part is chosen by."""


class JointEvaluator(Evaluator):
    """Each part scored as a task of its own; figures are named ``detection/AP``.

    ``score`` is the mean over the parts of the figure that picks the best checkpoint in the part's
    own task: AP, mean IoU, and accuracy or, where a picture may have several classes, macro F1.
    Parts where it is undefined are left out.

    Args:
        index: the split.
        parts: makes the evaluator of each part from its index.
        monitor: the figure that picks the best checkpoint; None for ``score``.

    Raises:
        ConfigError: a part has no labels or no evaluator, or there is no such figure.
    """

    def __init__(
        self,
        index: JointIndex,
        parts: Mapping[str, Callable[..., Any]],
        monitor: str | None = None,
    ) -> None:
        if not isinstance(index, JointIndex):
            raise ConfigError(
                "evaluator: is for pictures with labels of several kinds; choose data=joint_shapes "
                "or another of the joint ones"
            )
        where = {name: one for one in index.sets for name in one.parts}
        odd = sorted(set(parts) - set(where))
        if odd or not parts:
            raise ConfigError(
                f"evaluator.parts{''.join(f'.{name}' for name in odd[:1])}: the data have labels "
                f"for {', '.join(where)}; name the same parts in data.layout and evaluator.parts"
            )
        self.parts: dict[str, Evaluator] = {}
        self._ids: dict[str, dict[int, int]] = {}
        for name, factory in parts.items():
            made = call(factory, f"evaluator.parts.{name}", index=where[name].of(name))
            self.parts[name] = expect(made, Evaluator, f"evaluator.parts.{name}")
        firsts = iter(index.image_ids.tolist())
        for one in index.sets:
            mine = [next(firsts) for _ in range(len(one))]
            for name in one.parts.keys() & parts.keys():
                self._ids[name] = dict(zip(mine, one.ids(name).tolist(), strict=True))
        self._choose(monitor)

    def _choose(self, monitor: str | None) -> None:
        """Take a figure that validation will give, and which way it gets better."""
        self.monitor, self.mode = SCORE, "max"
        if monitor in (None, SCORE):
            low = [name for name, part in self.parts.items() if part.mode != "max"]
            if low:
                raise ConfigError(
                    f"evaluator.monitor: {low[0]}/{self.parts[low[0]].monitor} gets better as it "
                    "falls, so there is no mean score; name one figure, such as that"
                )
            return
        name, _, figure = str(monitor).partition(BETWEEN)
        if name not in self.parts or not figure:
            known = ", ".join(f"{n}/{part.monitor}" for n, part in self.parts.items())
            raise ConfigError(f"evaluator.monitor: there is no {monitor!r}, there are {SCORE}, "
                              f"{known} and other figures of these parts")  # fmt: skip
        part = self.parts[name]
        if figure != part.monitor:
            there = part.compute()  # of no picture: their names
            part.reset()
            if figure not in there:
                near = nearest(str(monitor), [f"{name}/{k}" for k in there])
                near = near or f"; take {name}/{part.monitor}"
                raise ConfigError(f"evaluator.monitor: validation gives no {monitor!r}{near}")
        falls = part.mode == "min" if figure == part.monitor else figure in part.falling
        self.monitor, self.mode = str(monitor), "min" if falls else "max"

    @property
    def judged(self) -> tuple[str, ...]:
        """See :class:`Evaluator`."""
        return tuple(f"{n}/{figure}" for n, part in self.parts.items() for figure in part.judged)

    def reset(self) -> None:
        """Forget every result."""
        for part in self.parts.values():
            part.reset()

    def update(self, image_ids: Sequence[int], results: Sequence[Result]) -> None:
        """Take results; of each picture those count that there is a truth for."""
        for name, evaluator in self.parts.items():
            evaluator.detailed = self.detailed
            own = self._ids[name]
            mine = [
                (own[i], result.parts[name])
                for i, result in zip(image_ids, results, strict=True)
                if isinstance(result, Joint) and i in own
            ]
            if mine:
                evaluator.update([i for i, _ in mine], [result for _, result in mine])

    def compute(self) -> dict[str, float]:
        """Return the figures of all parts over all images seen since :meth:`reset`."""
        each = {name: part.compute() for name, part in self.parts.items()}
        found = _named(each)
        if all(part.mode == "max" for part in self.parts.values()):
            chosen = [each[name][part.monitor] for name, part in self.parts.items()]
            known = [value for value in chosen if value >= 0]  # -1 and NaN: undefined
            found = {SCORE: sum(known) / len(known) if known else -1.0} | found
        return found

    def details(self) -> dict[str, float]:
        """See :class:`Evaluator`."""
        return _named({name: part.details() for name, part in self.parts.items()})

    def state(self) -> object:
        """What this rank has seen, by part."""
        return {name: part.state() for name, part in self.parts.items()}

    def merge(self, states: Sequence[object]) -> None:
        """Replace what was seen by the union of ``states`` (one for each rank)."""
        for name, part in self.parts.items():
            part.merge([state[name] for state in states])  # type: ignore[index]

    def report(self, folder: Path) -> None:
        """Write predictions and plots of each part into a folder of its name."""
        for name, part in self.parts.items():
            (folder / name).mkdir(parents=True, exist_ok=True)
            part.report(folder / name)


def _named(figures: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    return {f"{part}/{k}": v for part, each in figures.items() for k, v in each.items()}
