"""Networks of checkpoints: compiled, and counted."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from visionkit.benchmarking.cases import Case
from visionkit.benchmarking.stages import do, one_look, work_for
from visionkit.checkpoint import Loaded
from visionkit.models.base import Network
from visionkit.runtimes.network import NetworkRuntime


def predicting(network: Network) -> list[nn.Module]:
    """The parts that prediction calls: all of a network, or of a GAN what makes its pictures."""
    generator: Any = getattr(network, "generator", None)
    if generator is None:
        return [network]
    return list(generator.values()) if isinstance(generator, nn.ModuleDict) else [generator]


def compile_network(network: Network) -> None:
    """Let ``torch.compile`` take the layers, for one size at a time; decoding stays as it is."""
    for part in predicting(network):
        part.compile(dynamic=False)


def count_parameters(network: Network) -> int:
    """Numbers that prediction looks up: of a GAN its critic's don't count."""
    return sum(p.numel() for part in predicting(network) for p in part.parameters())


def count_flops(loaded: Loaded, canvas: tuple[int, int], files: Sequence[Path]) -> int:
    """Count the operations of one picture's prediction; a product and its sum are two.

    Args:
        loaded: a checkpoint's content.
        canvas: height and width.
        files: pictures, of which the first is taken; none where pictures are made from noise.
    """
    runtime = NetworkRuntime(loaded, "cpu")
    work = work_for(runtime, Case(*canvas, 1), iter(files))
    with FlopCounterMode(display=False) as counter:
        do(runtime, work, one_look(runtime.options))
    return int(counter.get_total_flops())
