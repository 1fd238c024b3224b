"""The face data sets that scikit-learn has fetched: Labeled Faces in the Wild and the Olivetti faces."""

import pickletools
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import UInt8
from numpy import ndarray

from fusiform.errors import DataError
from fusiform.faces._attribute import Attribute
from fusiform.faces._face_set import FaceSet
from fusiform.faces._lists import contents
from fusiform.faces.readers import reader
from fusiform.faces.readers.fer2013 import grey_images
from fusiform.faces.readers.lfw import open_lfw

_OLIVETTI = "olivetti_py3.pkz"
_PEOPLE, _EACH, _SIDE = 40, 10, 64
_VALUES = _PEOPLE * _EACH * _SIDE * _SIDE
_MOST_HEADER = 4096


@reader("sklearn_lfw", example="~/scikit_learn_data")
def open_sklearn_lfw(path: Path) -> FaceSet:
    """Open LFW as scikit-learn's ``fetch_lfw_people`` or ``fetch_lfw_pairs`` left it; never a download.

    Parameters
    ----------
    path : Path
        scikit-learn's data home (``~/scikit_learn_data``), or ``lfw_home`` in it.

    Returns
    -------
    FaceSet
        The set, as ``lfw:`` gives it.

    Raises
    ------
    DataError
        If there is no ``lfw_home/lfw_funneled`` or ``lfw_home/lfw``.

    Examples
    --------
    >>> import tempfile
    >>> from PIL import Image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Path(folder, "lfw_home", "lfw_funneled", "Ann_Lee").mkdir(parents=True)
    ...     Image.new("RGB", (8, 8)).save(f"{folder}/lfw_home/lfw_funneled/Ann_Lee/Ann_Lee_0001.jpg")
    ...     open_sklearn_lfw(Path(folder)).table.values.tolist()
    [['Ann_Lee_0001', 'Ann_Lee']]
    """
    homes = [path / "lfw_home", path]
    # The funneled images are those that scikit-learn takes unless told otherwise.
    found = next((h / f for h in homes for f in ("lfw_funneled", "lfw") if (h / f).is_dir()), None)
    if found is None:
        seen = contents(path) if path.is_dir() else path.name
        raise DataError(
            f"'{path}' does not hold scikit-learn's copy of LFW: looked for lfw_home/lfw_funneled and lfw_home/lfw; found "
            f"{seen}. Nothing is downloaded; sklearn.datasets.fetch_lfw_people() fetches it."
        )
    faces = open_lfw(found)
    return faces._derived(_provenance={**faces._provenance, "reader": "sklearn_lfw", "source": str(path)})


def _unpacked(file: Path) -> bytes:
    wanted = 8 * _VALUES + _MOST_HEADER
    try:
        data = zlib.decompressobj().decompress(file.read_bytes(), wanted + 1)
    except (OSError, zlib.error) as error:
        raise DataError(f"'{file}' cannot be read: {error}. Was its writing cut short?") from error
    if len(data) > wanted:
        raise DataError(f"'{file}' unpacks to more than the {_PEOPLE * _EACH} images of the Olivetti faces.")
    return data


def _described(data: bytes) -> list[Any]:
    """The plain values in a pickle up to where the array's bytes begin; nothing in it is executed."""
    values: list[Any] = []
    try:
        for _, argument, _ in pickletools.genops(data[:_MOST_HEADER]):
            values.append(argument)
    except ValueError:
        pass  # the array's bytes are no instructions
    return values


def _olivetti(file: Path) -> UInt8[ndarray, "400 64 64"]:
    """The images, taken from the file's bytes: joblib writes an array whole, and one byte after it."""
    data = _unpacked(file)
    values = _described(data)
    kind = next((v for v in values if v in ("u1", "f4", "f8")), None)
    n_bytes = 0 if kind is None else _VALUES * np.dtype(kind).itemsize
    shape = (_PEOPLE * _EACH, _SIDE * _SIDE)
    fits = all(side in values for side in shape) and 0 < len(data) - n_bytes - 1 < _MOST_HEADER
    order = values[values.index("order") + 1 :] if "order" in values else []
    ordered = next((v for v in order if v in ("C", "F")), None)
    if kind is None or not fits or ordered is None:
        raise DataError(
            f"'{file}' must hold one array of {shape[0]} x {shape[1]} values, as scikit-learn writes the Olivetti faces; got "
            f"{len(data):,} bytes of something else. Fetch it anew with sklearn.datasets.fetch_olivetti_faces()."
        )
    array = np.frombuffer(data[-n_bytes - 1 : -1], dtype=np.dtype(kind).newbyteorder("<"))
    faces = array.reshape(shape, order=ordered)
    if kind != "u1":
        if not np.isfinite(faces).all() or faces.min() < 0 or faces.max() > 255:
            raise DataError(f"'{file}' must hold values from 0 to 255, or from 0 to 1.")
        faces = np.round(faces * (255 if faces.max() <= 1 else 1))
    # MATLAB wrote each image column by column.
    return np.ascontiguousarray(faces.astype(np.uint8).reshape(-1, _SIDE, _SIDE).transpose(0, 2, 1))


@reader("sklearn_olivetti", example="~/scikit_learn_data")
def open_sklearn_olivetti(path: Path) -> FaceSet:
    """Open the Olivetti faces as scikit-learn's ``fetch_olivetti_faces`` left them; never a download.

    40 people in ten grey images each, 64 x 64 pixels, in the original eight bits (scikit-learn stretches them to 0 to 1).
    ``olivetti_py3.pkz`` is a compressed pickle that scikit-learn wrote; it is not unpickled here: the array's bytes are
    taken from it, so a file that somebody else put there cannot run anything.

    Parameters
    ----------
    path : Path
        scikit-learn's data home (``~/scikit_learn_data``), or the file itself.

    Returns
    -------
    FaceSet
        The set; ``identity`` is 0 to 39, as scikit-learn's target.

    Raises
    ------
    DataError
        If the file is not there or holds something else.

    Examples
    --------
    >>> import tempfile
    >>> import joblib
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = joblib.dump(np.zeros((400, 4096), dtype=np.uint8), f"{folder}/olivetti_py3.pkz", compress=6)
    ...     open_sklearn_olivetti(Path(folder)).table["identity"].nunique()
    40
    """
    file = path / _OLIVETTI if path.is_dir() else path
    if not file.is_file():
        raise DataError(
            f"'{path}' does not hold scikit-learn's copy of the Olivetti faces: looked for {_OLIVETTI}; found "
            f"{contents(path)}. Nothing is downloaded; sklearn.datasets.fetch_olivetti_faces() fetches it."
        )
    pixels = _olivetti(file)
    people = np.repeat(np.arange(_PEOPLE), _EACH)
    table = pd.DataFrame(
        {
            "image_id": [f"{who:02d}_{k:02d}" for who in range(_PEOPLE) for k in range(_EACH)],
            "identity": pd.array(people.astype(str), dtype="string"),
        }
    )
    return FaceSet(
        name="olivetti",
        table=table,
        schema={"identity": Attribute("identity", description="scikit-learn's target")},
        source=grey_images(pixels),
        provenance={
            "reader": "sklearn_olivetti",
            "source": str(path),
            "images": str(file),
            "paper": "Samaria and Harter 1994, Parameterisation of a stochastic model for human face identification, WACV",
            "licence": "credit to AT&T Laboratories Cambridge",
        },
    )
