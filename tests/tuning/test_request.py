import pytest

from visionkit.compose import compose
from visionkit.errors import ConfigError
from visionkit.tuning.request import (
    _own_values as own_values,
)
from visionkit.tuning.request import (
    check_request,
    goes_on,
    read_request,
    split_words,
)

LR = "space.optimizer.lr=log(1e-3, 0.1)"


@pytest.fixture
def words(squares, tmp_path):
    return ["task=detection", "data=coco", f"data.root={squares}", f"run_dir={tmp_path / 'study'}"]


def problems(words):
    with pytest.raises(ConfigError) as told:
        check_request(read_request(words))
    return told.value.problems


def test_words_go_to_the_search_its_space_or_its_runs():
    words = ["task=a", "trials=3", "space.b=int(1,2)", "pruner.name=none", "trainer=cpu", "seed=1"]
    assert split_words(words, "tune") == (
        ["trials=3", "pruner.name=none"],
        ["space.b=int(1,2)"],
        ["task=a", "trainer=cpu", "seed=1"],
    )


def test_a_request_and_the_words_of_a_trial(words, tmp_path):
    request = read_request([*words, LR, "space.optimizer=choice(muon, adamw)", "trials=7"])
    assert request.settings["trials"] == 7
    assert request.settings["sampler"] == {"name": "tpe", "startup": 10}
    assert request.folder == tmp_path / "study"
    made = request.trial_words({"optimizer.lr": 0.01, "optimizer": "adamw"})
    assert made == [*words[:3], "optimizer.lr=0.01", "optimizer=adamw"]


def test_what_the_configuration_has_itself_is_found_in_the_space(words):
    own = check_request(
        read_request(
            [*words, LR, "space.optimizer=choice(adamw, muon)", "space.ema.decay=float(0, 0.5)",
             "space.data.image_size=choice(320, 640, [320, 640])", "data.batch_size=4",
             "space.trainer.max_epochs=int(3, 9)"]
        )
    )  # fmt: skip
    # ema.decay is 0.99, beyond the range
    assert own == {
        "optimizer": "muon",
        "optimizer.lr": 0.002,
        "data.image_size": "640",
        "trainer.max_epochs": 9,
    }


def test_paths_that_hydra_cannot_read_are_values(words):
    choice = "space.backbone.weights=choice(none, runs/lr=0.1/best.ckpt)"
    (line,) = problems([*words, choice])
    assert line.startswith("space.backbone.weights: there is no file 'runs/lr=0.1/best.ckpt'")
    request = read_request([*words, choice])
    assert own_values(request, compose(request.words)) == {"backbone.weights": "none"}
    odd = read_request([*words, "space.data.image_size=choice(64=, 640)"])
    assert own_values(odd, compose(odd.words)) == {"data.image_size": "640"}


def test_every_problem_is_told_at_once_and_says_that_it_is_searched(words):
    told = problems(
        [*words, "space.optimizer.lrr=log(1e-4, 1)", "space.data.batch_size=float(1, 4)",
         "space.ema.decay=float(0, 2)", "space.optimizer=choice(muon, adamww)"]
    )  # fmt: skip
    assert told[0] == (
        "space.optimizer.lrr: there is no such key or group; did you mean 'optimizer.lr'?"
    )
    rest = sorted(told[1:])
    assert rest[0] == "space.data.batch_size: expected an integer, got 2.5"
    assert rest[1] == "space.ema.decay: must be between 0 and 1, got 2"
    assert rest[2].startswith("space.optimizer: there is no 'adamww'; did you mean 'adamw'?")
    assert len(told) == 4


def test_a_key_that_only_one_of_the_searched_options_has(words):
    (line,) = problems(
        [*words, "space.optimizer=choice(sgd, adamw)", "space.optimizer.momentum=float(0, 0.99)"]
    )
    assert line.startswith("space.optimizer.momentum: there is no such key") or (
        line.startswith("optimizer.momentum: there is no such key")
    )


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["space.task=choice(detection, segmentation)"], "space.task: can't be searched"),
        (["space.run_dir=choice(a, b)"], "space.run_dir: can't be searched"),
        (["space.evaluator.max_detections=choice([1], [2])"], "changes what is measured"),
        (["space.optimizer.lr=log(1,2)", "optimizer.lr=1"], "optimizer.lr: is given and searched"),
        ([LR, "resume=auto"], "resume: a search goes on when its run_dir is given"),
        ([LR, "metric=AP50"], "metric: give mode=max or mode=min with it"),
        ([LR, "trials=0"], "trials: must be at least 1, got 0"),
        ([LR, "pruner.name=medain"], "did you mean 'median'?"),
        ([LR, "pruner.wramup=1"], "pruner.wramup: there is no such key"),
        ([], "space: nothing to search"),
    ],
)
def test_requests_that_make_no_search(words, more, says):
    (line,) = problems([*words, *more])
    assert says in line


def test_a_search_goes_on_with_what_it_was_told(words):
    first = read_request([*words, LR, "trials=7", "pruner.name=none"])
    stored = {
        "words": list(first.words),
        "space": {key: str(value) for key, value in first.space.items()},
        "settings": list(first.own),
        "config_dir": None,
    }
    again = goes_on(read_request([words[3], "trials=9"]), stored)
    assert (again.words, again.space) == (first.words, first.space)
    assert again.settings["trials"] == 9
    assert again.settings["pruner"]["name"] == "none"
    assert again.folder == first.folder
