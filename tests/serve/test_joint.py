"""A joint network over HTTP: what each part says, by its name."""

import base64
import io

import numpy as np
import pytest
from PIL import Image as Pillow
from serving import BOX, Everything, encoded, picture, serving

from visionkit.colours import class_colour


@pytest.fixture(scope="module")
def ask():
    with serving(Everything()) as asker:
        yield asker


def test_each_part_answers_under_its_name(ask):
    told = ask.predict(encoded(picture())).json
    assert (told["width"], told["height"]) == (128, 64)
    assert told["things"]["boxes"] == [list(BOX)]
    assert told["things"]["names"] == ["lamp"]
    assert told["stuff"]["names"] == ["background", "lamp"]
    assert told["scene"]["names"] == ["0"]
    kind, _, data = told["stuff"]["png"].partition(",")
    assert kind == "data:image/png;base64"
    mask = np.asarray(Pillow.open(io.BytesIO(base64.b64decode(data))))
    assert mask.shape == (64, 128)
    assert (mask[BOX[1] : BOX[3], BOX[0] : BOX[2]] == 1).all()


def test_info_says_what_the_parts_are(ask):
    told = ask("GET", "/info").json
    assert told["says"] == "joint"
    assert list(told["parts"]) == ["things", "stuff", "scene"]
    assert told["parts"]["stuff"]["says"] == "masks"
    assert told["parts"]["stuff"]["classes"] == ["background", "lamp"]
    colours = {name: part["colours"] for name, part in told["parts"].items()}
    assert colours["stuff"] == [list(class_colour(0)), list(class_colour(1))]
    assert colours["things"] == [list(class_colour(1))]  # as in the mask


def test_the_picture_is_drawn_with_all_of_it(ask):
    reply = ask.predict(encoded(picture()), "?format=image")
    assert reply.headers["content-type"] == "image/jpeg"
    drawn = np.asarray(Pillow.open(io.BytesIO(reply.body)))
    assert drawn.shape[0] > 64  # a legend and the classes stand below


def test_a_single_picture_it_is_not(ask):
    reply = ask.predict(encoded(picture()), "?format=png")
    assert reply.status == 422
    assert "this model's results are no pictures" in reply.json["error"]
