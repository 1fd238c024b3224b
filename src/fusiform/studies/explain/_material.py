"""Images as the network sees them, and where the parts of their faces are."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from fusiform.attribution import FRONTAL_PARTS, frontal_parts
from fusiform.errors import DataError, ImageError, nearest
from fusiform.faces import PARTS8, FaceSet, part_masks, part_sources, pick_faces
from fusiform.faces._images import UnreadableImageError, decode
from fusiform.networks import FaceNetwork, frame_faces, load_network, predict_landmarks
from fusiform.runs import Progress
from fusiform.studies.explain._request import ExplainRequest

_FEW = {"images": 12, "identities": 8}
_WHOLE = ("eyes", "brows", "cheeks")
TEMPLATE = "fixed places of an aligned frontal face"
_MASKS, _ELLIPSES = "masks of the set", "ellipses about 68 landmarks"


def faces_of_files(files: Sequence[str]) -> FaceSet:
    """Read image files into a set, each once, named as they were given.

    Raises
    ------
    DataError
        If one is not there.
    ImageError
        If one is no image.
    """
    names = list(dict.fromkeys(files))
    images = []
    for name in names:
        path = Path(name).expanduser()
        if not path.is_file():
            there = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
            raise DataError(
                f"There is no image file '{name}'; {nearest(path.name, there)} For an image of a set, name the set too: "
                "--faces SPEC."
            )
        try:
            images.append(torch.from_numpy(decode(path.read_bytes())).permute(2, 0, 1))
        except UnreadableImageError as error:
            raise ImageError(name, str(error)) from error
        except OSError as error:
            raise ImageError(name, f"it cannot be opened: {error.strerror or error}") from error
    import pandas as pd

    return FaceSet.from_arrays(images, pd.DataFrame({"image_id": names}), name="files")


def asked_faces(request: ExplainRequest, faces: FaceSet | None, progress: Progress) -> FaceSet:
    """The images that are asked about, with landmarks where a network for them was named.

    Raises
    ------
    DataError, ImageError
        If one is not there or cannot be read.
    """
    names = [*request.pair, *([request.nonmate] if request.nonmate else []), *request.images]
    some = faces_of_files(names) if faces is None else _of_set(request, faces, names)
    some = some.readable(strict=bool(names) or request.strict)
    if request.landmarks is not None:
        net = load_network(request.landmarks)
        some = predict_landmarks(net, some, progress=progress.task("Landmarks"))
    return some


def _of_set(request: ExplainRequest, faces: FaceSet, names: Sequence[str]) -> FaceSet:
    if request.kind == "identities":
        return faces.subset(_of_people(request, faces))
    if not names:
        return faces.subset(np.sort(pick_faces(faces, request.most or _FEW["images"], seed=request.seed)))
    ids = faces.table["image_id"].tolist()
    place = {name: row for row, name in enumerate(ids)}
    for name in names:
        if name not in place:
            raise DataError(f"The faces '{faces.name}' have no image '{name}'; {nearest(name, ids)}")
    return faces.subset([place[name] for name in dict.fromkeys(names)])


def _of_people(request: ExplainRequest, faces: FaceSet) -> Int[ndarray, " k"]:
    """Rows of both people, and of all others with two images, among whom a threshold can be learned."""
    if faces.identity is None:
        raise DataError(f"The faces '{faces.name}' have no identities, so nobody in them can be named.")
    people = faces.table[faces.identity].astype("string")
    known = people.dropna().unique().tolist()
    taken: list[int] = []
    for who in request.identities:
        rows = np.flatnonzero((people == who).fillna(False).to_numpy())
        if not len(rows):
            raise DataError(f"The faces '{faces.name}' show nobody called '{who}'; {nearest(who, known)}")
        taken += pick_faces(faces, request.most or _FEW["identities"], among=rows, seed=request.seed).tolist()
    return np.array(taken)


@dataclass(frozen=True, eq=False)
class Framed:
    """Images framed for the network.

    Attributes
    ----------
    faces : FaceSet
        Framed and resized to the network's input.
    done : str
        What was done to frame them.
    aligned : bool
        Whether they were brought to the network's template.
    lost : dict of str to str
        Images left out, and why.
    """

    faces: FaceSet
    done: str
    aligned: bool
    lost: dict[str, str]

    def row(self, name: str) -> int:
        """The row of an image.

        Raises
        ------
        DataError
            If it was left out.
        """
        if name in self.lost:
            raise DataError(
                f"Image '{name}' was left out: {self.lost[name]}. Find its landmarks by --landmarks SPEC, or, if its face "
                "is framed as the network wants it, take it as it is by --align none."
            )
        return self.faces.table["image_id"].tolist().index(name)


def framed(net: FaceNetwork, faces: FaceSet, align: str) -> Framed:
    """Frame images for a network."""
    found, done = frame_faces(net, faces, align)
    before = set(faces.skipped["image_id"])
    lost = {str(r.image_id): str(r.reason) for r in found.skipped.itertuples() if r.image_id not in before}
    return Framed(found.resized(net.card.input_size), done, done.startswith("aligned"), lost)


@dataclass(frozen=True, eq=False)
class FaceParts:
    """Where the parts of each face are.

    Attributes
    ----------
    names : tuple of str
        The parts.
    masks : tensor, shape (n, parts, height, width)
        In pixels of the network's input.
    source : tuple of str, length n
        What they are made of.
    left_out : dict of str to str
        Parts that cannot be shown, and why.
    """

    names: tuple[str, ...]
    masks: Float[Tensor, "n p h w"]
    source: tuple[str, ...]
    left_out: dict[str, str]


def parts_of_faces(net: FaceNetwork, faces: FaceSet, rows: Sequence[int]) -> FaceParts:
    """Where the parts are: from masks, else from 68 landmarks, else where they are in an aligned frontal face."""
    sources = part_sources(faces, (*PARTS8, *_WHOLE))
    # Both sides as one only where the set cannot tell them apart.
    names = [
        n for n in sources.names if n not in _WHOLE or f"left_{n.removesuffix('s')}" not in sources.names
    ]
    fixed = frontal_parts(net).float()
    if not names:
        left_out: dict[str, str] = {}
        return FaceParts(
            FRONTAL_PARTS, fixed.expand(len(rows), -1, -1, -1), (TEMPLATE,) * len(rows), left_out
        )
    made = sources.how[names[0]]
    masks, said = [], []
    for row in rows:
        try:
            masks.append(part_masks(faces, [row], net.card.input_size, names)[0].float())
            said.append(_ELLIPSES if made == "ellipses" else _MASKS)
        except DataError:
            masks.append(torch.stack([_fixed(fixed, name) for name in names]))
            said.append(TEMPLATE)
    left_out = {
        name: why
        for name, why in sources.left_out.items()
        if name in PARTS8 and f"{name.split('_')[-1]}s" not in names
    }
    return FaceParts(tuple(names), torch.stack(masks), tuple(said), left_out)


def _fixed(fixed: Tensor, name: str) -> Tensor:
    own = [k for k, part in enumerate(FRONTAL_PARTS) if part == name or f"{part.split('_')[-1]}s" == name]
    return fixed[own].amax(dim=0) if own else torch.zeros_like(fixed[0])
