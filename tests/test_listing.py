"""``visionkit list``: the groups by name, and the table of backbones."""

import pytest
from rich.console import Console

from visionkit import cli, compose, listing
from visionkit.errors import ConfigError

LENET = "_target_: visionkit.backbones.lenet.LeNet\n"
FILES = {
    "config.yaml": "",
    "backbone/lenet.yaml": f"# small\n{LENET}weights: none\n",
    "backbone/wide.yaml": f"# wide\n{LENET}width: 10\nweights: gone.ckpt\n",
    "backbone/wrong.yaml": f"# wrong\n{LENET}wdith: 10\n",
    "backbone/regnet.yaml": (
        "# asks its tensors for values while it is built\n"
        "_target_: visionkit.backbones.torchvision.TorchvisionBackbone\nname: regnet_y_400mf\n"
    ),
    "neck/none.yaml": "# @package _global_\n# no neck\n",
    "data/pictures.yaml": "# pictures\n",
}


@pytest.fixture
def conf(tmp_path, monkeypatch):
    for name, text in FILES.items():
        file = tmp_path / "conf" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    monkeypatch.setattr(compose, "config_dir", lambda: tmp_path / "conf")
    monkeypatch.setattr(listing, "Console", lambda: Console(width=120))
    return tmp_path


def test_backbones_with_their_figures(conf, capsys):
    assert cli.main(["list", "backbones"]) == 0
    out = capsys.readouterr().out
    rows = {line.split()[1]: line.split("│")[1:-1] for line in out.splitlines() if "│" in line}
    cells = {name: [cell.strip() for cell in row] for name, row in rows.items()}
    # 456 + 2416 + 48120 parameters; multiply-adds of three 5 x 5 convolutions
    adds = 224**2 * 25 * (3 * 6 + 6 * 16 / 4 + 16 * 120 / 16)
    assert cells["lenet"] == ["lenet", "0.05", f"{2 * adds / 1e9:.2f}", "2 4", "none"]
    wide = 60 * (3 * 25 + 1) + 160 * (60 * 25 + 1) + 1200 * (160 * 25 + 1)
    assert cells["wide"][:2] == ["wide", f"{wide / 1e6:.2f}"]  # its weights aren't asked for
    assert "backbone.wdith: LeNet has no such argument" in cells["wrong"][-1]
    assert cells["regnet"][1:4] == ["3.90", "0.80", "2 4 8 16 32"]
    assert cells["regnet"][4].startswith("torchvision")
    assert "a multiply-add counted as two" in out


@pytest.mark.parametrize("words", [["neck"], ["necks"]])
def test_a_group_by_its_name(conf, capsys, words):
    assert cli.main(["list", *words]) == 0
    out = capsys.readouterr().out
    assert "neck=none" in out
    assert "no neck" in out
    assert "@package" not in out
    assert "pictures" not in out


@pytest.mark.parametrize("words", [["data"], ["data", "sets"]])
def test_data_sets(conf, capsys, words):
    assert cli.main(["list", *words]) == 0
    assert "data=pictures" in capsys.readouterr().out


def test_ones_own_folder_is_listed_too(conf, capsys):
    (conf / "mine" / "neck").mkdir(parents=True)
    (conf / "mine" / "neck" / "long.yaml").write_text("# a long one\n")
    (conf / "mine" / "neck" / "none.yaml").write_text("# replaced\n")
    assert cli.main(["list", "necks", "--config-dir", str(conf / "mine")]) == 0
    out = capsys.readouterr().out
    assert "neck=long" in out
    assert "replaced" in out


def test_an_unknown_list_is_named_with_the_nearest(conf):
    with pytest.raises(ConfigError, match=r"^bakbones: .*did you mean 'backbones'.*data, neck$"):
        listing.show(["bakbones"])
