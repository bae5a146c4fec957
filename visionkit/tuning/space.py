"""What a search may choose from: a range or a few values for a key of the configuration."""

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from visionkit.errors import ConfigError

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

_CALL = re.compile(r"\s*([a-z]+)\s*\((.*)\)\s*", re.DOTALL)
_LISTED = 20_000
"""Values of a space up to which they are listed."""
_FORMS = "log(LOW, HIGH), float(LOW, HIGH), int(LOW, HIGH) or choice(A, B, ...)"


@dataclass(frozen=True)
class Number:
    """A range of numbers, both ends included.

    Attributes:
        low: the least.
        high: the greatest.
        whole: whether only integers are meant.
        log: whether each factor is as likely as any other, instead of each difference.
        step: between two neighbours, from ``low`` on; None for any number.
    """

    low: float
    high: float
    whole: bool = False
    log: bool = False
    step: float | None = None

    def __str__(self) -> str:
        ends = ", ".join(self.word(v) for v in (self.low, self.high))
        if self.log and not self.whole:
            return f"log({ends})"
        third = ", log" if self.log else "" if self.step is None else f", {self.word(self.step)}"
        return f"{'int' if self.whole else 'float'}({ends}{third})"

    def samples(self) -> list[str]:
        """Both ends and one between them, as the command line has them."""
        middle = math.sqrt(self.low * self.high) if self.log else (self.low + self.high) / 2
        if self.step is not None:
            middle = self.low + round((middle - self.low) / self.step) * self.step
        return list(dict.fromkeys(self.word(v) for v in (self.low, middle, self.high)))

    def word(self, value: Any) -> str:
        """A value as the command line has it."""
        return str(round(value)) if self.whole else repr(float(value))

    def value_of(self, setting: Any) -> float | None:
        """What of the range a setting is, None if it isn't in it."""
        if isinstance(setting, bool) or not isinstance(setting, int | float):
            return None
        if not self.low <= setting <= self.high or (self.whole and setting != round(setting)):
            return None
        if self.step is not None:
            steps = (setting - self.low) / self.step
            if not math.isclose(steps, round(steps), abs_tol=1e-8):
                return None
        return int(setting) if self.whole else float(setting)

    def count(self) -> float:
        """How many values there are."""
        if self.step is None and not self.whole:
            return math.inf
        return round((self.high - self.low) / (self.step or 1)) + 1

    def nth(self, n: int) -> Any:
        """One of them, from 0 on."""
        value = _steps(self.low, self.step or 1, n)
        return round(value) if self.whole else value

    def place(self, value: Any) -> int:
        """Which of them a value is."""
        return round((float(value) - self.low) / (self.step or 1))

    def distribution(self) -> "BaseDistribution":
        """The same as Optuna has it."""
        from optuna.distributions import FloatDistribution, IntDistribution

        if self.whole:
            step = 1 if self.step is None else int(self.step)
            return IntDistribution(int(self.low), int(self.high), log=self.log, step=step)
        return FloatDistribution(self.low, self.high, log=self.log, step=self.step)


@dataclass(frozen=True)
class Choice:
    """A few values.

    Attributes:
        values: as the command line has them: ``adamw``, ``null``, ``[320,640]``.
    """

    values: tuple[str, ...]

    def __str__(self) -> str:
        return f"choice({', '.join(self.values)})"

    def samples(self) -> list[str]:
        """All of them."""
        return list(self.values)

    def word(self, value: Any) -> str:
        """A value as the command line has it."""
        return str(value)

    def count(self) -> float:
        """How many values there are."""
        return len(self.values)

    def nth(self, n: int) -> Any:
        """One of them, from 0 on."""
        return self.values[n]

    def place(self, value: Any) -> int:
        """Which of them a value is."""
        return self.values.index(value)

    def distribution(self) -> "BaseDistribution":
        """The same as Optuna has it."""
        from optuna.distributions import CategoricalDistribution

        return CategoricalDistribution(self.values)


Dimension = Number | Choice
Space = dict[str, Dimension]
"""What each key may be, by its dotted path."""


def untried(space: Space, tried: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]] | None:
    """Return the values of a space that weren't tried; None where they are too many to list.

    Args:
        space: what may be chosen.
        tried: values by key.
    """
    counts = [dimension.count() for dimension in space.values()]
    if math.prod(counts) > _LISTED:
        return None
    whole = [params for params in tried if params.keys() == space.keys()]
    done = {tuple(d.place(params[key]) for key, d in space.items()) for params in whole}
    return [
        {key: dimension.nth(n) for (key, dimension), n in zip(space.items(), places, strict=True)}
        for places in itertools.product(*(range(int(c)) for c in counts))
        if places not in done
    ]


def parse(key: str, text: str) -> Dimension:
    """Read ``log(1e-4, 1e-2)``, ``float(0, 1)``, ``int(1, 9, step=2)`` or ``choice(a, b)``.

    ``float`` and ``int`` take a third value: the step (``0.1`` or ``step=0.1``), or ``log``.

    Args:
        key: that it is for, for messages.
        text: as people write it.

    Raises:
        ConfigError: it can't be read, or the range is empty.
    """
    where = f"space.{key}"
    match = _CALL.fullmatch(text)
    if match is None or match[1] not in ("log", "float", "int", "choice"):
        raise ConfigError(f"{where}: {text!r} is no range; write {_FORMS}")
    name, arguments = match[1], split(match[2])
    if name == "choice":
        if len(set(arguments)) < 2 or "" in arguments:
            raise ConfigError(f"{where}: {text!r} has fewer than two values to choose from")
        return Choice(tuple(dict.fromkeys(arguments)))
    if len(arguments) not in ((2,) if name == "log" else (2, 3)):
        raise ConfigError(f"{where}: {text!r} must have a low and a high end; write {_FORMS}")
    third = arguments[2].replace(" ", "").removeprefix("step=") if arguments[2:] else ""
    log = name == "log" or third in ("log", "log=true")
    low, high, *rest = (
        _number(where, word) for word in [*arguments[:2], *([third] if third and not log else [])]
    )
    return _range(where, text, low, high, rest[0] if rest else None, name == "int", log)


def _range(
    where: str, text: str, low: float, high: float, step: float | None, whole: bool, log: bool
) -> Number:
    """The range, if it is one."""
    least = 1 if whole else 0
    if not low < high:
        raise ConfigError(f"{where}: {text!r} is empty; the low end must be below the high one")
    if log and (low < least or low == 0):
        raise ConfigError(f"{where}: {text!r} is over factors, so its low end must be above 0")
    if whole and any(v is not None and v != round(v) for v in (low, high, step)):
        raise ConfigError(
            f"{where}: {text!r} is of integers; give whole numbers, or use float(...)"
        )
    if step is not None:
        if not 0 < step <= high - low:
            raise ConfigError(f"{where}: {text!r} has a step that doesn't fit between its ends")
        high = _steps(low, step, math.floor((high - low) / step + 1e-9))
    return Number(low, high, whole, log, step)


def _steps(low: float, step: float, count: int) -> float:
    """So many steps above ``low``, in decimals, as people and Optuna write them."""
    return float(Decimal(repr(low)) + count * Decimal(repr(step)))


def split(text: str) -> list[str]:
    """Split at commas that are in neither brackets nor quotes."""
    parts, depth, quote, start = [], 0, "", 0
    for at, letter in enumerate(text):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        elif letter in "([{":
            depth += 1
        elif letter in ")]}":
            depth -= 1
        elif letter == "," and not depth:
            parts.append(text[start:at].strip())
            start = at + 1
    return [*parts, text[start:].strip()]


def _number(where: str, word: str) -> float:
    try:
        value = float(word)
    except ValueError:
        raise ConfigError(f"{where}: {word!r} is no number; write {_FORMS}") from None
    if not math.isfinite(value):
        raise ConfigError(f"{where}: {word!r} is no end of a range; give a finite number")
    return value


def from_words(words: Sequence[str]) -> dict[str, str]:
    """Read ``space.KEY=RANGE`` words and ``space=FILE``; later ones replace earlier ones.

    Raises:
        ConfigError: a file can't be read or holds something else, or a word has no value.
    """
    found: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not value:
            raise ConfigError(f"{word}: has no range; write {word.partition('=')[0]}=RANGE")
        if key == "space":
            found |= _from_file(value)
        else:
            quotes = len(value) > 1 and value[0] == value[-1] and value[0] in "'\""
            found[key.removeprefix("space.")] = value[1:-1] if quotes else value
    return found


def _from_file(path: str) -> dict[str, str]:
    """Read a YAML mapping from keys to ranges; a list is a choice."""
    import yaml

    try:
        with open(path, encoding="utf-8") as file:
            content = yaml.safe_load(file)
    except OSError as error:
        raise ConfigError(
            f"space: {path}: can't be read ({error.strerror}); give a YAML file, or single ranges "
            "as space.optimizer.lr='log(1e-4, 1e-2)'"
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"space: {path}: broken YAML; mend that file") from error
    if not isinstance(content, dict):
        raise ConfigError(f"space: {path}: holds no mapping from keys to ranges; write lines as "
                          "optimizer.lr: log(1e-4, 1e-2)")  # fmt: skip
    return {str(key): _text(value) for key, value in content.items()}


def _text(value: Any) -> str:
    if isinstance(value, list):
        return f"choice({', '.join(map(_text_of, value))})"
    return str(value)


def _text_of(value: Any) -> str:
    if isinstance(value, list):
        return f"[{','.join(map(_text_of, value))}]"
    named = {None: "null", True: "true", False: "false"}
    return named[value] if value is None or isinstance(value, bool) else str(value)
