"""What the values and colours of masks stand for."""

import numpy as np
import pytest
from PIL import Image
from small_masks import MASK, lay_out, picture, write_png

from visionkit.data.defects import collecting
from visionkit.data.dropping import readable
from visionkit.data.mask_classes import is_void, read_entries
from visionkit.data.mask_legend import make_legend
from visionkit.data.mask_sets import voc_colour
from visionkit.data.masks import read_masks
from visionkit.errors import ConfigError, DataError

VOID = 255

CLASS_FILES = {
    "names": ("classes.txt", "sky\nroad\nmy car\n"),
    "values": ("labels.txt", "0 sky\n1 road\n2 my car\n"),
    "values after": ("classes.csv", "name,value\nsky,0\nroad,1\nmy car,2\n"),
    "values with colons": ("classes.txt", "0: sky\n1: road\n2: my car"),
    "colours after": ("class_dict.csv", "name,r,g,b\nsky,0,0,0\nroad,9,9,9\nmy car,1,2,3\n"),
    "CamVid's": ("label_colors.txt", "0 0 0\tsky\n9 9 9\t\troad\n1 2 3\t\tmy car\n"),
    "colours before": ("label_colors.txt", "0 0 0 sky\n9\t9\t9\t\troad\n1 2 3 my car\n"),
    "both": ("classes.txt", "0 sky 0 0 0\n1 road 9 9 9\n2 my car 1 2 3\n"),
    "Roboflow's": ("_classes.csv", "Pixel Value, Class\n0, sky\n1, road\n2, my car\n"),
    "CVAT's": ("labelmap.txt", "# a:b\nsky:0,0,0::\nroad:9,9,9::\nmy car:1,2,3::\n"),
    "in another order": ("classes.txt", "\n2 my car\n0 sky\n1 road\n"),
}


@pytest.mark.parametrize(("name", "text"), CLASS_FILES.values(), ids=CLASS_FILES)
def test_lists_of_classes(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text, "utf-8-sig")
    entries = read_entries(path)
    assert {entry.name for entry in entries} == {"sky", "road", "my car"}
    legend = make_legend(entries, str(path))
    assert [legend.classes[legend.values[k]] for k in (0, 1, 2)] == ["sky", "road", "my car"]
    assert legend.values[255] == VOID
    if entries[0].colour is not None:
        assert [e.colour for e in entries] == [(0, 0, 0), (9, 9, 9), (1, 2, 3)]
        image = np.array([[[1, 2, 3], [0, 0, 0], [9, 9, 9]]], np.uint8)
        assert legend.labels(image, "x").tolist() == [[2, 0, 1]]


@pytest.mark.parametrize("first", ["red", "green", "blue", "id", "index", "value", "B"])
def test_a_first_class_that_is_called_like_a_column(tmp_path, first):
    path = tmp_path / "classes.txt"
    path.write_text(f"{first}\nother\n")
    assert [entry.name for entry in read_entries(path)] == [first, "other"]


@pytest.mark.parametrize("header", ["name", "Label", "class_name", "id name", "r,g,b,class"])
def test_a_line_that_names_the_columns(tmp_path, header):
    path = tmp_path / "classes.txt"
    path.write_text(f"{header}\nsky\nroad\n")
    assert [entry.name for entry in read_entries(path)] == ["sky", "road"]


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("sky\n1 road\n", "only some classes a value"),
        ("0 sky\n0 road\n", "gives the value 0 to two classes"),
        ("sky 1 1 1\nroad 1 1 1\n", "gives the colour 1 1 1 to two classes"),
        ("sky 1 1 256\n", r"classes.txt:1: .* is no class"),
        ("sky\n1 2 3\n", r"classes.txt:2: .* is no class"),
        ("\n# nothing\n", "lists no class"),
        ("void\nunlabelled\n", "all its classes are void"),
        ("\n".join(f"c{k}" for k in range(256)), "has 256 classes; a mask has at most 255"),
    ],
)
def test_lists_that_contradict_themselves(tmp_path, text, match):
    root = lay_out(tmp_path, [("images/train/a.png", "masks/train/a.png")])
    (root / "classes.txt").write_text(text)
    with pytest.raises(DataError, match=match):
        read_masks(root, "train", validation=0)


@pytest.mark.parametrize(
    "name",
    [
        "void",
        "Void",
        "ignore",
        "unlabelled",
        "Unlabeled",
        "void(ignore)",
        "other (void)",
        "void (no class)",
        "ignored",
    ],
)
def test_names_that_say_void(name):
    assert is_void(name)


@pytest.mark.parametrize("name", ["avoid", "devoid", "void space", "background", "unlabeled thing"])
def test_names_that_do_not(name):
    assert not is_void(name)


def one(tmp_path, mask, text="a\nb\nc\n", **options):
    """A set of one mask, read."""
    picture(tmp_path / "images" / "train" / "0.png", mask.shape[:2])
    path = tmp_path / "masks" / "train" / "0.png"
    if mask.ndim == 3:
        write_png(path, mask[..., ::-1])
    else:
        write_png(path, mask)
    if text:
        (tmp_path / "classes.txt").write_text(text)
    return read_masks(tmp_path, "train", validation=0, **options)


def test_void_is_no_class_whatever_its_value(tmp_path):
    index = one(tmp_path, MASK, "a\nvoid(ignore)\nc\n")
    assert index.classes == ("a", "c")
    assert index.mask(0).tolist() == [[0, 255, 1, 255], [1, 1, 255, 0], [255, 0, 0, 1]]
    assert one(tmp_path, MASK, void=["c"]).classes == ("a", "b")
    assert one(tmp_path, MASK, void=["c", 0]).mask(0)[1].tolist() == [VOID, VOID, 0, VOID]
    assert one(tmp_path, MASK, "0 a\n2 c\n", void=[1]).mask(0)[0].tolist() == [0, 255, 1, 255]
    with pytest.raises(
        ConfigError, match=r"data\.layout\.void: .* no class 'cc'; did you mean 'c'"
    ):
        one(tmp_path, MASK, "aa\nbb\nc\n", void=["cc"])


def test_255_may_be_a_class(tmp_path):
    mask = np.array([[0, 255], [255, 0]], np.uint8)
    index = one(tmp_path, mask, "0 back\n255 thing\n")
    assert index.mask(0).tolist() == [[0, 1], [1, 0]] and index.counts().tolist() == [2, 2]
    alone = one(tmp_path / "alone", mask, "")
    assert alone.classes == ("0", "255") and alone.mask(0).tolist() == [[0, 1], [1, 0]]


def test_several_values_of_one_class(tmp_path):
    index = one(tmp_path, MASK, "0 a\n1 b\n2 a\n")
    assert index.classes == ("a", "b") and index.mask(0)[0].tolist() == [0, 1, 0, 255]


def test_without_a_list_the_values_are_the_classes(tmp_path):
    index = one(tmp_path, MASK * np.uint8(3), "")  # 0 3 6, and 255 * 3 = 253
    assert index.classes == ("0", "3", "6", "253")
    assert index.mask(0)[0].tolist() == [0, 1, 2, 3]
    assert "the values 0, 3, 6, 253 of the training masks are the classes" in index.warnings[0]
    write_png(tmp_path / "images" / "val" / "v.png", MASK)
    write_png(tmp_path / "masks" / "val" / "v.png", np.full_like(MASK, 6))
    assert read_masks(tmp_path, "val").classes == index.classes, "they are those of train"


def test_classes_and_palette_of_the_configuration(tmp_path):
    red_green = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 255, 0], [0, 0, 0]]], np.uint8)
    palette = [(0, 0, 0), (255, 0, 0), (0, 255, 0)]
    index = one(tmp_path, red_green, "", classes=["void", "r", "g"], palette=palette)
    assert index.classes == ("r", "g") and index.mask(0).tolist() == [[0, 1], [1, 255]]
    assert one(tmp_path, red_green, "", palette=palette).classes == ("0", "1", "2")
    with pytest.raises(
        ConfigError, match=r"data\.layout\.palette: has 3 colours for the 2 classes"
    ):
        one(tmp_path, red_green, "", classes=["r", "g"], palette=palette)
    with pytest.raises(ConfigError, match=r"data\.layout\.palette: \[0, 0, 256\] is no colour"):
        one(tmp_path, red_green, "", palette=[(0, 0, 256)])
    voc_colours = np.array([[voc_colour(k) for k in (0, 2, 255)]], np.uint8)
    read = one(tmp_path, voc_colours, "", classes=["a", "b", "c"], palette="voc")
    assert read.mask(0).tolist() == [[0, 2, 255]]
    assert one(tmp_path, voc_colours, "", palette="voc").classes[2] == "bicycle"


def test_values_and_colours_that_stand_for_nothing(tmp_path):
    stray = MASK.copy()
    stray[1, 1], stray[2, 2] = 7, 200
    with pytest.raises(DataError) as caught:
        one(tmp_path, stray).mask(0)
    assert "0.png: has the value 7, 200, which stands for no class" in str(caught.value)
    assert "classes.txt" in str(caught.value) and "data.layout.void" in str(caught.value)
    assert one(tmp_path, stray, void=[7, 200]).mask(0)[1, 1] == VOID
    colours = np.zeros((2, 2, 3), np.uint8)
    colours[0, 1] = (10, 20, 30)
    with pytest.raises(DataError, match=r"has the colour \(10 20 30\)"):
        one(tmp_path, colours, "a 0 0 0\nb 1 1 1\n").mask(0)
    with pytest.raises(DataError, match=r"is in colours, but .*classes\.txt says of none"):
        one(tmp_path, colours).mask(0)
    with pytest.raises(DataError, match="is in colours, and nothing says what they stand for"):
        one(tmp_path / "unsaid", colours, "")


def test_without_a_list_a_value_beyond_those_of_classes(tmp_path):
    def read(void=None):
        picture(tmp_path / "images" / "train" / "0.png", (1, 3))
        path = tmp_path / "masks" / "train" / "0.tif"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.array([[4, 9, -1]], np.int32)).save(path)
        return read_masks(tmp_path, "train", validation=0, void=void)

    with pytest.raises(DataError, match=r"its masks have the value -1, .*data\.layout\.void"):
        read()
    index = read([-1])
    assert index.classes == ("4", "9") and index.mask(0).tolist() == [[0, 1, VOID]]


def test_without_a_list_one_mask_in_colours_is_a_defect(tmp_path):
    lay_out(tmp_path, [(f"images/train/{n}.png", f"masks/train/{n}.png") for n in range(3)])
    (tmp_path / "classes.txt").unlink()
    write_png(
        tmp_path / "masks" / "train" / "1.png", np.full((*MASK.shape, 3), (1, 2, 3), np.uint8)
    )
    with collecting("train") as found:
        index = readable(read_masks(tmp_path, "train", validation=0))
    assert len(index) == 2 and index.classes == ("0", "1", "2")
    assert [(d.kind, d.file[-5:]) for d in found] == [("unknown-value", "1.png")]
