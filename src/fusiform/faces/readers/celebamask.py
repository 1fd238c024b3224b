"""CelebAMask-HQ: faces of CelebA-HQ with hand-drawn masks of 19 classes."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import UInt8
from numpy import ndarray

from fusiform.errors import DataError
from fusiform.faces._attribute import Attribute
from fusiform.faces._face_set import FaceSet
from fusiform.faces._images import UnreadableImageError, decode, decode_labels
from fusiform.faces._label_maps import LabelledImages
from fusiform.faces._lists import contents, each_once, find_file, read_list
from fusiform.faces._locate import images_under
from fusiform.faces._schema import as_kind
from fusiform.faces._sources import Source, StoredImages
from fusiform.faces._stores import FolderStore
from fusiform.faces.readers import reader

# In the order of their class numbers, which is also the order in which they cover each other.
_CLASSES = (
    "background", "skin", "nose", "eye_g", "l_eye", "r_eye", "l_brow", "r_brow", "l_ear", "r_ear", "mouth", "u_lip",
    "l_lip", "hair", "hat", "ear_r", "neck_l", "neck", "cloth",
)  # fmt: skip
# The set's left is the shown person's, fusiform's left is as seen in the image.
PARTS: dict[str, tuple[str, ...]] = {
    "glasses": ("eye_g",),
    "hat": ("hat",),
    "hair": ("hair",),
    "left_eye": ("r_eye",),
    "right_eye": ("l_eye",),
    "left_brow": ("r_brow",),
    "right_brow": ("l_brow",),
    "mouth": ("mouth", "u_lip", "l_lip"),
    "upper_lip": ("u_lip",),
    "lower_lip": ("l_lip",),
    "nose": ("nose",),
    "skin": ("skin",),
    "left_ear": ("r_ear",),
    "right_ear": ("l_ear",),
    "earrings": ("ear_r",),
    "necklace": ("neck_l",),
    "neck": ("neck",),
    "clothes": ("cloth",),
    "background": ("background",),
}
_PER_FOLDER = 2000
_ROOTS = ("", "CelebAMask-HQ")
_IMAGES = ("CelebA-HQ-img", "images")
_LABELS = ("CelebAMask-HQ-mask", "CelebAMaskHQ-mask", "masks", "")
_LISTS = ("attribute-anno", "pose-anno")
_NUMBER = re.compile(r"(?:^|/)0*(\d+)(\.[a-z]+)$", re.IGNORECASE)
# Where CelebA's own split begins its validation and its test files; README of CelebAMask-HQ says to use it.
_FIRST_VALID, _FIRST_TEST = 162_771, 182_638
# The published line of names says "Raw" for the roll.
_POSE = {"yaw": ("yaw",), "pitch": ("pitch",), "roll": ("roll", "raw")}


def _images(root: Path) -> tuple[FolderStore, list[str], list[str], pd.DataFrame]:
    """The store, names and numbers of the images, and what was skipped."""
    folder = next((root / name for name in _IMAGES if (root / name).is_dir()), root)
    store, names = images_under(
        folder, "CelebAMask-HQ's images 0.jpg in CelebA-HQ-img, or beside their masks 0.png"
    )
    if not isinstance(store, FolderStore):
        raise DataError(
            f"CelebAMask-HQ is read from folders, for its masks lie in files of their own; unpack '{store.root}'."
        )
    found: dict[str, str] = {}
    reasons: dict[str, str] = {}
    beside = folder == root
    for name in names:
        match = _NUMBER.search(name)
        if beside and (name.count("/") or (match and match[2].lower() == ".png")):
            continue  # masks
        if match is None:
            reasons[name] = "its name is not a number"
        elif match[1] in found:
            reasons[name] = f"the same number as '{found[match[1]]}'"
        else:
            found[match[1]] = name
    if not found:
        raise DataError(
            f"'{root}' is not laid out like CelebAMask-HQ: looked for images 0.jpg, 1.jpg, ... in CelebA-HQ-img or in it; "
            f"found {contents(folder)}."
        )
    numbers = sorted(found, key=int)
    skipped = pd.DataFrame({"image_id": list(reasons), "reason": list(reasons.values())})
    return store, [found[number] for number in numbers], numbers, skipped


def _part_file(number: str, part: str) -> str:
    return f"{int(number) // _PER_FOLDER}/{int(number):05d}_{part}.png"


def _parts_reader(
    folder: Path, numbers: Sequence[str]
) -> tuple[Callable[[int], UInt8[ndarray, "h w"]], list[str]]:
    """A function from row to class numbers, put together from one picture a part; and the numbers that have any."""
    store = FolderStore(folder)

    def read(row: int) -> UInt8[ndarray, "h w"]:
        labels: UInt8[ndarray, "h w"] | None = None
        for value, part in enumerate(_CLASSES):
            file = _part_file(numbers[row], part)
            if value == 0 or not store.has(file):
                continue
            drawn = decode(store.read(file))[..., 0] > 0
            if labels is None:
                labels = np.zeros(drawn.shape, dtype=np.uint8)
            if drawn.shape != labels.shape:
                raise UnreadableImageError(
                    f"'{file}' is {drawn.shape[1]} x {drawn.shape[0]}, the parts before it {labels.shape[1]} x "
                    f"{labels.shape[0]}"
                )
            labels[drawn] = value
        if labels is None:
            raise UnreadableImageError(f"none of its parts is in {folder}")
        return labels

    have = [n for n in numbers if any(store.has(_part_file(n, part)) for part in _CLASSES[1:])]
    return read, have


def _labels_reader(
    folder: Path, numbers: Sequence[str]
) -> tuple[Callable[[int], UInt8[ndarray, "h w"]], list[str]]:
    """A function from row to class numbers in one picture; and the numbers that have one."""
    store = FolderStore(folder)

    def file(number: str) -> str:
        padded = f"{int(number):05d}.png"
        return padded if store.has(padded) else f"{number}.png"

    def read(row: int) -> UInt8[ndarray, "h w"]:
        return decode_labels(store.read(file(numbers[row])))

    return read, [n for n in numbers if store.has(file(n))]


def _with_masks(
    source: Source, root: Path, numbers: Sequence[str], ids: Sequence[str]
) -> tuple[Source, list[str] | None, str | None]:
    """The source with masks where there are any; the ids without, and where the masks lie."""
    folders = [(root / "CelebAMask-HQ-mask-anno", _parts_reader)]
    folders += [(root / name, _labels_reader) for name in _LABELS]
    for folder, make in folders:
        if not folder.is_dir():
            continue
        read, have = make(folder, numbers)
        if have:
            parts = {part: [_CLASSES.index(name) for name in names] for part, names in PARTS.items()}
            known = set(have)
            without = [image_id for image_id, number in zip(ids, numbers, strict=True) if number not in known]
            return LabelledImages(source, parts, read, ids), without, str(folder)
    return source, None, None


def _by_number(table: pd.DataFrame, file: Path) -> pd.DataFrame:
    keys = [_NUMBER.search(str(name)) for name in table.index]
    odd = [str(name) for name, key in zip(table.index, keys, strict=True) if key is None]
    if odd:
        raise DataError(f"'{file}' names '{odd[0]}', expected images 0.jpg, 1.jpg, ...")
    return each_once(table.set_axis([key[1] for key in keys if key], axis=0), file)


def _mapping(file: Path, numbers: Sequence[str]) -> pd.DataFrame:
    """CelebA's file and part of its split, by number."""
    try:
        table = pd.read_csv(file, sep=r"\s+", dtype=str, encoding="utf-8-sig", index_col=False)
    except (OSError, ValueError) as error:
        raise DataError(f"'{file}' cannot be read: {str(error).strip()}.") from error
    if not {"idx", "orig_file"} <= set(table.columns):
        raise DataError(f"'{file}' must have the columns idx and orig_file; got {', '.join(table.columns)}.")
    table = each_once(table.set_index("idx"), file)
    originals = table["orig_file"].str.extract(r"^(\d{6})\.", expand=False)
    odd = np.flatnonzero(originals.isna())
    if len(odd):
        raise DataError(
            f"'{file}', image {table.index[odd[0]]}: its original must be a file such as 000001.jpg; got "
            f"'{table['orig_file'].iloc[odd[0]]}'."
        )
    order = originals.astype(int)
    split = np.where(order < _FIRST_VALID, "train", np.where(order < _FIRST_TEST, "valid", "test"))
    found = pd.DataFrame({"celeba_file": table["orig_file"], "partition": split}, index=table.index)
    return found.reindex(pd.Index(numbers))


def _columns_of(stem: str, columns: pd.DataFrame, file: Path) -> list[tuple[str, str, Attribute]]:
    """Name, column and attribute of what a list holds."""
    if stem == "attribute-anno":
        return [(name, name, Attribute("binary")) for name in columns.columns]
    found = {name.lower(): name for name in columns.columns}
    absent = [name for name, options in _POSE.items() if not any(o in found for o in options)]
    if absent:
        raise DataError(
            f"'{file}' must have the columns Yaw, Pitch and Roll; got {', '.join(columns.columns)}."
        )
    return [
        (
            name,
            next(found[o] for o in options if o in found),
            Attribute(
                "continuous", unit="deg", description="its sign as published, not compared with fusiform's"
            ),
        )
        for name, options in _POSE.items()
    ]


@reader("celebamaskhq", example="PATH")
def open_celebamaskhq(path: Path) -> FaceSet:
    r"""Open CelebAMask-HQ: ``CelebA-HQ-img/0.jpg`` and its masks, or images ``0.jpg`` beside masks ``0.png``.

    Masks are the pictures a part in ``CelebAMask-HQ-mask-anno/0`` to ``14`` (``00000_l_brow.png``), put over each other in
    the order of the published class numbers, or one picture of class numbers 0 to 18 an image in ``CelebAMask-HQ-mask`` or
    beside the images; at 512 x 512 pixels, they are enlarged to the image by nearest neighbours. Parts have fusiform's names:
    the set's ``l_eye`` is the shown person's left eye and so ``right_eye``; ``mouth`` includes both lips. A part that is
    covered or not there has an empty mask; an image without any mask file raises `ImageError` when its masks are asked for,
    and is counted in the provenance.

    Read where they are there: ``CelebAMask-HQ-attribute-anno.txt`` (40 binary attributes), ``CelebAMask-HQ-pose-anno.txt``
    (``yaw``, ``pitch``, ``roll`` in degrees, signs as published), and ``CelebA-HQ-to-CelebA-mapping.txt`` (``celeba_file``, and
    ``partition``: train, valid, test as in CelebA), from which follows ``identity`` when CelebA's ``identity_CelebA.txt`` lies
    beside it. Images that are listed but not there are listed in `skipped`.

    Parameters
    ----------
    path : Path
        The folder.

    Returns
    -------
    FaceSet
        The set; image ids are the file names, ``0.jpg``.

    Raises
    ------
    DataError
        If there are no such images, or a list cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> from PIL import Image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Image.new("RGB", (8, 8)).save(f"{folder}/0.jpg")
    ...     Image.new("L", (4, 4), 4).save(f"{folder}/0.png")
    ...     faces = open_celebamaskhq(Path(folder))
    ...     int(faces.mask("right_eye").sum()), int(faces.mask("left_eye").sum())
    (64, 0)
    """
    if not path.is_dir():
        raise DataError(
            f"CelebAMask-HQ is a folder with CelebA-HQ-img and CelebAMask-HQ-mask-anno; '{path}' is a file."
        )
    root = next((path / r for r in _ROOTS if (path / r / _IMAGES[0]).is_dir()), path)
    store, stored, numbers, skipped = _images(root)
    ids = [name.rpartition("/")[2] for name in stored]
    table = pd.DataFrame({"image_id": ids})
    schema: dict[str, Attribute] = {}
    lists: list[Path] = []
    listed: dict[str, str] = {}
    there = set(numbers)
    for stem in _LISTS:
        file = find_file(root, f"CelebAMask-HQ-{stem}")
        if file is None:
            continue
        lists.append(file)
        columns = _by_number(read_list(file), file)
        listed |= {f"{number}.jpg": file.name for number in columns.index if number not in there}
        for name, source_name, attribute in _columns_of(stem, columns, file):
            table[name] = as_kind(columns[source_name].reindex(numbers), attribute.kind, name)
            schema[name] = attribute
    mapping_file = find_file(root, "CelebA-HQ-to-CelebA-mapping")
    if mapping_file is not None:
        lists.append(mapping_file)
        mapping = _mapping(mapping_file, numbers)
        identity_file = find_file(root, "identity_CelebA", ("", "Anno", "CelebA"))
        if identity_file is not None:
            lists.append(identity_file)
            people = read_list(identity_file, ["identity"]).iloc[:, 0].reindex(mapping["celeba_file"])
            table["identity"] = as_kind(people, "identity", "identity")
            schema["identity"] = Attribute("identity", description="as in CelebA")
        for name, what in (("partition", "CelebA's split"), ("celeba_file", "the original in CelebA")):
            table[name] = as_kind(mapping[name], "categorical", name)
            schema[name] = Attribute("categorical", description=what)
    source, without, masks = _with_masks(StoredImages(store, stored, ids), root, numbers, ids)
    lost = pd.DataFrame(
        {
            "image_id": list(listed),
            "reason": [
                f"listed in {name}, but not among the images in {store.root}" for name in listed.values()
            ],
        }
    )
    return FaceSet(
        name="celebamaskhq",
        table=table,
        schema=schema,
        source=source,
        skipped=pd.concat([skipped, lost]),
        provenance={
            "reader": "celebamaskhq",
            "source": str(path),
            "images": str(store.root),
            "masks": masks,
            "n_without_masks": None if without is None else len(without),
            "lists": [file.name for file in lists],
            "paper": "Lee, Liu, Wu and Luo 2020, MaskGAN: Towards Diverse and Interactive Facial Image Manipulation, CVPR",
            "licence": "non-commercial research and education only; copies must not be passed on",
        },
    )
