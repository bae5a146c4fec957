import math

import pytest

from visionkit.errors import ConfigError
from visionkit.tuning.space import Choice, Number, from_words, parse, split, untried


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("log(1e-4, 1e-2)", Number(1e-4, 1e-2, log=True)),
        (" float( 0,1 ) ", Number(0, 1)),
        ("float(0, 1, 0.25)", Number(0, 1, step=0.25)),
        ("float(0, 1, step=0.3)", Number(0, pytest.approx(0.9), step=0.3)),
        ("int(1, 9)", Number(1, 9, whole=True)),
        ("int(1, 10, step=2)", Number(1, 9, whole=True, step=2)),
        ("int(8, 64, log)", Number(8, 64, whole=True, log=True)),
        ("choice(a, b)", Choice(("a", "b"))),
        ("choice([1, 2], null, 'a, b')", Choice(("[1, 2]", "null", "'a, b'"))),
    ],
)
def test_a_range_is_read_and_written(text, expected):
    found = parse("a", text)
    assert found == expected
    assert parse("a", str(found)) == found


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("0.1", "is no range; write log(LOW, HIGH)"),
        ("uniform(0, 1)", "is no range"),
        ("log(0, 1)", "low end must be above 0"),
        ("float(1, 1)", "is empty"),
        ("float(a, 1)", "'a' is no number"),
        ("float(0, inf)", "finite"),
        ("float(0)", "must have a low and a high end"),
        ("log(1, 2, 3)", "must have a low and a high end"),
        ("int(0.5, 3)", "give whole numbers"),
        ("int(0, 8, log)", "low end must be above 0"),
        ("int(1, 4, step=9)", "step that doesn't fit"),
        ("choice(a)", "fewer than two values"),
    ],
)
def test_what_is_no_range_is_told_with_its_key(text, says):
    with pytest.raises(ConfigError, match=r"^space\.optimizer\.lr: ") as told:
        parse("optimizer.lr", text)
    assert says in str(told.value)
    assert "\n" not in str(told.value)


def test_samples_are_the_ends_and_a_middle_in_the_range():
    assert parse("a", "int(1, 4)").samples() == ["1", "2", "4"]
    assert parse("a", "int(1, 2)").samples() == ["1", "2"]
    low, middle, high = map(float, parse("a", "log(1e-4, 1e-2)").samples())
    assert (low, high) == (1e-4, 1e-2)
    assert math.isclose(middle, 1e-3)
    assert parse("a", "float(0, 1, 0.4)").samples() == ["0.0", "0.4", "0.8"]


def test_a_number_comes_back_from_the_command_line_as_it_was():
    value = 0.0020322854432411525
    assert float(parse("a", "log(1e-4, 1)").word(value)) == value
    assert parse("a", "int(1, 9)").word(3.0) == "3"


@pytest.mark.parametrize(
    ("text", "setting", "expected"),
    [
        ("float(0, 1)", 0, 0.0),
        ("float(0, 1)", 2, None),
        ("float(0, 1, 0.1)", 0.7, 0.7),
        ("float(0, 1, 0.1)", 0.75, None),
        ("int(1, 9)", 4, 4),
        ("int(1, 9)", 4.5, None),
        ("int(1, 9)", True, None),
        ("int(1, 9)", "auto", None),
        ("int(1, 9)", None, None),
    ],
)
def test_a_setting_is_in_a_range_or_not(text, setting, expected):
    found = parse("a", text).value_of(setting)
    assert (found, type(found)) == (expected, type(expected))


def test_the_distributions_are_optunas():
    from optuna import distributions as d

    assert parse("a", "log(1e-4, 1e-2)").distribution() == d.FloatDistribution(1e-4, 1e-2, log=True)
    assert parse("a", "int(1, 9, 2)").distribution() == d.IntDistribution(1, 9, step=2)
    assert parse("a", "choice(a, b)").distribution() == d.CategoricalDistribution(["a", "b"])


def test_commas_in_brackets_and_quotes_do_not_split():
    assert split("a, [b, {c: d, e: f}], 'g, h'") == ["a", "[b, {c: d, e: f}]", "'g, h'"]


def test_words_and_files(tmp_path):
    file = tmp_path / "space.yaml"
    file.write_text("optimizer.lr: log(1e-4, 1e-2)\nmodel: [yolo, null, true, [1, 2]]\n")
    found = from_words([f"space={file}", "space.optimizer.lr='float(0, 1)'", "space.a=int(1,2)"])
    assert found == {
        "optimizer.lr": "float(0, 1)",
        "model": "choice(yolo, null, true, [1,2])",
        "a": "int(1,2)",
    }


@pytest.mark.parametrize("content", ["- a\n", "a: [\n", None])
def test_a_file_that_holds_no_ranges(content, tmp_path):
    file = tmp_path / "space.yaml"
    if content:
        file.write_text(content)
    with pytest.raises(ConfigError, match=r"^space: .*space\.yaml: "):
        from_words([f"space={file}"])


def test_a_range_without_a_value():
    with pytest.raises(ConfigError, match=r"space\.a: has no range; write space\.a=RANGE"):
        from_words(["space.a"])


def test_what_is_left_of_a_finite_space():
    space = {"a": parse("a", "choice(x, y)"), "b": parse("b", "float(0, 0.3, 0.1)")}
    every = untried(space, [])
    assert [(v["a"], round(v["b"], 9)) for v in every] == [
        (a, b) for a in "xy" for b in (0.0, 0.1, 0.2, 0.3)
    ]
    assert all(space["b"].distribution()._contains(v["b"]) for v in every)
    tried = [{"a": "x", "b": 0.1 + 0.1}, {"a": "y", "b": 0.30000000000000004}, {"a": "x"}]
    assert len(untried(space, tried)) == 6
    assert untried(space, every) == []
    whole = {"n": parse("n", "int(2, 8, step=3)"), "m": parse("m", "int(1, 4, log)")}
    assert [(v["n"], v["m"]) for v in untried(whole, [])][:5] == [
        *((2, 1), (2, 2), (2, 3), (2, 4), (5, 1)),
    ]
    for text in ("log(1e-4, 1)", "int(1, 1000000)"):
        assert untried({"a": parse("a", text)}, []) is None
