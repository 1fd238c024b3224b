"""IARPA Janus Benchmark B and C: faces in pictures and video frames, gathered in templates."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from fusiform.errors import DataError, nearest
from fusiform.faces._attribute import Attribute
from fusiform.faces._crops import Crops, as_margin
from fusiform.faces._face_set import FaceSet
from fusiform.faces._landmark_columns import read_points
from fusiform.faces._lists import contents
from fusiform.faces._locate import locate
from fusiform.faces._pairs import Missing, check_missing, report_lost
from fusiform.faces._schema import as_kind
from fusiform.faces._sources import StoredImages
from fusiform.faces._tables import read_table
from fusiform.faces.readers import reader

_NEEDED = ("SUBJECT_ID", "FILENAME", "FACE_X", "FACE_Y", "FACE_WIDTH", "FACE_HEIGHT")
_BOX = list(_NEEDED[2:])
_PLACES = ("protocols", "protocol", "meta", "")
# What is read when no lists are named: the first of these of which any is there.
_USUAL = (
    ("*_1N_gallery_*.csv", "*_1N_probe_mixed.csv"),
    ("test1/enroll_templates.csv", "test1/verif_templates.csv"),
    ("test4/gallery_*.csv", "test4/probes.csv"),
    ("*_11_covariate_probe_reference.csv",),
    ("*_metadata.csv",),
)
_CODES = {
    "GENDER": "gender",
    "AGE": "age",
    "SKINTONE": "skin_tone",
    "SKIN_TONE": "skin_tone",
    "FACIAL_HAIR": "facial_hair",
    "INDOOR_OUTDOOR": "indoor_outdoor",
}
_ANGLES = {"YAW": "yaw", "ROLL": "roll", "PITCH": "pitch"}
_POINTS = [f"p{number}_{axis}" for number in range(5) for axis in "xy"]
_PROVENANCE = {
    "reader": "ijbc",
    "paper": "Maze et al. 2018, IARPA Janus Benchmark-C: Face Dataset and Protocol, ICB; for IJB-B Whitelam et al. 2017, "
    "CVPR Workshops",
    "licence": "given on request by NIST; the pictures are under various Creative Commons licences",
}


def _chosen(root: Path, names: Sequence[str]) -> list[Path]:
    """The lists that were named, or the usual ones."""
    places = [root / place for place in _PLACES if (root / place).is_dir()]
    if names:
        files = []
        for name in names:
            wanted = name if name.endswith(".csv") else f"{name}.csv"
            found = [place / wanted for place in places if (place / wanted).is_file()]
            if not found:
                known = sorted({str(f.relative_to(p))[:-4] for p in places for f in p.glob("**/*.csv")})
                raise DataError(f"'{root}' has no list '{name}'; {nearest(name.removesuffix('.csv'), known)}")
            files.append(found[0])
        return files
    for patterns in _USUAL:
        for place in places:
            files = [file for pattern in patterns for file in sorted(place.glob(pattern))]
            if files:
                return files
    return []


def _read_list(file: Path) -> pd.DataFrame:
    table = read_table(file)
    table.columns = [column.upper() for column in table.columns]
    absent = [name for name in _NEEDED if name not in table]
    if absent:
        raise DataError(
            f"'{file}' must have the columns TEMPLATE_ID, {', '.join(_NEEDED)}; {', '.join(absent)} not among "
            f"{', '.join(table.columns[:12])}."
        )
    unnamed = np.flatnonzero(table[["SUBJECT_ID", "FILENAME"]].isna().any(axis=1))
    if len(unnamed):
        raise DataError(f"Line {unnamed[0] + 2} of '{file}' has no SUBJECT_ID or no FILENAME.")
    for name in _BOX:
        numbers = pd.to_numeric(table[name], errors="coerce")
        odd = np.flatnonzero(numbers.isna() & table[name].notna())
        if len(odd):
            raise DataError(
                f"Line {odd[0] + 2} of '{file}': {name} must be a number; got '{table[name].iloc[odd[0]]}'."
            )
        table[name] = numbers
    if "TEMPLATE_ID" not in table:
        table["TEMPLATE_ID"] = pd.NA
    table["list"] = file.stem
    table["line"] = np.arange(2, len(table) + 2)
    return table


def _attributes(table: pd.DataFrame) -> tuple[dict[str, pd.Series], dict[str, Attribute]]:
    """Columns of the lists that describe faces: codes as published, angles, occlusion by region."""
    columns: dict[str, pd.Series] = {}
    schema: dict[str, Attribute] = {}
    for source in table.columns:
        if source in _CODES:
            name, attribute = _CODES[source], Attribute("categorical", description="code as published")
        elif source in _ANGLES:
            name = _ANGLES[source]
            attribute = Attribute(
                "continuous", unit="deg", description="its sign as published, not compared with fusiform's"
            )
        elif source.startswith("OCC") and source[3:].isdigit():
            name = f"occluded_{int(source[3:])}"
            attribute = Attribute("binary", description="whether this cell of the published grid is occluded")
        else:
            continue
        if table[source].notna().any():
            columns[name] = as_kind(table[source], attribute.kind, name)
            schema[name] = attribute
    return columns, schema


def _from_protocols(path: Path, files: list[Path], margin: int) -> FaceSet:
    table = pd.concat([_read_list(file) for file in files], ignore_index=True)
    file_names = table["FILENAME"].str.replace("\\", "/", regex=False)
    template = table["TEMPLATE_ID"].astype("string")
    ids = (template + "/").fillna("") + file_names
    reasons: dict[str, str] = {}
    again = ids.duplicated()
    for i in np.flatnonzero(again):
        reasons[f"{table['list'][i]}.csv, line {table['line'][i]}"] = f"'{ids[i]}' was listed before"
    boxed = np.isfinite(table[_BOX].to_numpy(dtype=float)).all(axis=1)
    boxed &= (table[["FACE_WIDTH", "FACE_HEIGHT"]].to_numpy() > 0).all(axis=1)
    store, stored = locate(
        file_names.unique().tolist(), path, any_suffix=True, advice="Put the folder images beside protocols."
    )
    stored_of = dict(zip(file_names.unique(), stored, strict=True))
    there_of = {name: store.has(where) for name, where in stored_of.items()}
    there = file_names.map(there_of).to_numpy(dtype=bool)
    for i in np.flatnonzero(~again & ~(boxed & there)):
        reasons[ids[i]] = (
            f"listed, but not among the images in {store.root}"
            if not there[i]
            else f"no face box of positive size in line {table['line'][i]} of {table['list'][i]}.csv"
        )
    keep = np.flatnonzero(~again & boxed & there)
    if not len(keep):
        raise DataError(
            f"None of the {len(table)} faces in {', '.join(file.name for file in files)} has both a face box and its image."
        )
    kept = table.iloc[keep].reset_index(drop=True)
    image_ids = ids.iloc[keep].tolist()
    columns: dict[str, pd.Series] = {"identity": as_kind(kept["SUBJECT_ID"], "identity", "identity")}
    schema = {"identity": Attribute("identity", description="SUBJECT_ID")}
    if template.notna().any():
        columns["template"] = as_kind(kept["TEMPLATE_ID"], "categorical", "template")
        schema["template"] = Attribute("categorical", description="TEMPLATE_ID: the faces compared as one")
    columns["list"] = as_kind(kept["list"], "categorical", "list")
    schema["list"] = Attribute("categorical", description="the protocol's list that names the face")
    more_columns, more_schema = _attributes(kept)
    source = Crops(
        StoredImages(store, [stored_of[name] for name in file_names.iloc[keep]], image_ids),
        kept[_BOX].to_numpy(dtype=np.float64),
        image_ids,
        as_margin(margin),
    )
    return FaceSet(
        name="ijbc",
        table=pd.DataFrame({"image_id": image_ids, **columns, **more_columns}),
        schema=schema | more_schema,
        source=source,
        skipped=pd.DataFrame({"image_id": list(reasons), "reason": list(reasons.values())}),
        provenance={
            **_PROVENANCE,
            "source": str(path),
            "images": str(store.root),
            "lists": [file.name for file in files],
            "margin_percent": margin,
        },
    )


def _read_words(file: Path, columns: Sequence[str]) -> pd.DataFrame:
    """A list without a line of names, its words separated by blanks; every word text."""
    try:
        table = pd.read_csv(file, sep=r"\s+", header=None, dtype=str, encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise DataError(f"'{file}' cannot be read: {str(error).strip()}.") from error
    if table.shape[1] != len(columns):
        raise DataError(
            f"The lines of '{file}' must be {len(columns)} words, {' '.join(columns)}; got {table.shape[1]}."
        )
    table.columns = list(columns)
    short = np.flatnonzero(table.isna().any(axis=1))
    if len(short):
        raise DataError(f"Line {short[0] + 1} of '{file}' is not {len(columns)} words, {' '.join(columns)}.")
    return table


def _meta_file(root: Path, ending: str) -> Path | None:
    found = sorted(file for place in (root / "meta", root) for file in place.glob(f"ijb?_{ending}.txt"))
    return found[0] if found else None


def _from_meta(path: Path, template_file: Path) -> FaceSet:
    """The layout of insightface's meta files: crops numbered, with template, medium and five points."""
    table = _read_words(template_file, ["name", "template", "media"])
    twice = np.flatnonzero(table["name"].duplicated())
    if len(twice):
        raise DataError(
            f"Line {twice[0] + 1} of '{template_file}' lists '{table['name'][twice[0]]}' a second time."
        )
    lists = [template_file]
    points = None
    points_file = _meta_file(path, "name_5pts_score")
    if points_file is not None:
        lists.append(points_file)
        listed = _read_words(points_file, ["name", *_POINTS, "score"])
        # The same image may not be named twice, else the table below could not be matched.
        listed = listed.drop_duplicates("name").set_index("name").reindex(table["name"])
        points = read_points(listed.reset_index(), _POINTS)[0]
    columns = {"template": as_kind(table["template"], "categorical", "template")}
    schema = {"template": Attribute("categorical", description="the faces compared as one")}
    files = [f for patterns in _USUAL[:1] for p in patterns for f in sorted((path / "meta").glob(p))]
    if files:
        lists += files
        known = pd.concat([_subjects(file) for file in files]).drop_duplicates("TEMPLATE_ID")
        people = known.set_index("TEMPLATE_ID")["SUBJECT_ID"].reindex(table["template"])
        columns = {"identity": as_kind(people, "identity", "identity"), **columns}
        schema = {"identity": Attribute("identity", description="SUBJECT_ID"), **schema}
    columns["media"] = as_kind(table["media"], "categorical", "media")
    schema["media"] = Attribute("categorical", description="the picture or video a face is from")
    names = table["name"].tolist()
    store, stored = locate(names, path, any_suffix=True, advice="Put the folder loose_crop beside meta.")
    there = np.array([store.has(name) for name in stored], dtype=bool)
    keep = np.flatnonzero(there)
    ids = [names[i] for i in keep]
    lost = [names[i] for i in np.flatnonzero(~there)]
    return FaceSet(
        name="ijbc",
        table=pd.DataFrame({"image_id": names, **columns}).iloc[keep],
        schema=schema,
        source=StoredImages(store, [stored[i] for i in keep], ids, None if points is None else points[keep]),
        skipped=pd.DataFrame(
            {"image_id": lost, "reason": f"listed, but not among the images in {store.root}"}
        ),
        provenance={
            **_PROVENANCE,
            "source": str(path),
            "images": str(store.root),
            "lists": [file.name for file in lists],
        },
    )


def _subjects(file: Path) -> pd.DataFrame:
    table = read_table(file)
    table.columns = [column.upper() for column in table.columns]
    absent = [name for name in ("TEMPLATE_ID", "SUBJECT_ID") if name not in table]
    if absent:
        raise DataError(
            f"'{file}' must have the columns TEMPLATE_ID and SUBJECT_ID; got {', '.join(table.columns)}."
        )
    return table[["TEMPLATE_ID", "SUBJECT_ID"]]


@reader("ijbc", example="PATH")
def open_ijbc(path: Path, *, lists: tuple[str, ...] = (), margin: int = 0) -> FaceSet:
    r"""Open IJB-C or IJB-B: lists of faces in ``protocols`` and pictures in ``images``, or insightface's crops.

    As published, a list has a line a face: TEMPLATE_ID, SUBJECT_ID, FILENAME, FACE_X, FACE_Y, FACE_WIDTH, FACE_HEIGHT, and
    what is known of it. Each face is cut out by its box. ``identity`` is the subject, ``template`` and ``list`` are categorical,
    image ids are ``TEMPLATE/FILENAME``: a face in several templates is there several times, so do not split a set at random.
    ``gender``, ``age``, ``skin_tone``, ``facial_hair`` and ``indoor_outdoor`` keep the published codes, ``yaw`` and ``roll`` the
    published signs, and OCC1 to OCC18 become the binary ``occluded_1`` to ``occluded_18``.

    In the other layout, ``meta/ijbc_face_tid_mid.txt`` lists the numbered images of ``loose_crop`` with ``template`` and
    ``media``; five points come from ``meta/ijbc_name_5pts_score.txt``, and ``identity`` from the galleries and probes
    (``ijbc_1N_*.csv``) in ``meta``. Those images are taken as they are.

    Lines without a face box, a face listed twice in a template, and files that are not there are listed in `skipped`.

    Parameters
    ----------
    path : Path
        The folder that holds ``protocols`` and ``images``, or ``meta`` and ``loose_crop``.
    lists : tuple of str, default ()
        Names of lists in ``protocols``, such as ``ijbc_11_covariate_probe_reference``. When not given, the galleries and the
        mixed probes, which the 1:1 and the 1:N protocols share.
    margin : int, default 0
        What is kept around a face box, in per cent of its sides; for the published layout.

    Returns
    -------
    FaceSet
        The set.

    Raises
    ------
    DataError
        If there are no lists or none of their images, or a list cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> from PIL import Image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Path(folder, "images/img").mkdir(parents=True)
    ...     Path(folder, "protocols").mkdir()
    ...     Image.new("RGB", (40, 30)).save(f"{folder}/images/img/7.jpg")
    ...     _ = Path(folder, "protocols/ijbc_1N_gallery_G1.csv").write_text(
    ...         "TEMPLATE_ID,SUBJECT_ID,FILENAME,FACE_X,FACE_Y,FACE_WIDTH,FACE_HEIGHT\n1,99,img/7.jpg,10,5,16,20\n"
    ...     )
    ...     faces = open_ijbc(Path(folder))
    ...     faces.table.values.tolist(), faces.size
    ([['1/img/7.jpg', '99', '1', 'ijbc_1N_gallery_G1']], (20, 16))
    """
    if not path.is_dir():
        raise DataError(f"IJB-C is a folder with protocols and images; '{path}' is a file.")
    template_file = _meta_file(path, "face_tid_mid")
    if template_file is not None and not lists:
        return _from_meta(path, template_file)
    files = _chosen(path, lists)
    if not files:
        raise DataError(
            f"'{path}' is not laid out like IJB-B or IJB-C: looked for lists such as ijbc_1N_gallery_G1.csv in protocols and "
            f"for meta/ijbc_face_tid_mid.txt; found {contents(path)}. For a table of one's own use table:."
        )
    return _from_protocols(path, files, margin)


def ijbc_pairs(faces: FaceSet, path: str | Path, *, missing: Missing = "raise") -> pd.DataFrame:
    r"""Read the pairs of templates of a verification protocol of IJB-B or IJB-C.

    Parameters
    ----------
    faces : FaceSet
        Opened by ``ijbc:``.
    path : str or Path
        ``ijbc_11_G1_G2_matches.csv``, ``ijbb_11_S1_S2_matches.csv`` or ``ijbc_11_covariate_matches.csv`` (two templates a line),
        or ``ijbc_template_pair_label.txt`` (two templates and 1 for the same person or 0).
    missing : {"raise", "drop"}, default "raise"
        What to do with pairs of which a template is not in the set.

    Returns
    -------
    DataFrame
        Columns ``first`` and ``second`` (templates, as in the set's column of that name; categories, for there are millions of
        pairs) and ``same`` (nullable boolean; from the labels, or from the templates' subjects). The faces of a template
        ``t`` are the rows where ``faces.table["template"] == t``.

    Raises
    ------
    DataError
        If the set has no templates, a line cannot be read, or templates are missing under ``missing="raise"``.

    Examples
    --------
    >>> import tempfile
    >>> table = pd.DataFrame({"identity": ["a", "a", "b"], "template": ["1", "2", "3"]})
    >>> schema = {"identity": Attribute("identity"), "template": Attribute("categorical")}
    >>> faces = FaceSet.from_arrays(np.zeros((3, 3, 8, 8), dtype=np.uint8), table, schema)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "matches.csv").write_text("1,2\n1,3\n")
    ...     ijbc_pairs(faces, Path(folder, "matches.csv")).values.tolist()
    [['1', '2', True], ['1', '3', False]]
    """
    check_missing(missing)
    path = Path(path).expanduser()
    table = faces.table
    if "template" not in table:
        raise DataError(
            "These faces have no column 'template'; open them by 'ijbc:' from a protocol's lists."
        )
    if not path.is_file():
        raise DataError(f"There is no file of pairs '{path}'.")
    pairs = _pairs_of_templates(path)
    templates = pd.Index(table["template"].dropna().unique())
    found = pairs["first"].isin(templates) & pairs["second"].isin(templates)
    sides = pd.concat([pairs["first"], pairs["second"]])
    report_lost(sides[~sides.isin(templates)].unique().tolist(), "templates", path, len(faces), missing)
    pairs = pairs[found].reset_index(drop=True)
    if "label" in pairs:
        same = (pairs.pop("label") == "1").astype("boolean")
    elif "identity" in table:
        person = table.dropna(subset="template").drop_duplicates("template").set_index("template")["identity"]
        sides = [pairs[side].astype("string").map(person) for side in ("first", "second")]
        same = (sides[0] == sides[1]).astype("boolean")
    else:
        same = pd.Series(pd.NA, index=pairs.index, dtype="boolean")
    return pairs.assign(same=same)


def _pairs_of_templates(path: Path) -> pd.DataFrame:
    """The two templates, and the label where there is one, of each line; all as categories."""
    try:
        separator = r"\s+" if path.suffix == ".txt" else ","
        pairs = pd.read_csv(path, sep=separator, header=None, dtype="category", encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise DataError(f"'{path}' cannot be read: {str(error).strip()}.") from error
    if pairs.shape[1] not in (2, 3):
        raise DataError(
            f"The lines of '{path}' must be two templates, or two and a label; got {pairs.shape[1]} words."
        )
    pairs.columns = ["first", "second", "label"][: pairs.shape[1]]
    short = np.flatnonzero(pairs.isna().any(axis=1))
    if len(short):
        raise DataError(f"Line {short[0] + 1} of '{path}' has less than {pairs.shape[1]} words.")
    for name in pairs.columns:
        # Words that are numbers were read as such.
        pairs[name] = pairs[name].cat.rename_categories(str)
    if "label" in pairs:
        odd = np.flatnonzero(~pairs["label"].isin(["0", "1"]))
        if len(odd):
            raise DataError(
                f"Line {odd[0] + 1} of '{path}': a label must be 0 or 1; got '{pairs['label'].iloc[odd[0]]}'."
            )
    return pairs
