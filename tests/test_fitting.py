"""The ways in which training ends."""

from types import SimpleNamespace

import pytest
from lightning.pytorch.utilities.exceptions import SIGTERMException

from visionkit.fitting import fit


@pytest.mark.parametrize(
    ("first", "last", "resume", "told"),
    [
        (True, True, "a.ckpt", "go on with resume={folder}/last.ckpt"),
        (True, False, "a.ckpt", "go on with resume=a.ckpt"),
        (True, False, None, "there is no checkpoint yet"),
        (False, True, None, None),
    ],
)
def test_what_sigterm_leaves_is_told_by_the_first_rank(tmp_path, caplog, first, last, resume, told):
    def stopped(*args, **options):
        raise SIGTERMException

    if last:
        (tmp_path / "last.ckpt").touch()
    trainer = SimpleNamespace(fit=stopped, is_global_zero=first)
    with pytest.raises(SystemExit) as stop:
        fit(trainer, None, None, resume, tmp_path / "last.ckpt")
    assert stop.value.code == 143
    lines = [] if told is None else [f"stopped by SIGTERM; {told.format(folder=tmp_path)}"]
    assert caplog.messages == lines
