"""The page, in headless Chromium."""

import re
from pathlib import Path

import numpy as np
import pytest
from chromium import Tab, find_chromium, open_tab
from serving import BOX, Bright, Everything, Flat, Inverts, Says, Shades, encoded, picture, serving

from visionkit.serve.page import page

in_chromium = pytest.mark.skipif(find_chromium() is None, reason="Chromium isn't installed")

ROWS = "document.querySelectorAll('#rows tr').length"
ALPHA = "document.querySelector('#view canvas').getContext('2d').getImageData({}, {}, 1, 1).data[3]"


@pytest.fixture(scope="module")
def tab(tmp_path_factory):
    with open_tab(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


def visit(tab: Tab, port: int) -> None:
    tab.complaints.clear()
    tab.go(f"http://127.0.0.1:{port}/")
    tab.until("document.title !== 'visionkit'")


def saved(folder: Path, name: str, image: np.ndarray) -> Path:
    path = folder / name
    path.write_bytes(encoded(image, path.suffix))
    return path


def text(tab: Tab, selector: str) -> str:
    return str(tab.run(f"document.querySelector('{selector}').innerText"))


@in_chromium
def test_a_person_chooses_a_picture_and_sees_what_was_found(tab, tmp_path):
    with serving(Bright()) as ask:
        visit(tab, ask.port)
        assert text(tab, "h1") == "bright.onnx"
        assert "lamp, <i>moon</i>" in text(tab, "#about")  # names are text, not HTML
        tab.choose("#file", saved(tmp_path, "one.png", picture()))
        tab.until(f"{ROWS} === 1")
        assert text(tab, "#rows").split() == ["lamp", "0.098"]  # 400 pixels of 4096
        assert text(tab, "#caption").startswith("1 object, 128 ")
        assert "64 px" in text(tab, "#caption")
        middle = (BOX[1] + BOX[3]) // 2
        drawn = [tab.run(ALPHA.format(x, middle)) for x in (BOX[0], BOX[2], (BOX[0] + BOX[2]) // 2)]
        assert drawn[0] > 0 and drawn[1] > 0 and drawn[2] == 0  # its sides, and nothing inside
        tab.run("confidence.value = 0.9; confidence.dispatchEvent(new Event('input'))")
        assert tab.run(ROWS) == 0
        assert "0 objects" in text(tab, "#caption")
        assert tab.run(ALPHA.format(BOX[0], middle)) == 0
        assert tab.complaints == []


@in_chromium
def test_a_person_drops_a_picture(tab, tmp_path):
    with serving(Bright()) as ask:
        visit(tab, ask.port)
        tab.drop("#drop", saved(tmp_path, "one.png", picture()))
        tab.until(f"{ROWS} === 1")
        tab.until("$('status').innerText.startsWith('answered in')")
        assert tab.complaints == []


@in_chromium
def test_a_bad_file_is_told_and_the_next_one_works(tab, tmp_path):
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(encoded(picture(), ".jpg")[:-200])
    with serving(Bright(), max_bytes=1 << 16) as ask:
        visit(tab, ask.port)
        tab.choose("#file", bad)
        tab.until("$('error').textContent !== ''")
        assert text(tab, "#error") == "the picture: truncated JPEG; send a whole file"
        assert tab.run("$('result').hidden")
        (tmp_path / "large.png").write_bytes(bytes(1 << 17))
        tab.choose("#file", tmp_path / "large.png")
        tab.until("$('error').textContent === 'large.png has more than 0.0625 MB'")
        tab.choose("#file", saved(tmp_path, "good.png", picture()))
        tab.until(f"{ROWS} === 1")
        assert text(tab, "#error") == ""


@in_chromium
def test_what_the_browser_cannot_show_is_drawn_by_the_service(tab, tmp_path):
    with serving(Bright()) as ask:
        visit(tab, ask.port)
        tab.choose("#file", saved(tmp_path, "one.tif", picture()))
        tab.until(f"{ROWS} === 1")
        assert tab.run("document.querySelector('#view img').naturalWidth") == 128
        assert tab.run("document.querySelector('#view canvas')") is None


@in_chromium
def test_a_mask_lies_over_the_picture(tab, tmp_path):
    image = np.full((40, 60, 3), 20, np.uint8)
    image[30:] = 230
    with serving(Shades()) as ask:
        visit(tab, ask.port)
        tab.choose("#file", saved(tmp_path, "one.png", image))
        tab.until(f"{ROWS} === 2")
        assert text(tab, "#rows").split() == ["lamp", "75.0", "%", "<i>moon</i>", "25.0", "%"]
        tab.until("document.querySelector('img.mask').naturalWidth === 60")
        assert tab.complaints == []


@in_chromium
def test_all_parts_of_a_joint_network_are_shown_boxes_over_the_mask(tab, tmp_path):
    with serving(Everything()) as ask:
        visit(tab, ask.port)
        assert "things: lamp; stuff: background, lamp; scene: 7, 3, 0" in text(tab, "#about")
        tab.choose("#file", saved(tmp_path, "one.png", picture()))
        tab.until(f"{ROWS} === 9")  # a heading for each part
        rows = text(tab, "#rows")
        assert [line for line in rows.splitlines() if ":" in line] == [
            "things: 1 object",
            "stuff: classes in the picture",
            "scene: most probable classes",
        ]
        assert rows.splitlines()[1].split() == ["lamp", "0.098"]
        tab.until("document.querySelector('img.mask').naturalWidth === 128")
        assert tab.run("document.querySelector('#view').lastElementChild.tagName") == "CANVAS"
        middle = (BOX[1] + BOX[3]) // 2
        assert tab.run(ALPHA.format(BOX[0], middle)) > 0
        dots = "[...document.querySelectorAll('.dot')].map((dot) => dot.style.background)"
        box, background, lamp = tab.run(dots)[:3]
        assert box == lamp != background  # one class has one colour, in boxes and in masks
        tab.run("confidence.value = 0.9; confidence.dispatchEvent(new Event('input'))")
        assert "things: 0 objects" in text(tab, "#rows")
        assert tab.complaints == []


@in_chromium
def test_classes_come_most_probable_first(tab, tmp_path):
    with serving(Says()) as ask:
        visit(tab, ask.port)
        tab.choose("#file", saved(tmp_path, "one.png", picture()))
        tab.until(f"{ROWS} === 3")
        assert text(tab, "#rows").split() == ["0", "0.500", "3", "0.300", "7", "0.200"]
        assert tab.complaints == []


@in_chromium
def test_what_was_made_stands_below_the_picture(tab, tmp_path):
    with serving(Inverts()) as ask:
        visit(tab, ask.port)
        tab.choose("#file", saved(tmp_path, "one.png", picture()))
        tab.until("document.querySelector('#made img')?.naturalWidth === 128")
        assert tab.run("document.querySelector('#view img').naturalWidth") == 128
        assert tab.run("$('side').hidden")
        assert tab.complaints == []


@in_chromium
def test_pictures_are_made_from_noise(tab):
    with serving(Flat()) as ask:
        visit(tab, ask.port)
        assert tab.run("$('drop').hidden") and not tab.run("$('of').hidden")
        tab.run(
            "$('n').value = 3; $('label').value = 'lamp'; document.querySelector('button').click()"
        )
        tab.until("document.querySelectorAll('#made img').length === 3")
        assert "lamp, seed 2" in text(tab, "#made")
        assert tab.complaints == []


def test_the_page_loads_nothing_from_elsewhere():
    markup, _, script = page().partition("<script>")
    assert "//" not in markup.replace("</", "")
    assert not re.search(r"https?:|[\"'`]//|import\(|importScripts", script)
    assert "innerHTML" not in script
