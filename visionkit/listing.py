"""``visionkit list``: what there is to choose from."""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from visionkit.argtypes import nearest
from visionkit.errors import ConfigError, VisionkitError
from visionkit.targets import first_line

if TYPE_CHECKING:
    from visionkit.backbones.base import Backbone

TITLES = {
    "task": "tasks",
    "model": "models",
    "backbone": "backbones",
    "head": "heads",
    "generator": "generators",
    "data": "data sets",
    "experiment": "experiments",
}
"""What is listed where nothing is asked for, by group."""


def show(words: Sequence[str], user_dir: str | None = None) -> None:
    """Print the options of the group that ``words`` names, or of the usual groups.

    Args:
        words: such as ``backbones`` or ``data sets``; a group's own name will do too.
        user_dir: a folder with more groups and options, beside those of visionkit.

    Raises:
        ConfigError: there is no such group.
    """
    from visionkit.compose import config_dir, groups

    folders = [config_dir(), *([Path(user_dir)] if user_dir else [])]
    found = groups(folders)
    console = Console()
    if not words:
        for group in TITLES:
            if group in found:
                console.print(_options(group, found[group], folders))
        return
    group = _named(" ".join(words), found)
    if group == "backbone":
        from visionkit.backbones.base import PROBE_SIDE

        with console.status("measuring ..."):
            table = _backbones(found[group], user_dir)
        console.print(table)
        console.print(
            "parameters in millions and GFLOPs, without a classifier;\n"
            f"GFLOPs are of {PROBE_SIDE} x {PROBE_SIDE} pixels, a multiply-add counted as two "
            "by torch.utils.flop_counter;\n"
            "weights are what backbone.weights=default takes, downloaded once",
            style="dim",
        )
    else:
        console.print(_options(group, found[group], folders))


def _named(text: str, found: Mapping[str, Sequence[str]]) -> str:
    names = {name: group for group in found for name in (f"{group}s", group)}
    names |= {title: group for group, title in TITLES.items() if group in found}
    if text not in names:
        raise ConfigError(f"{text}: there is no such list{nearest(text, names, 0)}; visionkit list "
                          f"takes one of: {', '.join(found)}")  # fmt: skip
    return names[text]


def _options(group: str, options: Sequence[str], folders: Sequence[Path]) -> Table:
    title = TITLES.get(group, group)
    table = Table(title=title, title_justify="left", title_style="bold", show_header=False)
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(overflow="fold")
    for name in options:
        file = [f for folder in folders if (f := folder / group / f"{name}.yaml").is_file()][-1]
        table.add_row(f"{group}={name}", _description(file))
    return table


def _description(file: Path) -> str:
    """Return the first comment of a YAML file that isn't Hydra's package line."""
    for line in file.read_text(encoding="utf-8").splitlines():
        if line.startswith("#") and not line.startswith("# @package"):
            return line.lstrip("# ").strip()
    return ""


def _backbones(options: Sequence[str], user_dir: str | None) -> Table:
    table = Table(title=TITLES["backbone"], title_justify="left", title_style="bold")
    table.add_column("backbone=", style="cyan", no_wrap=True)
    table.add_column("M", justify="right")
    table.add_column("GFLOPs", justify="right")
    table.add_column("strides")
    table.add_column("weights", overflow="fold")
    for name in options:
        try:
            node = option_node("backbone", name, user_dir)
            backbone, flops = _measured(node | ({"weights": "none"} if "weights" in node else {}))
        except VisionkitError as error:
            table.add_row(name, "", "", "", first_line(error))
            continue
        parameters = sum(p.numel() for p in backbone.parameters()) / 1e6
        strides = " ".join(str(f.stride) for f in backbone.features)
        table.add_row(
            name, f"{parameters:.2f}", f"{flops / 1e9:.2f}", strides, backbone.published()
        )
    return table


def option_node(group: str, option: str, user_dir: str | None = None) -> dict[str, Any]:
    """Compose one option of a group, without the rest of a configuration."""
    from visionkit.build import plain
    from visionkit.compose import compose

    with warnings.catch_warnings():  # Hydra's, of an option that stands alone
        warnings.simplefilter("ignore", UserWarning)
        node: dict[str, Any] = plain(compose([], f"{group}/{option}", user_dir))[group]
    return node


def _measured(node: Mapping[str, Any]) -> tuple["Backbone", int]:
    """Build a backbone and count its work, on the meta device if it can be built there."""
    import torch

    from visionkit.backbones.base import Backbone
    from visionkit.build import build, expect

    def measured() -> tuple[Backbone, int]:
        backbone: Backbone = expect(build(node, "backbone"), Backbone, "backbone")
        return backbone, count_flops(backbone)

    try:
        with torch.device("meta"):  # shapes without arithmetic
            return measured()
    except Exception:  # whatever a layer says that asks a tensor for its values
        return measured()


def count_flops(backbone: "Backbone") -> int:
    """Count the operations for the measuring picture; a multiplication and its addition are two."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from visionkit.backbones.base import PROBE_SIDE
    from visionkit.backbones.probing import empty_run

    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        empty_run(backbone, PROBE_SIDE)
    return int(counter.get_total_flops())
