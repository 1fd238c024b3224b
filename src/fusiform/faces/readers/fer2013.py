"""FER2013: seven emotions, in small grey images written out in a table or kept in folders."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import overload

import numpy as np
import pandas as pd
from jaxtyping import Int, UInt8
from numpy import ndarray

from fusiform.errors import DataError
from fusiform.faces._attribute import Attribute
from fusiform.faces._face_set import FaceSet
from fusiform.faces._lists import contents
from fusiform.faces._locate import images_under
from fusiform.faces._sources import ArrayImages, StoredImages
from fusiform.faces._tables import coded, left_out, need_columns, read_table
from fusiform.faces.readers import reader

_TABLES = ("fer2013.csv", "icml_face_data.csv")
_EMOTIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
_SPLITS = {"Training": "train", "PublicTest": "valid", "PrivateTest": "test"}
_FOLDER_SPLITS = {
    "train": "train",
    "val": "valid",
    "valid": "valid",
    "validation": "valid",
    "test": "test",
    **{name.lower(): split for name, split in _SPLITS.items()},
}
_FOLDER_EMOTIONS = {
    **{name: name for name in _EMOTIONS},
    "anger": "angry",
    "happiness": "happy",
    "sadness": "sad",
}
_SIDE = 48
# FER+ counts the votes of ten people for these; unknown and NF (no face) say that there is nothing to name.
_FER_PLUS = {
    "neutral": "neutral",
    "happiness": "happy",
    "surprise": "surprise",
    "sadness": "sad",
    "anger": "angry",
    "disgust": "disgust",
    "fear": "fear",
    "contempt": "contempt",
    "unknown": None,
    "NF": None,
}


class _Grey(Sequence[UInt8[ndarray, "h w 3"]]):
    """Grey images, kept with one channel and given with three."""

    def __init__(self, pixels: UInt8[ndarray, "n h w"]) -> None:
        self._pixels = pixels

    def __len__(self) -> int:
        return len(self._pixels)

    @overload
    def __getitem__(self, index: int) -> UInt8[ndarray, "h w 3"]: ...
    @overload
    def __getitem__(self, index: slice) -> "_Grey": ...
    def __getitem__(self, index: int | slice) -> "UInt8[ndarray, 'h w 3'] | _Grey":
        if isinstance(index, slice):
            return _Grey(self._pixels[index])
        return np.repeat(self._pixels[index][:, :, None], 3, axis=2)


def grey_images(pixels: UInt8[ndarray, "n h w"]) -> ArrayImages:
    """A source of grey images that keeps one channel in memory.

    Parameters
    ----------
    pixels : uint8 array, shape (n, h, w)
        The images.

    Returns
    -------
    ArrayImages
        The source; it gives RGB.

    Examples
    --------
    >>> grey_images(np.full((1, 2, 2), 7, dtype=np.uint8)).read([0])[0].shape
    (2, 2, 3)
    """
    return ArrayImages(_Grey(pixels))


def _values(text: str) -> Int[ndarray, " k"] | None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)
        try:
            return np.fromstring(text, dtype=np.int64, sep=" ")
        except (ValueError, DeprecationWarning):  # something that is no number
            return None


def _pixels(column: pd.Series, path: Path) -> UInt8[ndarray, "n 48 48"]:
    images = np.empty((len(column), _SIDE * _SIDE), dtype=np.uint8)
    for row, text in enumerate(column):
        values = _values(text) if isinstance(text, str) else None
        if values is None or len(values) != _SIDE * _SIDE or values.min() < 0 or values.max() > 255:
            found = "something else" if values is None else f"{len(values)} numbers"
            if values is not None and len(values) == _SIDE * _SIDE:
                found = f"values from {values.min()} to {values.max()}"
            raise DataError(
                f"Line {row + 2} of '{path}': 'pixels' must hold {_SIDE * _SIDE} numbers from 0 to 255; got {found}."
            )
        images[row] = values
    return images.reshape(-1, _SIDE, _SIDE)


def _votes(file: Path, n: int) -> tuple[list[str | None], ndarray]:
    """The emotion with most votes by FER+ for each row of FER2013's table, None without one; and which show no face."""
    table = read_table(file)
    need_columns(table, list(_FER_PLUS), file, "FER+'s fer2013new.csv")
    if len(table) != n:
        raise DataError(
            f"'{file}' has {len(table)} rows for the {n} images of FER2013; its rows follow fer2013.csv."
        )
    try:
        votes = table[list(_FER_PLUS)].apply(pd.to_numeric).to_numpy(dtype=np.float64)
    except (ValueError, TypeError) as error:
        raise DataError(f"'{file}' must hold numbers of votes: {error}.") from error
    if not (np.isfinite(votes) & (votes >= 0)).all():
        row = int((~(np.isfinite(votes) & (votes >= 0))).any(axis=1).argmax())
        raise DataError(
            f"Line {row + 2} of '{file}' must hold numbers of votes from 0; got {votes[row].tolist()}."
        )
    most = votes.max(axis=1, keepdims=True)
    alone = ((votes == most).sum(axis=1) == 1) & (most[:, 0] > 0)
    meanings = list(_FER_PLUS.values())
    winners = [meanings[k] if one else None for k, one in zip(votes.argmax(axis=1), alone, strict=True)]
    return winners, votes[:, list(_FER_PLUS).index("NF")] >= votes.sum(axis=1) / 2


def _provenance(path: Path, images: Path, **more: str | None) -> dict[str, str | None]:
    return {
        "reader": "fer2013",
        "source": str(path),
        "images": str(images),
        "paper": "Goodfellow et al. 2013, Challenges in Representation Learning: A report on three machine learning contests",
        "licence": "for research; the pictures come from an image search on the web",
        **more,
    }


def _schema() -> dict[str, Attribute]:
    return {
        "emotion": Attribute("categorical", description="as labelled by FER2013"),
        "split": Attribute(
            "categorical", description="the published parts: Training, PublicTest, PrivateTest"
        ),
    }


def _from_table(path: Path, file: Path, ferplus: str | None) -> FaceSet:
    table = read_table(file)
    table.columns = table.columns.str.strip()
    need_columns(table, ("emotion", "pixels", "Usage"), file, "FER2013's table")
    emotions = coded(table["emotion"], {str(k): name for k, name in enumerate(_EMOTIONS)}, file)
    splits = coded(table["Usage"], _SPLITS, file)
    pixels = _pixels(table["pixels"], file)
    ids = [f"fer{row:07d}" for row in range(len(table))]
    rows = pd.DataFrame(
        {
            "image_id": ids,
            "emotion": pd.array(emotions, dtype="string"),
            "split": pd.array(splits, dtype="string"),
        }
    )
    schema = _schema()
    keep, skipped = np.ones(len(rows), dtype=bool), None
    if ferplus is not None:
        votes = next((p for p in (file.parent / ferplus, Path(ferplus).expanduser()) if p.is_file()), None)
        if votes is None:
            raise DataError(
                f"ferplus='{ferplus}' is neither in '{file.parent}' nor here; found {contents(file.parent)}."
            )
        winners, faceless = _votes(votes, len(rows))
        rows["emotion_ferplus"] = pd.array(winners, dtype="string")
        schema["emotion_ferplus"] = Attribute(
            "categorical", description="most of ten votes of FER+; unknown where none has most"
        )
        keep = ~faceless
        skipped = left_out(
            {ids[i]: "it shows no face, by the votes of FER+" for i in np.flatnonzero(faceless)}
        )
    return FaceSet(
        name="fer2013",
        table=rows[keep],
        schema=schema,
        source=grey_images(pixels[keep]),
        skipped=skipped,
        provenance=_provenance(path, file, ferplus=ferplus),
    )


def _from_folders(path: Path) -> FaceSet:
    store, names = images_under(
        path, f"{' or '.join(_TABLES)}, or FER2013's folders train/angry, test/happy, ..."
    )
    labels: dict[str, tuple[str, str]] = {}
    reasons: dict[str, str] = {}
    for name in names:
        parts = [part.lower() for part in name.split("/")[:-1]]
        emotion = _FOLDER_EMOTIONS.get(parts[-1]) if parts else None
        split = _FOLDER_SPLITS.get(parts[-2]) if len(parts) > 1 else None
        if emotion is None or split is None:
            reasons[name] = "it is not in a folder such as train/angry or test/happy"
        else:
            labels[name] = emotion, split
    if not labels:
        raise DataError(
            f"'{path}' is not laid out like FER2013: looked for {' or '.join(_TABLES)} and for images in train/angry, "
            f"test/happy, ...; the first of {len(names)} images is '{names[0]}'. For other folders use folder:."
        )
    ids = list(labels)
    table = pd.DataFrame(
        {
            "image_id": ids,
            "emotion": pd.array([emotion for emotion, _ in labels.values()], dtype="string"),
            "split": pd.array([split for _, split in labels.values()], dtype="string"),
        }
    )
    return FaceSet(
        name="fer2013",
        table=table,
        schema=_schema(),
        source=StoredImages(store, ids, ids),
        skipped=left_out(reasons),
        provenance=_provenance(path, store.root),
    )


@reader("fer2013", example="PATH")
def open_fer2013(path: Path, *, ferplus: str | None = None) -> FaceSet:
    r"""Open FER2013: ``fer2013.csv`` or ``icml_face_data.csv`` (emotion, pixels, Usage), or folders ``train/angry``, ``test/happy``.

    Images are grey, 48 x 48 pixels; from a table they are held in memory (83 MB for all 35,887). ``emotion`` is categorical
    (angry, disgust, fear, happy, sad, surprise, neutral), ``split`` is train (Training), valid (PublicTest) or test
    (PrivateTest; in the folders, both test parts). The set holds many pictures twice, some in two parts.

    Parameters
    ----------
    path : Path
        The table, or the folder that holds it or the folders (or their zip).
    ferplus : str, optional
        FER+'s ``fer2013new.csv``, relative to the table: adds ``emotion_ferplus``, the emotion with most of ten votes (also
        contempt), unknown on a tie or where people could not tell; images in which half or more of the votes see no
        face are left out.

    Returns
    -------
    FaceSet
        The set; image ids are ``fer0000000`` and so on by row, as in FER+.

    Raises
    ------
    DataError
        If there is neither a table nor such folders, or a line cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     rows = "emotion,pixels,Usage\n3," + " ".join(["7"] * 48 * 48) + ",PublicTest\n"
    ...     _ = Path(folder, "fer2013.csv").write_text(rows)
    ...     open_fer2013(Path(folder)).table.values.tolist()
    [['fer0000000', 'happy', 'valid']]
    """
    if path.is_file() and path.suffix.lower() == ".csv":
        return _from_table(path, path, ferplus)
    places = [path, path / "fer2013"] if path.is_dir() else []
    file = next((place / name for place in places for name in _TABLES if (place / name).is_file()), None)
    if file is not None:
        return _from_table(path, file, ferplus)
    if ferplus is not None:
        found = contents(path) if path.is_dir() else path.name
        raise DataError(
            f"'ferplus' follows the rows of {' or '.join(_TABLES)}, which '{path}' does not have; found {found}."
        )
    return _from_folders(path)
