"""visionkit: a backbone is an interchangeable part; a task is a head, an evaluator and data."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from visionkit.predictor import load

__version__ = "0.1.0"
__all__ = ["__version__", "load"]


def __getattr__(name: str) -> Any:
    """Import what is heavy only when it is asked for."""
    if name == "load":
        from visionkit.predictor import load

        return load
    raise AttributeError(f"module 'visionkit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
