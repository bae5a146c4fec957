"""Where the files of each picture go: below the run's folder, none twice, never over a source."""

import os
from collections.abc import Sequence
from pathlib import Path

Key = Path | int
"""A picture by its file, a frame of a video by its number."""


class Places:
    """Where the files of each picture go.

    Args:
        files: all pictures, or the one video.
        folder: the run's.
        video: whether it is a video, whose frames are meant by their numbers.
    """

    def __init__(self, files: Sequence[Path], folder: Path, video: bool = False) -> None:
        self.folder, self.video = folder, video
        self._files = files
        self._drawn = {} if video else picture_names(files, folder)
        self._below: dict[tuple[str, str], dict[Path, Path]] = {}
        self._parts: dict[str, Places] = {}

    def of_part(self, name: str) -> "Places":
        """Where files of one part of a joint network go: below a folder of its name."""
        if name not in self._parts:
            self._parts[name] = Places(self._files, self.folder / name, self.video)
        return self._parts[name]

    def drawn(self, key: Key) -> Path:
        """Where the drawn picture goes."""
        if isinstance(key, int):
            return self.folder / self._stem / f"{key:06}.jpg"
        return self._drawn[key]

    def below(self, room: str, key: Key, suffix: str = ".png") -> Path:
        """Where another file of the picture goes: called as the drawn one, in ``room``."""
        if isinstance(key, int):
            return self.folder / room / self._stem / f"{key:06}{suffix}"
        named = self._below.get((room, suffix))
        if named is None:
            named = names_below(self._drawn, self.folder, room, suffix)
            self._below[room, suffix] = named
        return named[key]

    def among_sources(self) -> bool:
        """Whether pictures lie in the run's folder, or below it."""
        if self.video:
            return False
        return any(
            Path(whole(file)).is_relative_to(whole(self.folder))
            for whole in (os.path.abspath, os.path.realpath)
            for file in self._files
        )

    def film(self) -> Path:
        """Where the drawn video goes."""
        taken = {os.path.realpath(file) for file in self._files}
        return _free(self.folder / self._stem, ".mp4", taken)

    @property
    def _stem(self) -> str:
        return self._files[0].stem.replace(":", "_")


def picture_names(files: Sequence[Path], folder: Path) -> dict[Path, Path]:
    """Choose for each file where its drawn picture goes: below ``folder``, none twice.

    Folders are kept from the last one that all files share, so that pictures of the same name stay
    apart; the drawn picture is a JPEG or, of a picture without loss, a PNG. A drawn picture never
    takes the place of a source, even if ``folder`` is where the sources lie.
    """
    absolute = {f: Path(os.path.abspath(f)) for f in files}
    parents = [str(p.parent) for p in absolute.values()]
    shared = Path(os.path.commonpath(parents)) if parents else folder
    taken = {os.path.realpath(p) for p in files}
    names: dict[Path, Path] = {}
    for file, path in absolute.items():
        suffix = ".jpg" if path.suffix.lower() in (".jpg", ".jpeg") else ".png"
        names[file] = _free(folder / path.relative_to(shared).with_suffix(""), suffix, taken)
    return names


def names_below(
    names: dict[Path, Path], folder: Path, room: str = "masks", suffix: str = ".png"
) -> dict[Path, Path]:
    """Choose for each file where another one goes: below ``folder/room``, none twice.

    It is called as the drawn picture is, and takes neither a source's place nor another picture's.

    Args:
        names: what :func:`picture_names` gave for ``folder``.
        folder: the run's.
        room: the folder in it.
        suffix: with its dot.
    """
    taken = {os.path.realpath(p) for p in (*names, *names.values())}
    bases = {f: drawn.relative_to(folder).with_suffix("") for f, drawn in names.items()}
    return {f: _free(folder / room / base, suffix, taken) for f, base in bases.items()}


def _free(base: Path, suffix: str, taken: set[str]) -> Path:
    """A file of that name, with a number if it is taken; it is taken from now on."""
    target, n = base.with_name(base.name + suffix), 1
    while os.path.realpath(target) in taken:
        n += 1
        target = base.with_name(f"{base.name}_{n}{suffix}")
    taken.add(os.path.realpath(target))
    return target
