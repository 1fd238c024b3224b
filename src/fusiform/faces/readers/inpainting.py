"""The inpainting game's published material: people of IJB-C, and their pictures with one region inpainted."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Bool
from numpy import ndarray

from fusiform.errors import DataError, ImageError, SpecError, nearest
from fusiform.faces._attach import WrappedSource
from fusiform.faces._changed import changed
from fusiform.faces._face_set import FaceSet
from fusiform.faces._images import UnreadableImageError, decode_labels
from fusiform.faces._inpainting import INPAINTED, SCHEMA
from fusiform.faces._label_maps import nearest_mask
from fusiform.faces._lists import contents
from fusiform.faces._sources import StoredImages, in_threads
from fusiform.faces._stores import FolderStore, ImageStore
from fusiform.faces._tables import read_table
from fusiform.faces.readers import reader

REGIONS = (
    "jaw_cheek",
    "mouth",
    "nose",
    "ears",
    "eyes",
    "brows",
    "left_face",
    "right_face",
    "left_eye",
    "right_eye",
)
"""Regions by their published number."""
# As published: ears are left out, and both eyes are replaced by each.
_PLAYED = tuple(region for region in REGIONS if region not in ("ears", "eyes"))
_ROLES = {"PROBE": "probe", "REF": "mate"}
_COLUMNS = ("SUBJECT_ID", "ORIGINAL_FILE", "TRIPLET_SET")
_LISTED = ("SUBJECT_ID", "MASK_ID", "ORIGINAL_BASENAME")


class _InpaintedImages(WrappedSource):
    """Images with the mask of what was replaced, which originals do not have."""

    def __init__(
        self,
        source: StoredImages,
        store: ImageStore,
        files: Sequence[str | None],
        originals: Sequence[int],
        ids: Sequence[str],
    ) -> None:
        super().__init__(source)
        self.parts = (INPAINTED,)
        self._store, self._files, self._originals, self._ids = store, list(files), list(originals), list(ids)

    def masks(self, part: str, rows: Sequence[int]) -> list[Bool[ndarray, "h w"]]:
        """Where the picture was replaced, at its size."""
        return in_threads(self._mask, rows)

    def _mask(self, row: int) -> Bool[ndarray, "h w"]:
        file = self._files[row]
        own, original = self._source.read([row, self._originals[row]])
        if file is None:
            return np.zeros(own.shape[:2], dtype=bool)
        try:
            mask = nearest_mask(decode_labels(self._store.read(file)) > 127, own.shape[:2])
        except UnreadableImageError as error:
            raise ImageError(self._ids[row], f"its mask: {error}") from error
        # Some inpainters mark what is kept, others what is replaced: the pictures say which.
        if own.shape == original.shape:
            apart = changed(own, original, 0)
            if mask.any() and not mask.all() and apart[mask].mean() < apart[~mask].mean():
                return ~mask
        return mask


@reader("inpainting", example="PATH")
def open_inpainting(path: Path, *, regions: tuple[str, ...] = _PLAYED, listed: str | None = None) -> FaceSet:
    r"""Open the inpainting game's dataset as published, unpacked: ``IJBC/subj-1244.csv`` and ``IJBC/aligned/1244/img/...``.

    Of each image of a subject, ``aligned/SUBJECT/img/NUMBER/inpainted/`` holds for each region ``00002_truth.png`` (the
    original), ``00002_out_0.png`` (the region inpainted) and ``00002_mask.png``. An original is opened once. The set is made
    for `fusiform.faces.InpaintingGame`.

    Parameters
    ----------
    path : Path
        The folder, or the one above it.
    regions : tuple of str, default all but ears and eyes
        Which regions, by name out of `REGIONS` or by number. Eyes are there one by one.
    listed : str, optional
        One of the published lists, such as ``filtered_masks_threshold-lightcnn.csv``: only the inpainted images that it names
        are opened, those that its network tells from the originals.

    Returns
    -------
    FaceSet
        With ``identity``, ``subject``, ``part`` (NA of originals), ``role`` and ``original``, and the mask "inpainted". Images
        that are not there are in `skipped`.

    Raises
    ------
    DataError
        If the layout is another one, still packed, or holds no inpainted image.
    SpecError
        If there is no such region.

    References
    ----------
    Williford, May and Byrne, Explainable Face Recognition, ECCV 2020, section 4.2.

    Examples
    --------
    >>> import tempfile
    >>> from PIL import Image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "subj-7.csv").write_text("SUBJECT_ID,ORIGINAL_FILE,TRIPLET_SET\n7,img/1.jpg,PROBE\n")
    ...     inner = Path(folder, "aligned", "7", "img", "1", "inpainted")
    ...     inner.mkdir(parents=True)
    ...     for name in ("truth", "out_0", "mask"):
    ...         Image.new("L", (8, 8)).save(inner / f"00002_{name}.png")
    ...     open_inpainting(Path(folder)).table[["image_id", "part", "role"]].fillna("").values.tolist()
    [['7/1', '', 'probe'], ['7/1_nose', 'nose', 'probe']]
    """
    numbers = _numbers(regions)
    root = _root(path)
    table = pd.concat([_subject(file) for file in sorted(root.glob("subj-*.csv"))], ignore_index=True)
    wanted = None if listed is None else _wanted(root, listed)
    store = FolderStore(root)
    rows: list[dict[str, object]] = []
    skipped: list[tuple[str, str]] = []
    for subject, file, role in table[list(_COLUMNS)].itertuples(index=False):
        base = file.rpartition(".")[0] or file
        image = f"{subject}/{base.rpartition('/')[2]}"
        folder = f"aligned/{subject}/{base}/inpainted"
        named = {n: f"{folder}/{n:05d}" for n in numbers if wanted is None or (subject, n, base) in wanted}
        there = {n: stem for n, stem in named.items() if store.has(f"{stem}_out_0.png")}
        truth = next((f"{s}_truth.png" for s in there.values() if store.has(f"{s}_truth.png")), None)
        if truth is None:
            if named:
                skipped.append((image, f"no original or no inpainted image in '{folder}'"))
            continue
        shared = {"subject": subject, "role": role}
        rows.append({"image_id": image, "identity": subject, **shared, "file": truth})
        for n, stem in named.items():
            inpainted = f"{image}_{REGIONS[n]}"
            if n not in there:
                skipped.append((inpainted, f"no '{stem}_out_0.png'"))
                continue
            rows.append(
                {
                    "image_id": inpainted,
                    "identity": f"{subject}_{REGIONS[n]}",
                    **shared,
                    "part": REGIONS[n],
                    "original": image,
                    "file": f"{stem}_out_0.png",
                    "mask": f"{stem}_mask.png",
                }
            )
    return _face_set(path, root, store, rows, skipped, listed)


def _face_set(
    path: Path,
    root: Path,
    store: ImageStore,
    rows: list[dict[str, object]],
    skipped: list[tuple[str, str]],
    listed: str | None,
) -> FaceSet:
    if not rows:
        raise DataError(
            f"'{root}' holds no inpainted images: {len(skipped)} are named, and none is there"
            f"{f', the first: {skipped[0][1]}' if skipped else ''}. Unpack the subjects' archives there."
        )
    table = pd.DataFrame(rows).reindex(columns=["image_id", *SCHEMA, "file", "mask"]).astype("string")
    ids = table["image_id"].tolist()
    at = {image: row for row, image in enumerate(ids)}
    originals = [at[o] if isinstance(o, str) else row for row, o in enumerate(table["original"])]
    masks = [m if isinstance(m, str) else None for m in table["mask"]]
    source = StoredImages(store, table["file"].tolist(), ids)
    return FaceSet(
        name="inpainting game",
        table=table[["image_id", *SCHEMA]],
        schema=SCHEMA,
        source=_InpaintedImages(source, store, masks, originals, ids),
        skipped=pd.DataFrame(skipped, columns=["image_id", "reason"]),
        provenance={
            "reader": "inpainting",
            "source": str(path),
            "images": str(root),
            "listed": listed,
            "paper": "Williford, May and Byrne 2020, Explainable Face Recognition, ECCV",
            "licence": "pictures of IJB-C, under its terms and Creative Commons licences",
        },
    )


def _numbers(regions: Sequence[str]) -> list[int]:
    known = {name: n for n, name in enumerate(REGIONS)} | {str(n): n for n in range(len(REGIONS))}
    for region in regions:
        if region not in known:
            raise SpecError(f"The inpainting game has no region '{region}'; {nearest(region, REGIONS)}")
    return sorted({known[region] for region in regions})


def _root(path: Path) -> Path:
    places = (
        path,
        path / "IJBC",
        path / "inpainting-game" / "IJBC",
        path / "data" / "inpainting-game" / "IJBC",
    )
    root = next((place for place in places if any(place.glob("subj-*.csv"))), None)
    if root is None:
        raise DataError(
            f"'{path}' is not the inpainting game's dataset: it holds no table 'subj-NUMBER.csv', here or in IJBC; it holds "
            f"{contents(path)}."
        )
    if not (root / "aligned").is_dir():
        raise DataError(f"'{root}' has no folder 'aligned'. Unpack the archives 'subj-NUMBER.tar.gz' there.")
    return root


def _subject(file: Path) -> pd.DataFrame:
    table = read_table(file).astype("string")
    lacking = [column for column in _COLUMNS if column not in table]
    if lacking:
        raise DataError(f"'{file}' must have the columns {', '.join(_COLUMNS)}; '{lacking[0]}' is not there.")
    strange = ~table["TRIPLET_SET"].isin(list(_ROLES))
    if strange.any():
        line = int(np.flatnonzero(strange.to_numpy())[0])
        raise DataError(
            f"Line {line + 2} of '{file}': TRIPLET_SET must be PROBE or REF; got '{table['TRIPLET_SET'].iloc[line]}'."
        )
    # A picture with several sightings has a line for each.
    table = table[list(_COLUMNS)].dropna().drop_duplicates(["SUBJECT_ID", "ORIGINAL_FILE"])
    return table.assign(TRIPLET_SET=table["TRIPLET_SET"].map(_ROLES))


def _wanted(root: Path, listed: str) -> set[tuple[str, int, str]]:
    file = next((f for f in (root / listed, Path(listed).expanduser()) if f.is_file()), None)
    if file is None:
        raise DataError(f"There is no list '{listed}', here or in '{root}'; it holds {contents(root)}.")
    table = read_table(file).astype("string")
    lacking = [column for column in _LISTED if column not in table]
    if lacking:
        raise DataError(f"'{file}' must have the columns {', '.join(_LISTED)}; '{lacking[0]}' is not there.")
    try:
        return {(s, int(m), b) for s, m, b in table[list(_LISTED)].itertuples(index=False)}
    except (TypeError, ValueError) as error:
        raise DataError(f"'{file}': MASK_ID must be a whole number in every line ({error}).") from error
