"""Lists and tables that published data sets bring along as text files."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from fusiform.errors import DataError
from fusiform.faces._tables import read_table

IMAGE = "image_id"


def contents(folder: Path, most: int = 8) -> str:
    """What lies in a folder, for a message that says what was found."""
    try:
        names = sorted(entry.name for entry in folder.iterdir())
    except OSError as error:
        return f"nothing that can be read ({error.strerror})"
    shown = ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
    return shown or "nothing"


def find_file(
    folder: Path, stem: str, places: Iterable[str] = ("",), suffixes: Iterable[str] = (".txt", ".csv")
) -> Path | None:
    """The first of a list's usual places where it is."""
    suffixes = tuple(suffixes)
    candidates = (folder / place / f"{stem}{suffix}" for place in places for suffix in suffixes)
    return next((file for file in candidates if file.is_file()), None)


def numbered_lines(file: Path, what: str = "list") -> list[tuple[int, str]]:
    """The lines of a text file that are not blank, with their numbers from 1."""
    if not file.is_file():
        raise DataError(f"There is no {what} '{file}'.")
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"'{file}' cannot be read: {error}.") from error
    return [(i, line.strip()) for i, line in enumerate(text.splitlines(), 1) if line.strip()]


def each_once(table: pd.DataFrame, file: Path) -> pd.DataFrame:
    """The table, refused when its index names an image twice."""
    twice = table.index[table.index.duplicated()]
    if len(twice):
        raise DataError(f"'{file}' lists {len(twice)} images more than once, the first '{twice[0]}'.")
    return table


def read_list(file: Path, columns: Sequence[str] = ()) -> pd.DataFrame:
    """A list with the image name as index; CelebA's .txt form (count, names, rows) or .csv.

    `columns` are the names for a list that has neither a count nor a line of names.
    """
    if file.suffix == ".csv":
        table = read_table(file)
        key = IMAGE if IMAGE in table else table.columns[0]
        unnamed = [name for name in table.columns if name.startswith("Unnamed: ") and name != key]
        return each_once(table.drop(columns=unnamed).set_index(key), file)
    names, announced = list(columns), None
    if not columns:
        try:
            with file.open(encoding="utf-8-sig") as lines:
                first, names = lines.readline().split(), lines.readline().split()
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"'{file}' cannot be read: {error}.") from error
        if len(first) != 1 or not first[0].isdigit() or not names:
            raise DataError(f"'{file}' must begin with a count and a line of names, as CelebA's lists do.")
        announced = int(first[0])
    try:
        table = pd.read_csv(
            file,
            sep=r"\s+",
            skiprows=0 if columns else 2,
            names=[IMAGE, *names],
            dtype={IMAGE: str},
            index_col=False,
            encoding="utf-8-sig",
        ).set_index(IMAGE)
    except (OSError, ValueError) as error:
        raise DataError(f"'{file}' cannot be read: {str(error).strip()}.") from error
    if not len(table):
        raise DataError(f"'{file}' lists no images.")
    if announced is not None and announced != len(table):
        raise DataError(
            f"'{file}' announces {announced} images and lists {len(table)}; it may have been cut short."
        )
    short = table.index[table.isna().any(axis=1)]
    if len(short):
        found = int(table.loc[short[0]].notna().sum())
        raise DataError(f"'{file}': the line of '{short[0]}' has {found} values, expected {len(names)}.")
    return each_once(table, file)
