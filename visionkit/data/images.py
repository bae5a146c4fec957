"""Pictures alone, in any folder.

What is found, for ``split`` in train, val (also valid, validation), test:

- ``{split}/**``, whatever the folders in it;
- ``**``, split by visionkit.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from visionkit.argtypes import Range
from visionkit.data.class_listing import Listing, make_class_index, parts
from visionkit.data.defects import aside
from visionkit.data.folder import has_pictures, pictures_below, split_folders, tell_unread
from visionkit.data.image_index import ImageIndex
from visionkit.data.layout import SPLITS, check_root
from visionkit.errors import DataError


def read_images(
    root: str | Path,
    split: str,
    fit: Literal["crop", "letterbox"] = "crop",
    validation: Annotated[float, Range(0, 0.9)] = 0.1,
) -> ImageIndex | None:
    """Read one split of a set of pictures without labels.

    A set without ``val`` gives it ``validation`` of its training pictures, and one without any
    splits a tenth to ``test``, too: in the order of a hash of the relative path, the same on every
    machine. ``warnings`` says so.

    Args:
        root: the set's folder.
        split: ``train``, ``val`` or ``test``.
        fit: ``crop``: pictures are cut to their centred square, so that what learns to make such
            pictures learns no bars; ``letterbox``: they stay whole.
        validation: part of the training pictures that becomes ``val`` where there is none.

    Returns:
        The index, or None where the set has no such split.

    Raises:
        DataError: there are no pictures.
    """
    root = check_root(root)
    if split not in SPLITS:
        return None
    places = {s: place for s, place in split_folders(root).items() if has_pictures(place)}
    held: Mapping[str, float] = {}
    source = split
    if not places:
        places, held, source = {"": root}, parts(validation), ""
    elif "val" not in places and validation and split in ("train", "val"):
        held, source = {"val": validation}, "train"
    if source not in places:
        return None
    with aside(unless=source == split or (source, split) == ("", "train")):
        listing = _walk(places[source])
    if not listing.files:
        raise DataError(
            f"{root}: there are no pictures in it or in its folders; set data.root to the folder "
            "that holds them"
        )
    index = make_class_index(listing, (), False, split, held)
    if index is None:
        return None
    return ImageIndex(
        classes=(),
        image_ids=index.image_ids,
        labels=index.labels,
        files=index.files,
        warnings=index.warnings,
        square=fit == "crop",
    )


def _walk(place: Path) -> Listing:
    files, unread = pictures_below(place)
    return Listing(place, place, files, [()] * len(files), tuple(tell_unread(place, unread)))
