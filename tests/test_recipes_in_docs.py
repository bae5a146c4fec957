"""Files of a user's own that the documents show: they compose, and nothing in them is refused."""

import re
from pathlib import Path

import pytest

from visionkit.compose import compose
from visionkit.config import check

ROOT = Path(__file__).resolve().parents[1]
SHOWN = [
    pytest.param(page.name, text, id=f"{page.stem}-{n}")
    for page in sorted((ROOT / "docs").glob("*.md"))
    for n, text in enumerate(re.findall(r"```yaml\n(# @package .*?)```", page.read_text(), re.S))
]


@pytest.mark.parametrize(("page", "text"), SHOWN)
def test_a_recipe_composes(page, text, tmp_path):
    group = re.match(r"# @package (\S+)", text).group(1).replace("_global_", "experiment")
    (tmp_path / group).mkdir()
    (tmp_path / group / "shown.yaml").write_text(text)
    task = "multitask" if page == "multitask.md" else "detection"
    words = [f"task={task}", f"{group}=shown", f"run_dir={tmp_path}/run", "trainer=cpu"]
    check(compose([*words, f"data.root={tmp_path}"], user_dir=tmp_path))
