"""Tables of the classes of pictures."""

import cv2
import numpy as np
import pytest

from visionkit.data.folder import read_folder
from visionkit.errors import DataError


def picture(path, value=100):
    path.parent.mkdir(parents=True, exist_ok=True)
    _, data = cv2.imencode(".png", np.full((6, 8, 3), value, np.uint8))
    path.write_bytes(data.tobytes())


def names(index):
    return [index.path(i).rsplit("/", 1)[1] for i in range(len(index))]


def table(root, text, pictures=("a.png", "b.png", "c.png"), name="train.csv", where="images"):
    for file in pictures:
        picture(root / where / file)
    (root / name).write_text(text)
    return root


def test_a_table_for_each_split(tmp_path):
    table(tmp_path, "file,label\na.png,dog\nb.png,cat\n", where="train")
    table(tmp_path, "file,label\nc.png,cat\n", ("c.png",), "val.csv", where="val")
    train, val = read_folder(tmp_path, "train"), read_folder(tmp_path, "val")
    assert train.classes == val.classes == ("cat", "dog")
    assert train.labels.tolist() == [1, 0] and val.labels.tolist() == [0]
    assert val.path(0) == str(tmp_path / "val" / "c.png")
    assert read_folder(tmp_path, "test") is None


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("image;Class\nb.png;x\na.png;y\n\n", {}),
        ("\ufeffImage Name\tage\tlabels\nb.png\t3\tx\na.png\t4\ty\n", {}),
        ("id,label\nb,x\na,y\n", {}),  # without suffix
        ('"path","label"\r\n"images/b.png","x"\r\n".\\images\\a.png","y"\r\n', {}),
        ("picture,what\nb.png,x\na.png,y\n", {"label_column": "what"}),
        ("x1,what\nb.png,x\na.png,y\n", {"label_column": "what", "file_column": "x1"}),
    ],
)
def test_tables_as_people_write_them(tmp_path, text, options):
    table(tmp_path, text)
    index = read_folder(tmp_path, "train", validation=0, **options)
    assert index.classes == ("x", "y") and index.exclusive
    assert names(index) == ["b.png", "a.png"] and index.labels.tolist() == [0, 1]


def test_pictures_elsewhere(tmp_path):
    picture(tmp_path / "other" / "p.png")
    (tmp_path / "set").mkdir()
    root = table(tmp_path / "set", f"file,label\n{tmp_path}/other/p.png,x\n../other/p.png,y\n", ())
    with pytest.raises(DataError, match=r"train\.csv:3: '\.\./other/p\.png' has a line already, 2"):
        read_folder(root, "train", validation=0)
    table(root, f"file,label\n{tmp_path}/other/p.png,x\na.png,y\n", ("a.png",))
    index = read_folder(root, "train", validation=0)
    assert names(index) == ["p.png", "a.png"]


@pytest.mark.parametrize(
    "where", [".", "images", "train", "images/train", "train_images", "Photos", "my/train-jpegs"]
)
def test_where_pictures_are_looked_for(tmp_path, where):
    table(tmp_path, "file,label\na.png,x\nb.png,y\n", where=where)
    picture(tmp_path / "test_images" / "d.png")
    if where.startswith("my/"):
        (tmp_path / "train.csv").rename(tmp_path / "my" / "train.csv")
        index = read_folder(tmp_path / "my", "train", validation=0)
    else:
        index = read_folder(tmp_path, "train", validation=0)
    assert names(index) == ["a.png", "b.png"]
    assert index.path(0) == str(tmp_path / where / "a.png")
    with pytest.raises(DataError, match=r"there is no picture 'd\.png'"):
        table(tmp_path, "file,label\na.png,x\nd.png,y\n")
        read_folder(tmp_path, "train", validation=0)


def test_numbers_are_sorted_as_numbers(tmp_path):
    rows = "".join(f"{i}.png,{i}\n" for i in (10, 9, 2))
    table(tmp_path, "file,label\n" + rows, ("10.png", "9.png", "2.png"))
    assert read_folder(tmp_path, "train", validation=0).classes == ("2", "9", "10")


@pytest.mark.parametrize("cell", ["x|y", "x;y", '"x,y"', "x | y"])
def test_several_classes_in_a_cell(tmp_path, cell):
    table(tmp_path, f"file,label\na.png,{cell}\nb.png,y\nc.png,\n")
    index = read_folder(tmp_path, "train", validation=0)
    assert not index.exclusive and index.classes == ("x", "y")
    assert index.labels.tolist() == [[True, True], [False, True], [False, False]]
    assert index.counts().tolist() == [1, 2]


def test_names_with_separators(tmp_path):
    table(tmp_path, 'file,label\na.png,"tench, Tinca tinca"\nb.png,"cock, rooster"\n')
    assert read_folder(tmp_path, "train", validation=0).classes == (
        "cock, rooster",
        "tench, Tinca tinca",
    )
    table(tmp_path, "file,label\na.png,rock|metal\nb.png,pop\n")
    index = read_folder(tmp_path, "train", validation=0, multi_label=False)
    assert index.classes == ("pop", "rock|metal") and index.exclusive


def test_a_column_for_each_class(tmp_path):
    text = "filename, red, round\na.png,1,0\nb.png,1,1\nc.png,0,0\n"
    table(tmp_path, text, name="train/_classes.csv", where="train")
    index = read_folder(tmp_path, "train", validation=0)
    assert index.classes == ("red", "round") and not index.exclusive
    assert index.labels.tolist() == [[True, False], [True, True], [False, False]]
    (tmp_path / "train" / "_classes.csv").write_text("filename,z,y\na.png,1,0\nb.png,0.0,1.0\n")
    index = read_folder(tmp_path, "train", validation=0)
    assert index.classes == ("z", "y") and index.labels.tolist() == [0, 1]
    index = read_folder(tmp_path, "train", validation=0, multi_label=True)
    assert index.labels.tolist() == [[True, False], [False, True]]


def test_several_classes_in_one_split_tell_of_the_others(tmp_path):
    table(tmp_path, "file,label\na.png,x\nb.png,y\n")
    table(tmp_path, "file,label\nc.png,x|y\n", name="val.csv")
    assert not read_folder(tmp_path, "train").exclusive
    assert not read_folder(tmp_path, "val").exclusive


def test_one_table_with_a_column_of_splits(tmp_path):
    text = "file,label,split\na.png,x,train\nb.png,y,Train\nc.png,x,valid\n"
    table(tmp_path, text, name="labels.csv")
    assert names(read_folder(tmp_path, "train")) == ["a.png", "b.png"]
    assert names(read_folder(tmp_path, "val")) == ["c.png"]
    assert read_folder(tmp_path, "test") is None


def test_one_table_without_splits(tmp_path):
    files = [f"{i:02d}.png" for i in range(40)]
    rows = "".join(f"{file},{'xy'[i % 2]}\n" for i, file in enumerate(files))
    table(tmp_path, "file,label\n" + rows, files[:30], "mine.csv")
    table(tmp_path, "file,label\n" + rows, files[30:], "mine.csv", where="test")
    with pytest.raises(DataError, match=r"\(test/ has none\).*data\.layout\.table=mine\.csv"):
        read_folder(tmp_path, "train")
    splits = [read_folder(tmp_path, s, table="mine.csv") for s in ("train", "val", "test")]
    assert [s.counts().tolist() for s in splits] == [[16, 16], [2, 2], [2, 2]]
    assert sorted(n for s in splits for n in names(s)) == files


@pytest.mark.parametrize("columns", ["file,width\nc.png,30", "file\nc.png", "file,wild\nc.png,1"])
@pytest.mark.parametrize("label", ["label", "breed"])
def test_a_test_table_without_classes_is_left_out(tmp_path, caplog, columns, label):
    table(tmp_path, f"file,{label}\na.png,x\nb.png,y\n")
    table(tmp_path, f"{columns}\n", name="test.csv")
    options = {} if label == "label" else {"label_column": label}
    train = read_folder(tmp_path, "train", **options)
    assert train.classes == ("x", "y") and train.exclusive
    assert caplog.messages == []
    assert read_folder(tmp_path, "test", **options) is None
    assert "test.csv: gives no classes" in caplog.text


def test_a_test_table_with_empty_cells_is_left_out(tmp_path, caplog):
    table(tmp_path, "file,label\na.png,x\nb.png,y\n")
    table(tmp_path, "file,label\nc.png,\n", name="test.csv")
    assert read_folder(tmp_path, "train").exclusive
    assert read_folder(tmp_path, "test") is None
    assert "test.csv: gives no classes" in caplog.text


BROKEN = {
    "": "train.csv: is empty; give a line",
    "file,label\n": "train.csv: has no rows but the first",
    "a.png,x\nb.png,y\n": "train.csv: no column gives the pictures' files (there are a.png, x)",
    "file\na.png\n": "train.csv: no column gives the classes (there are file)",
    "file,age\na.png,37\n": "train.csv:2: column 'age' has '37'; where no column is called",
    "file,label\na.png,x,y\n": "train.csv:2: has 3 values for 2 columns; mend the line",
    "file,label\na.png,x\nb.png,\n": "train.csv:3: the picture has no class; give it one",
    'file,label\na.png,"x\n': "train.csv:2: broken CSV",
    "file,label\na.png,x\nno.png,y\n": "train.csv:3: there is no picture 'no.png' (1 of 2",
    "file,label\na.png,x\n,y\n": "train.csv:3: there is no picture ''",
    "file,label\na.png,x\nimages/a.png,x\n": "train.csv:3: 'images/a.png' has a line already, 2;",
}


@pytest.mark.parametrize("text", BROKEN)
def test_a_broken_table(tmp_path, text):
    table(tmp_path, text)
    with pytest.raises(DataError) as told:
        read_folder(tmp_path, "train")
    assert str(told.value).startswith(f"{tmp_path}/{BROKEN[text]}")
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"table": "no.csv"}, r"there is no table 'no\.csv'; mend data\.layout\.table"),
        ({"file_column": "x"}, r"has no column 'x' \(there are file, label\); mend data\.layout"),
        ({"label_column": "y"}, r"has no column 'y' .*data\.layout\.label_column"),
    ],
)
def test_wrong_names(tmp_path, options, message):
    table(tmp_path, "file,label\na.png,x\n")
    with pytest.raises(DataError, match=message):
        read_folder(tmp_path, "train", **options)


def test_tables_that_contradict_each_other(tmp_path):
    table(tmp_path, "file,label\na.png,x\nb.png,y\n")
    table(tmp_path, "file,label\nc.png,z\n", name="val.csv")
    with pytest.raises(DataError, match=r"val\.csv:2: no training picture is of the class 'z'"):
        read_folder(tmp_path, "train")
    table(tmp_path, "file,x,y\na.png,1,0\nb.png,0,1\n")
    table(tmp_path, "file,x,z\nc.png,1,0\n", name="val.csv")
    with pytest.raises(DataError, match=r"val\.csv: .*train\.csv has other columns .*in y, z"):
        read_folder(tmp_path, "val")
    table(tmp_path, "file,label\nc.png,x\n", name="val.csv")
    with pytest.raises(DataError, match=r"val\.csv: has one column of classes, but .*train\.csv"):
        read_folder(tmp_path, "val")
    (tmp_path / "labels.csv").write_text("file,label,split\na.png,x,holdout\n")
    (tmp_path / "train.csv").unlink()
    (tmp_path / "val.csv").unlink()
    with pytest.raises(DataError, match=r"labels\.csv:2: 'holdout' is no split"):
        read_folder(tmp_path, "val")
