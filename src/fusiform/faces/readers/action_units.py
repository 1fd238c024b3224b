"""Tables of facial action units: EmotioNet, DISFA, OpenFace and their like."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import pandas as pd

from fusiform.errors import DataError
from fusiform.faces._attribute import Attribute, Kind
from fusiform.faces._face_set import FaceSet
from fusiform.faces._schema import given_kinds
from fusiform.faces._tables import image_column as find_image_column
from fusiform.faces._tables import left_out, read_table
from fusiform.faces.readers import reader
from fusiform.faces.readers.table import faces_of_table

Meaning = Literal["presence", "intensity"]

_UNIT = re.compile(r"^(?:label[ _]?)?au[ _-]?0*(\d{1,2})(?:[ _-]?(r|c|intensity|presence))?$", re.IGNORECASE)
_MEANINGS: dict[str, Meaning] = {
    "r": "intensity",
    "intensity": "intensity",
    "c": "presence",
    "presence": "presence",
}
# Not annotated: EmotioNet writes 999, BP4D and its challenges 9, others -1.
_NOT_ANNOTATED = (999.0, 9.0, -1.0)
_STRONGEST = 5.0


def _numbers(column: pd.Series, name: str, path: Path) -> pd.Series:
    """Values of a unit, NaN where it was not annotated; one that cannot be raises, with its line."""
    numbers = pd.to_numeric(column, errors="coerce").astype("float64")
    text = column.astype("string").str.strip()
    broken = numbers.isna() & text.notna() & ~text.str.lower().isin(["", "nan"])
    numbers = numbers.mask(numbers.isin(_NOT_ANNOTATED))
    odd = broken | (numbers < 0) | (numbers > _STRONGEST)
    if odd.any():
        row = int(odd.to_numpy().argmax())
        raise DataError(
            f"Line {row + 2} of '{path}': '{name}' must be 0 or 1, an intensity from 0 to {_STRONGEST:g}, or 999, 9 or -1 "
            f"where the unit was not annotated; got '{column.iloc[row]}'."
        )
    return numbers


def _units(
    table: pd.DataFrame, path: Path, units: Meaning | None
) -> tuple[dict[str, pd.Series], dict[str, Kind]]:
    """The units' columns under their names, and their kinds."""
    found: list[tuple[int, str, Meaning | None]] = []
    for column in table.columns:
        match = _UNIT.match(column)
        if match:
            found.append((int(match[1]), column, _MEANINGS.get((match[2] or "").lower())))
    if not found:
        raise DataError(
            f"'{path}' has no columns of action units. Looked for AU1, AU 1, AU_1, AU01, AU01_r, AU01_c, ...; its columns are "
            f"{', '.join(map(str, table.columns[:12]))}."
        )
    values = {column: _numbers(table[column], column, path) for _, column, _ in found}
    # Rare units may never pass 1 in a small table, so the table as a whole tells.
    graded = any(not values[c].dropna().isin([0.0, 1.0]).all() for _, c, meaning in found if meaning is None)
    plain: Meaning = units or ("intensity" if graded else "presence")
    said = [(number, column, meaning or plain) for number, column, meaning in found]
    both = {n for n, _, m in said if m == "presence"} & {n for n, _, m in said if m == "intensity"}
    columns: dict[str, pd.Series] = {}
    kinds: dict[str, Kind] = {}
    for number, column, meaning in sorted(said, key=lambda one: one[:2]):
        name = f"AU_{number}_intensity" if number in both and meaning == "intensity" else f"AU_{number}"
        if name in columns:
            raise DataError(f"'{path}' has more than one column for {name}, the second is '{column}'.")
        if meaning == "presence":
            odd = values[column].notna() & ~values[column].isin([0.0, 1.0])
            if odd.any():
                row = int(odd.to_numpy().argmax())
                raise DataError(
                    f"Line {row + 2} of '{path}': the presence '{column}' must be 0 or 1; got '{table[column].iloc[row]}'. "
                    "If the columns hold intensities, open with units=intensity."
                )
        columns[name] = values[column]
        kinds[name] = "binary" if meaning == "presence" else "continuous"
    return columns, kinds


def _frames(table: pd.DataFrame) -> list[str]:
    """The names under which OpenFace saves aligned faces."""
    face = table["face_id"] if "face_id" in table else pd.Series("0", index=table.index)
    return [
        f"frame_det_{int(float(f)):02d}_{int(float(k)):06d}.bmp"
        for f, k in zip(face, table["frame"], strict=True)
    ]


@reader("aus", example="PATH.csv")
def open_action_units(
    path: Path,
    *,
    units: str | None = None,
    images: str | None = None,
    image_column: str | None = None,
    identity: tuple[str, ...] = (),
    ignore: tuple[str, ...] = (),
) -> FaceSet:
    r"""Open a table of action units with the images beside it.

    Columns called ``AU1``, ``AU 1``, ``AU_1``, ``AU01``, ... become ``AU_1``, ``AU_2``, ...: binary where the table holds 0 and
    1, continuous (intensity, 0 to 5) where it holds other values. A column ending in ``_c`` is a presence, in ``_r`` an
    intensity; where a unit has both, the intensity is ``AU_1_intensity``. 999 (EmotioNet), 9 (BP4D) and -1 mean that the
    unit was not annotated. A web address stands for the file of its last part. Listed images that are not there are left
    out and listed in `skipped`; EmotioNet's many dead addresses end there.

    In the output of OpenFace (columns ``confidence`` and ``success``) the other columns are left aside, frames without a
    face are left out, units are marked as predicted, and, without a column of images, frames are looked for under the
    names that OpenFace gives to aligned faces (``frame_det_00_000001.bmp``). Other columns of other tables are read as
    ``table:`` reads them.

    Parameters
    ----------
    path : Path
        .csv, .tsv or .parquet.
    units : {"presence", "intensity"}, optional
        What columns without an ending hold; otherwise told by their values.
    images : str, optional
        Folder or zip of the images, relative to the table; otherwise looked for beside it.
    image_column : str, optional
        Column with the images' names or addresses; otherwise found by name or content.
    identity, ignore : tuple of str
        Columns that say who is shown, and columns to leave aside.

    Returns
    -------
    FaceSet
        The set.

    Raises
    ------
    DataError
        If there are no columns of units, a value cannot be, or all images are missing.

    Examples
    --------
    >>> import tempfile
    >>> from PIL import Image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Image.new("RGB", (8, 8)).save(f"{folder}/a.jpg")
    ...     Image.new("RGB", (8, 8)).save(f"{folder}/b.jpg")
    ...     rows = "URL,AU 1,AU 12\nhttp://x.org/a.jpg,1,999\nhttp://x.org/b.jpg,0,1\n"
    ...     _ = Path(folder, "t.csv").write_text(rows)
    ...     open_action_units(Path(folder, "t.csv")).table[["AU_1", "AU_12"]].values.tolist()
    [[True, <NA>], [False, True]]
    """
    if path.is_dir():
        raise DataError(f"'{path}' is a folder; action units are read from a table, as in 'aus:PATH.csv'.")
    if units not in (None, "presence", "intensity"):
        raise DataError(f"'units' of action units must be presence or intensity; got '{units}'.")
    table = read_table(path)
    columns, kinds = _units(table, path, units)  # type: ignore[arg-type]
    openface = {"confidence", "success"} <= set(table.columns)
    rest = table.drop(columns=[c for c in table.columns if _UNIT.match(c)])
    faceless: list[str] = []
    if openface:
        rest, keep, faceless = _openface(rest, path, image_column, (*identity, "image_id"))
        columns = {name: values[keep] for name, values in columns.items()}
    given: dict[str, str] = {**given_kinds(identity=identity, ignore=ignore), **kinds}
    faces = faces_of_table(
        pd.concat([rest, pd.DataFrame(columns)], axis=1),
        path,
        images=images,
        image_column=image_column,
        kinds=given,
    )
    by = "OpenFace" if openface else None
    schema = {
        name: Attribute(
            attribute.kind,
            description="action unit, present or not"
            if attribute.kind == "binary"
            else "action unit, intensity 0 to 5",
            predicted_by=by,
        )
        if name in kinds
        else attribute
        for name, attribute in faces.schema.items()
    }
    lost = left_out(dict.fromkeys(faceless, "OpenFace found no face in it"))
    return faces._derived(
        schema=schema,
        _skipped=pd.concat([faces.skipped, lost.astype(faces.skipped.dtypes)], ignore_index=True),
        _provenance={
            **faces._provenance,
            "reader": "aus",
            "units": sorted(columns),
            "paper": "Ekman and Friesen 1978, Facial Action Coding System",
            "licence": "as for the table and its images",
        },
    )


def _openface(
    rest: pd.DataFrame, path: Path, image_column: str | None, wanted: Sequence[str]
) -> tuple[pd.DataFrame, pd.Series, list[str]]:
    """The columns of OpenFace's table that say which image, the rows with a face, and the images without."""
    try:
        # A face's number is no image's name.
        column = find_image_column(rest.drop(columns="face_id", errors="ignore"), image_column, path)
        names = rest[column].astype("string").str.strip()
    except DataError:
        if image_column is not None or "frame" not in rest:
            raise
        try:
            names = pd.Series(_frames(rest), dtype="string")
        except ValueError as error:
            raise DataError(f"'{path}': 'frame' and 'face_id' must be whole numbers: {error}.") from error
        column = "file"
    keep = pd.to_numeric(rest["success"], errors="coerce").fillna(0) > 0
    if not keep.any():
        raise DataError(f"'{path}': OpenFace found no face in any of {len(rest)} images.")
    kept = rest[[name for name in wanted if name in rest and name != column]].assign(**{column: names})
    return kept[keep], keep, names[~keep].dropna().tolist()
