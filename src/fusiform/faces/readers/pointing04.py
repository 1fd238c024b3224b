"""Pointing'04, the head pose image database of INRIA: tilt and pan of the head in the file name."""

import re
from pathlib import Path

import numpy as np
import pandas as pd

from fusiform.errors import DataError
from fusiform.faces._attribute import Attribute
from fusiform.faces._crops import Crops, as_margin
from fusiform.faces._face_set import FaceSet
from fusiform.faces._images import UnreadableImageError
from fusiform.faces._named import IMAGE_SUFFIX, NamedImages, named_images
from fusiform.faces._sources import Source, StoredImages
from fusiform.faces._tables import points_beside
from fusiform.faces.readers import reader

_NAME = re.compile(
    r"(?:^|/)(person(?:ne)?(\d{2})(\d)(\d{2})([+-]\d{1,2})([+-]\d{1,2}))" + IMAGE_SUFFIX, re.IGNORECASE
)


def _fault(match: re.Match[str]) -> str | None:
    if max(abs(int(match[5])), abs(int(match[6]))) > 90:
        return f"the angles {match[5]} and {match[6]} in its name are not within 90 degrees"
    return None


def _box(named: NamedImages, stored: str) -> list[float] | str:
    """An image's face box (left, top, width, height), or why there is none."""
    name = stored.rpartition(".")[0] + ".txt"
    if not named.store.has(name):
        return f"it has no face box '{name}'"
    try:
        words = named.store.read(name).decode("utf-8-sig", "replace").split()
        start = words.index("Face") + 1
        x, y, width, height = (float(word) for word in words[start : start + 4])
    except (UnreadableImageError, ValueError):
        return f"its face box '{name}' is not 'Face' and four numbers"
    if not (np.isfinite([x, y, width, height]).all() and width > 0 and height > 0):
        return f"its face box '{name}' has the size {width:g} x {height:g}"
    return [x - width / 2, y - height / 2, width, height]


@reader("pointing04", example="PATH")
def open_pointing04(path: Path, *, margin: int | None = None) -> FaceSet:
    """Open Pointing'04: files named ``person01146-60-90.jpg`` or ``personne01146-60-90.jpg``, in folders or not.

    In the name follow person (two digits), series (one), number (two), tilt and pan in degrees. ``identity`` is
    ``person01``, ``series`` categorical. ``pitch`` is the tilt: positive looks up in both conventions. ``yaw`` is the pan with
    the other sign: the set's pan is positive where the face looks to the left of the image (at +60 the nose lies 0.7 eye
    distances left of the eyes' middle in its pictures), and fusiform's yaw is positive to the right of the image.
    Copies of images (the folder ``Front`` repeats the frontal ones) are left out and listed in `skipped`.

    Parameters
    ----------
    path : Path
        Folder or zip.
    margin : int, optional
        Cut faces out by the boxes in the ``.txt`` files beside the images (centre, width and height), with so many
        per cent of the box on every side; images without a box are then left out. Whole images when not given.

    Returns
    -------
    FaceSet
        The set.

    Raises
    ------
    DataError
        If no file has such a name, or no image has a box although `margin` is given.

    References
    ----------
    Gourier, Hall and Crowley 2004, Estimating Face Orientation from Robust Detection of Salient Facial Features,
    ICPR Workshop on Visual Observation of Deictic Gestures.

    Examples
    --------
    >>> import tempfile
    >>> from PIL import Image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Image.new("RGB", (8, 8)).save(f"{folder}/personne01146-30+60.jpg")
    ...     open_pointing04(Path(folder)).table.values.tolist()
    [['personne01146-30+60', 'person01', '1', -60.0, -30.0]]
    """
    named = named_images(
        path,
        _NAME,
        whose="Pointing'04's",
        form="person01146-60-90.jpg",
        image_id=lambda match: match[1],
        fault=_fault,
    )
    boxes: dict[str, list[float]] = {}
    if margin is not None:
        reasons: dict[str, str] = {}
        for image_id, stored in zip(named.ids, named.stored, strict=True):
            box = _box(named, stored)
            if isinstance(box, str):
                reasons[image_id] = box
            else:
                boxes[image_id] = box
        if not boxes:
            raise DataError(
                f"No face of '{path}' has a box: {reasons[named.ids[0]]}. Leave out margin to take whole images."
            )
        named = named.without(reasons)
    ids, matches = named.ids, named.matches
    points = points_beside(path if path.is_dir() else path.parent, named.stored)
    source: Source = StoredImages(named.store, named.stored, ids, points)
    if margin is not None:
        source = Crops(source, np.array([boxes[image_id] for image_id in ids]), ids, as_margin(margin))
    table = pd.DataFrame(
        {
            "image_id": ids,
            "identity": pd.array([f"person{match[2]}" for match in matches], dtype="string"),
            "series": pd.array([match[3] for match in matches], dtype="string"),
            # No -0.0 for frontal faces.
            "yaw": [0.0 - float(match[6]) for match in matches],
            "pitch": [float(match[5]) + 0.0 for match in matches],
        }
    )
    return FaceSet(
        name="pointing04",
        table=table,
        schema={
            "identity": Attribute("identity"),
            "series": Attribute("categorical", description="first or second sitting"),
            "yaw": Attribute("continuous", unit="deg", description="positive to the right of the image"),
            "pitch": Attribute("continuous", unit="deg", description="positive looks up"),
        },
        source=source,
        skipped=named.skipped,
        provenance={
            "reader": "pointing04",
            "source": str(path),
            "images": str(named.store.root),
            "margin_percent": margin,
            "signs": "yaw is the published pan times -1; pitch is the published tilt",
            "paper": "Gourier, Hall and Crowley 2004, Estimating Face Orientation from Robust Detection of Salient Facial "
            "Features, ICPR Workshop on Visual Observation of Deictic Gestures",
            "licence": "free for research, with a reference to the paper",
        },
    )
