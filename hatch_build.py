"""Puts conf/ inside the wheel; an editable install reads it from the clone, where it may change."""

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ConfInWheel(BuildHookInterface):
    """Adds conf/ to the package, unless the install is editable."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add to what is built; ``version`` is ``standard`` or ``editable``."""
        if version == "standard":
            build_data["force_include"]["conf"] = "visionkit/conf"
