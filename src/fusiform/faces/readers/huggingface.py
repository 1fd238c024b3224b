"""Data sets of Hugging Face that are on the disk already: saved, cached, or as parquet files."""

import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from fusiform.errors import DataError
from fusiform.faces._arrow import ArrowStore, Shard, columns_of, n_rows, schema_of
from fusiform.faces._attribute import Attribute
from fusiform.faces._face_set import FaceSet
from fusiform.faces._lists import contents
from fusiform.faces._schema import given_kinds, infer_kind, read_attributes
from fusiform.faces._sources import StoredImages
from fusiform.faces._stores import natural_key
from fusiform.faces.readers import reader

_SHARD = re.compile(r"-\d{5}-of-\d{5}(-[0-9a-f]+)?$")
# What the library keeps beside a set's own files: results of map and filter, unfinished files.
_NOT_OWN = re.compile(r"^(cache-|tmp|indices)")
_IMAGE_NAMES = ("image", "img", "jpg", "jpeg", "png", "webp", "face", "photo", "picture")
_SPLITS = {"train", "training", "valid", "validation", "val", "dev", "test", "eval"}
_MOST_SHOWN = 6


def _json(file: Path) -> dict[str, Any]:
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"'{file}' cannot be read: {error}. Was its writing cut short?") from error
    if not isinstance(value, dict):
        raise DataError(f"'{file}' must hold a JSON object, as the datasets library writes it.")
    return value


def _saved(folder: Path, split: str | None = None) -> list[Shard]:
    """The files of a folder that `Dataset.save_to_disk` wrote."""
    state = _json(folder / "state.json")
    if state.get("_indices_data_files"):
        raise DataError(
            f"'{folder}' was saved as a choice of rows of a larger set. Save it once more with the present datasets "
            "library (or flatten_indices() before), which writes the rows themselves."
        )
    files = [entry.get("filename") for entry in state.get("_data_files", []) if isinstance(entry, dict)]
    if not files or not all(isinstance(f, str) and Path(f).name == f for f in files):
        raise DataError(f"'{folder / 'state.json'}' names no files of the set, or files elsewhere.")
    return [Shard(folder / str(f), split or state.get("_split")) for f in files]


def _split_of(file: Path) -> str | None:
    """The split that a file is named for: train-00000-of-00002.parquet, name-train.arrow, train/0000.parquet."""
    stem = _SHARD.sub("", file.stem)
    if stem.isdigit():
        return file.parent.name
    named = stem != file.stem or "-" in stem or stem.lower() in _SPLITS
    return stem.rpartition("-")[2] if named else None


def _sets_under(path: Path) -> dict[Path, list[Shard]]:
    """Sets in a cache or any other folder, by the folder that they are named for."""
    files = [
        file
        for suffix in ("arrow", "parquet")
        for file in path.rglob(f"*.{suffix}")
        if not _NOT_OWN.match(file.name) and file.is_file()
    ]
    sets: dict[Path, list[Shard]] = {}
    for file in sorted(files, key=lambda f: natural_key(str(f))):
        folder = file.parent
        # Parquet files of one set may lie in a folder a split.
        if file.stem.isdigit() and folder != path:
            folder = folder.parent
        sets.setdefault(folder, []).append(Shard(file, _split_of(file)))
    return sets


def _current(folders: Sequence[Path]) -> list[Path]:
    """The hub's cache keeps every revision; those that refs/main does not name are left aside."""
    kept = []
    for folder in folders:
        parts = folder.parts
        if "snapshots" in parts[:-1]:
            at = parts.index("snapshots")
            main = Path(*parts[:at]) / "refs" / "main"
            if main.is_file() and main.read_text(encoding="utf-8").strip() != parts[at + 1]:
                continue
        kept.append(folder)
    return kept or list(folders)


def _shards(path: Path, name: str | None, config: str | None) -> tuple[Path, list[Shard]]:
    if path.is_file():
        if path.suffix.lower() not in (".arrow", ".parquet"):
            raise DataError(
                f"A data set of Hugging Face is a folder, an .arrow or a .parquet file; got '{path}'."
            )
        return path.parent, [Shard(path, _split_of(path))]
    if (path / "dataset_dict.json").is_file():
        splits = _json(path / "dataset_dict.json").get("splits", [])
        if not splits or not all(isinstance(s, str) and Path(s).name == s for s in splits):
            raise DataError(f"'{path / 'dataset_dict.json'}' must list the splits.")
        return path, [shard for split in splits for shard in _saved(path / split, split)]
    if (path / "state.json").is_file():
        return path, _saved(path)
    sets = _sets_under(path)
    if not sets:
        raise DataError(
            f"'{path}' holds no data set of Hugging Face: looked for dataset_dict.json or state.json (save_to_disk), and for "
            f".arrow and .parquet files in it and below; found {contents(path)}. Nothing is downloaded."
        )
    wanted = [] if name is None else [f"datasets--{name.replace('/', '--')}", name.replace("/", "___"), name]
    folders = [
        folder
        for folder in _current(list(sets))
        if (not wanted or any(f"/{w}/".lower() in f"{folder.as_posix()}/".lower() for w in wanted))
        and (config is None or config in folder.relative_to(path).parts)
    ]
    if len(folders) == 1:
        return folders[0], sets[folders[0]]
    shown = [str(folder.relative_to(path)) for folder in folders or sets][:_MOST_SHOWN]
    asked = ", ".join(f"{k}={v}" for k, v in (("name", name), ("config", config)) if v is not None)
    what = f"{len(folders)} sets" if folders else f"no set for {asked}"
    raise DataError(
        f"'{path}' holds {what}; there are {', '.join(shown)}, ... Open one of these folders, or give name=USER/SET and "
        "config=CONFIG."
    )


def _features(schema: pa.Schema) -> dict[str, Any]:
    """The features by column, which the datasets library keeps in the schema's metadata; empty without."""
    try:
        held = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        features = held.get("info", {}).get("features", {})
    except (ValueError, AttributeError):
        return {}
    return features if isinstance(features, dict) else {}


def _kind_of(feature: Any) -> str:
    return str(feature.get("_type", "")) if isinstance(feature, dict) else ""


def _image_column(schema: pa.Schema, features: dict[str, Any], wanted: str | None, path: Path) -> str:
    structs = [
        field.name
        for field in schema
        if pa.types.is_struct(field.type) and field.type.get_field_index("bytes") >= 0
    ]
    binary = [
        field.name
        for field in schema
        if pa.types.is_binary(field.type) or pa.types.is_large_binary(field.type)
    ]
    held = [
        *[name for name in schema.names if _kind_of(features.get(name)) == "Image"],
        *[name for name in structs if _kind_of(features.get(name)) in ("", "Image")],
        *[name for name in binary if name.lower() in _IMAGE_NAMES],
    ]
    held = list(dict.fromkeys(name for name in held if name in (*structs, *binary)))
    if wanted is not None:
        if wanted not in (*structs, *binary):
            raise DataError(
                f"'{path}' has no column of images '{wanted}'; it has {', '.join(held) or 'none'}."
            )
        return wanted
    if not held:
        raise DataError(f"'{path}' has no column of images; its columns are {', '.join(schema.names[:12])}.")
    return min(held, key=lambda name: name.lower() not in _IMAGE_NAMES)


def _labels(column: pd.Series, name: str, names: Sequence[str], path: Path) -> pd.Series:
    """What the numbers of a ClassLabel stand for; -1 is unknown."""
    numbers = pd.to_numeric(column).astype("Int64")
    numbers = numbers.mask(numbers == -1)
    odd = numbers.notna() & ~numbers.isin(range(len(names)))
    if odd.any():
        row = int(odd.to_numpy().argmax())
        raise DataError(
            f"'{path}': the label '{name}' must be 0 to {len(names) - 1}; row {row + 1} holds {numbers.iloc[row]}."
        )
    return numbers.map(dict(enumerate(names)), na_action="ignore").astype("string").rename(name)


def _plain(schema: pa.Schema, image: str) -> tuple[list[str], dict[str, str]]:
    """Columns of single values, and the others with the reason why they are left aside."""
    plain, ignored = [], {}
    for field in schema:
        if field.name == image:
            continue
        if pa.types.is_nested(field.type):
            ignored[field.name] = "it holds lists or records"
        elif pa.types.is_binary(field.type) or pa.types.is_large_binary(field.type):
            ignored[field.name] = "it holds bytes"
        else:
            plain.append(field.name)
    return plain, ignored


def _name(path: Path, root: Path, name: str | None, info: dict[str, Any]) -> str:
    """What the set is called: in the hub's cache and in the library's, folders have other names."""
    if name is not None:
        return name.rpartition("/")[2]
    hub = next((part for part in root.parts if part.startswith("datasets--")), None)
    if hub is not None:
        return hub.rpartition("--")[2]
    if path.is_file():
        return path.stem
    folder = root.resolve()
    return str(info.get("dataset_name") or (folder.parent if folder.name == "data" else folder).name)


@reader("huggingface", example="PATH")
def open_huggingface(
    path: Path,
    *,
    name: str | None = None,
    config: str | None = None,
    split: str | None = None,
    image_column: str | None = None,
    identity: tuple[str, ...] = (),
    binary: tuple[str, ...] = (),
    categorical: tuple[str, ...] = (),
    continuous: tuple[str, ...] = (),
    ignore: tuple[str, ...] = (),
) -> FaceSet:
    """Open a data set of Hugging Face that is on the disk; never a download, and without the ``datasets`` library.

    Read are folders that ``save_to_disk`` wrote (of one set or of a dictionary of splits), the caches of the library
    (``~/.cache/huggingface/datasets``) and of the hub (``~/.cache/huggingface/hub``), a copy of a set's repository with its
    parquet files, and single ``.arrow`` and ``.parquet`` files. The column of images is told by its feature. Class
    labels become their names: categorical, or binary where the names are yes and no, true and false, 0 and 1; other
    columns are read as ``table:`` reads them. Columns of lists and records are left aside and named in
    ``provenance["ignored"]``. ``split`` is an attribute. Choices of rows that the library keeps beside a set (filter,
    shuffle) are not followed; save such a set first.

    Parameters
    ----------
    path : Path
        The set's folder or file, or a cache.
    name : str, optional
        Which set of a cache, as in ``user/set``.
    config : str, optional
        Which configuration, where there are several.
    split : str, optional
        Only this split; all when not given.
    image_column : str, optional
        The column of images, where there are several.
    identity, binary, categorical, continuous, ignore : tuple of str
        Columns whose kind is given.

    Returns
    -------
    FaceSet
        The set; image ids are the split and the row, as ``train/0``.

    Raises
    ------
    DataError
        If there is no set, more than one, none of that split, or no column of images.

    Examples
    --------
    >>> import io, tempfile
    >>> from PIL import Image
    >>> png = io.BytesIO()
    >>> Image.new("RGB", (8, 8)).save(png, "png")
    >>> table = pa.table({"image": [{"bytes": png.getvalue(), "path": None}], "age": [31]})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     pa.parquet.write_table(table, f"{folder}/test-00000-of-00001.parquet")
    ...     open_huggingface(Path(folder)).table.values.tolist()
    [['test/0', 31.0, 'test']]
    """
    root, shards = _shards(path, name, config)
    splits = list(dict.fromkeys(shard.split for shard in shards))
    if split is not None:
        shards = [shard for shard in shards if shard.split == split]
        if not shards:
            raise DataError(f"'{root}' has no split '{split}'; there are {', '.join(map(str, splits))}.")
    absent = [shard.path for shard in shards if not shard.path.is_file()]
    if absent:
        raise DataError(
            f"'{root}' is not whole: {len(absent)} of {len(shards)} files are missing, the first '{absent[0]}'."
        )
    schema = schema_of(shards[0])
    for shard in shards[1:]:
        if schema_of(shard).names != schema.names:
            raise DataError(
                f"'{shards[0].path}' and '{shard.path}' have different columns, so they are not one set; open one of them."
            )
    features = _features(schema)
    image = _image_column(schema, features, image_column, shards[0].path)
    plain, ignored = _plain(schema, image)
    counts = [n_rows(shard) for shard in shards]
    if not sum(counts):
        raise DataError(f"'{root}' has no rows.")
    table = pd.concat([columns_of(shard, plain).to_pandas() for shard in shards], ignore_index=True)
    table = table.reindex(range(sum(counts)))
    kinds = given_kinds(
        identity=identity, binary=binary, categorical=categorical, continuous=continuous, ignore=ignore
    )
    for column in plain:
        names = (
            features.get(column, {}).get("names") if _kind_of(features.get(column)) == "ClassLabel" else None
        )
        if names:
            table[column] = _labels(table[column], column, names, root)
            found = infer_kind(table[column], column)
            kinds.setdefault(column, "categorical" if found.startswith("-") else found)
    parts = [shard.split for shard, n in zip(shards, counts, strict=True) for _ in range(n)]
    rows: Counter[str | None] = Counter()
    names_of = []
    for part in parts:
        names_of.append(f"{part}/{rows[part]}" if part else str(rows[part]))
        rows[part] += 1
    ids = names_of
    if "image_id" in table and "image_id" not in kinds and table["image_id"].is_unique:
        ids = table.pop("image_id").astype(str).tolist()
    read = read_attributes(table.rename(columns={"image_id": "image_id_of_set"}), kinds)
    if any(parts) and "split" not in read.table:
        read.table["split"] = pd.array(parts, dtype="string")
        read.schema["split"] = Attribute("categorical", description="split of the data set")
    read.table.insert(0, "image_id", ids)
    info = _json(root / "dataset_info.json") if (root / "dataset_info.json").is_file() else {}
    return FaceSet(
        name=_name(path, root, name, info),
        table=read.table,
        schema=read.schema,
        source=StoredImages(ArrowStore(root, shards, image, names_of, counts), names_of, ids),
        provenance={
            "reader": "huggingface",
            "source": str(path),
            "images": str(root),
            "image_column": image,
            "splits": sorted({str(part) for part in parts if part}),
            "ignored": {**ignored, **read.ignored},
            "paper": str(info.get("citation") or "") or None,
            "licence": str(info.get("license") or "")
            or "as its publisher says; it is not kept with the files",
        },
    )
