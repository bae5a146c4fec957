"""Where the files of pictures and frames go."""

from pathlib import Path

from visionkit.outputs.places import Places, names_below, picture_names


def test_drawn_pictures_keep_folders_and_kinds() -> None:
    names = picture_names([Path("p/a.png"), Path("p/a.bmp"), Path("p/q/a.jpeg")], Path("out"))
    assert [str(n) for n in names.values()] == ["out/a.png", "out/a_2.png", "out/q/a.jpg"]


def test_masks_take_no_other_file_s_place(tmp_path: Path) -> None:
    out = tmp_path / "out"
    files = [Path("p/a.png"), Path("p/a.jpg"), Path("p/masks/a.png"), Path("p/b.c.png")]
    masks = names_below(picture_names(files, out), out)
    below = [str(m.relative_to(out / "masks")) for m in masks.values()]
    # a drawn picture is masks/a.png
    assert below == ["a_2.png", "a_3.png", "masks/a.png", "b.c.png"]
    inside = [out / "a.png", out / "masks" / "a.png"]  # predicted where they lie
    names = picture_names(inside, out)
    masks = names_below(names, out)
    every = [*inside, *names.values(), *masks.values()]
    assert len({str(p) for p in every}) == 6


def test_texts_keep_pictures_of_one_name_apart(tmp_path: Path) -> None:
    files = [Path("p/a.png"), Path("p/a.jpg")]
    places = Places(files, tmp_path)
    texts = [places.below("labels", f, ".txt").relative_to(tmp_path) for f in files]
    assert [str(t) for t in texts] == ["labels/a.txt", "labels/a_2.txt"]


def test_frames_go_by_number_and_a_film_beside_its_source(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    places = Places([clip], tmp_path, video=True)
    assert places.drawn(12) == tmp_path / "clip" / "000012.jpg"
    assert places.below("masks", 3) == tmp_path / "masks" / "clip" / "000003.png"
    assert places.film() == tmp_path / "clip_2.mp4"
    assert Places([Path("clip.avi")], tmp_path, True).film() == clip
    assert Places([Path("camera:0")], tmp_path, True).film() == tmp_path / "camera_0.mp4"
