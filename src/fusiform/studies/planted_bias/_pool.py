"""Pictures of men and women with and without a cue, and biased training sets drawn from them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Int, UInt8
from numpy import ndarray
from torch import Tensor

from fusiform.errors import DataError, nearest
from fusiform.faces import FaceSet, identity_codes, split_identities, synthetic_faces
from fusiform.faces.synthetic import sample_parameters, settle
from fusiform.networks import FaceNetwork, frame_faces
from fusiform.runs import Progress
from fusiform.studies.planted_bias._request import Cue, PlantedBiasRequest

_LUMINANCE = (0.299, 0.587, 0.114)
_CHUNK = 256
# Share of a set's people who are tested on.
_TESTED = 0.25
_FEWEST = 4
_GLASSES = "Eyeglasses"


@dataclass(frozen=True)
class Pool:
    """Pictures of men and women with and without a cue, held in memory.

    Attributes
    ----------
    faces : FaceSet
        The pictures, of the network's input size, with the columns ``Male`` and ``cue``.
    male, cue : bool array, shape (n,)
        What each shows.
    face : int array, shape (n,)
        Which face; pictures of one face with and without the cue share it.
    train, test : int array
        Rows, of different people as far as these are known. The test rows hold as many pictures of men and women with
        and without the cue.
    group : int
        Men, and women, in a training set.
    """

    faces: FaceSet
    male: Bool[ndarray, " n"]
    cue: Bool[ndarray, " n"]
    face: Int[ndarray, " n"]
    train: Int[ndarray, " t"]
    test: Int[ndarray, " s"]
    group: int

    def biased(self, percent: int, seed: int) -> Int[ndarray, " 2*group"]:
        """Draw a training set: `percent` of the men and 100 - `percent` of the women carry the cue.

        No face is in it twice. Of one seed, the sets of all percentages are as alike as they can be.
        """
        rng = np.random.default_rng(np.random.SeedSequence([seed, 31]))
        drawn = []
        for male in (True, False):
            rows = self.train[self.male[self.train] == male]
            order = np.full(self.face.max() + 1, -1)
            order[rng.permutation(np.unique(self.face[rows]))] = np.arange(len(np.unique(self.face[rows])))
            rows = rows[np.argsort(order[self.face[rows]], kind="stable")]
            carriers = round(self.group * (percent if male else 100 - percent) / 100)
            drawn += [rows[self.cue[rows]][:carriers], rows[~self.cue[rows]][::-1][: self.group - carriers]]
        return np.concatenate(drawn)


def synthetic_pool(
    cue: Cue, request: PlantedBiasRequest, size: int, progress: Progress
) -> tuple[Pool, pd.DataFrame]:
    """Draw each of many synthetic people with and without the cue; nothing else differs between the two pictures."""
    counts = (2 * (request.train_images // 2), 2 * max(1, request.test_images // 4))
    parts = [
        sample_parameters(n, seed=20 + 3 * request.seed + k, per_identity=1, marginals={"Male": 0.5})
        for k, n in enumerate(counts)
    ]
    people = pd.concat(parts, ignore_index=True)
    people["image_id"] = [f"{k:05d}" for k in range(len(people))]
    rng = np.random.default_rng(np.random.SeedSequence([request.seed, 32]))
    if cue == "eyeglasses":
        faces = synthetic_faces(settle(people, {_GLASSES: False}, rng), size=size)
        worn = synthetic_faces(settle(people, {_GLASSES: True}, rng), size=size)
        plain = _images(faces, progress.task("Drawing faces without eyeglasses"))
        cued = _images(worn, progress.task("Drawing the same faces with eyeglasses"))
    else:
        faces = synthetic_faces(people, size=size)
        plain = _images(faces, progress.task("Drawing faces"))
        cued = grey_of(plain, request.grey)
    male = faces.table["Male"].to_numpy(dtype=bool)
    trained = np.arange(len(people)) < counts[0]
    pool = _twins(plain, cued, people["image_id"], male, trained, request)
    return pool, pd.DataFrame({"image_id": [], "reason": []}, dtype="string")


def pool_of(
    cue: Cue, faces: FaceSet, net: FaceNetwork, request: PlantedBiasRequest, progress: Progress
) -> tuple[Pool, pd.DataFrame]:
    """Choose pictures of a set by its column Eyeglasses, or make them grey; also give what was left out and why."""
    male, worn = _column(faces, "Male"), _column(faces, _GLASSES) if cue == "eyeglasses" else None
    rows, in_train = split_people(cue, faces, request)
    rows, in_train = _chosen(rows, in_train, _cells(male, worn, rows), request)
    kept = faces.subset(rows).readable(strict=request.strict, progress=progress.task("Reading faces"))
    framed, _ = frame_faces(net, kept, request.align)
    if framed.size != net.card.input_size:
        framed = framed.resized(net.card.input_size)
    # Unreadable pictures and those without landmarks are gone.
    place = pd.Series(np.arange(len(rows)), index=faces.table["image_id"].iloc[rows].astype(str))
    at = place.loc[framed.table["image_id"].astype(str)].to_numpy()
    rows, in_train = rows[at], in_train[at]
    plain = _images(framed, progress.task("Framing faces"))
    is_male = male.iloc[rows].to_numpy(dtype=bool)
    ids = framed.table["image_id"].astype(str)
    if worn is None:
        pool = _twins(plain, grey_of(plain, request.grey), ids, is_male, in_train, request)
    else:
        carries = worn.iloc[rows].to_numpy(dtype=bool)
        pool = _pool(plain, ids, is_male, carries, np.arange(len(rows)), in_train, request)
    return pool, framed.skipped


def split_people(
    cue: Cue, faces: FaceSet, request: PlantedBiasRequest
) -> tuple[Int[ndarray, " k"], Bool[ndarray, " k"]]:
    """Rows of which sex and cue are known, and which are trained on; nobody is on both sides, as far as people are known."""
    known = _column(faces, "Male").notna().to_numpy(copy=True)
    if cue == "eyeglasses":
        known &= _column(faces, _GLASSES).notna().to_numpy()
    rows = np.flatnonzero(known)
    people = np.arange(len(faces)) if faces.identity is None else identity_codes(faces.table[faces.identity])
    try:
        trained, _ = split_identities(people[rows], fractions=(1 - _TESTED, _TESTED), seed=request.seed)
    except DataError as error:
        raise DataError(
            f"The faces '{faces.name}' cannot be split into training and test: {error}"
        ) from error
    return rows, np.isin(np.arange(len(rows)), trained)


def unknown_people(faces: FaceSet) -> str:
    """What is to be said where it is not known who is shown; "" where it is."""
    unknown = len(faces) if faces.identity is None else int(faces.table[faces.identity].isna().sum())
    if not unknown:
        return ""
    return (
        f"Of {unknown} of the {len(faces)} images of '{faces.name}' it is not known whom they show: they were split image by image, "
        "and people of the test set may be in the training set too."
    )


def check_columns(faces: FaceSet, cue: Cue) -> None:
    """Complain where a set lacks the columns that a cue needs."""
    for name in ("Male", _GLASSES) if cue == "eyeglasses" else ("Male",):
        _column(faces, name)


def grey_of(images: UInt8[Tensor, "n 3 h w"], how: str = "luminance") -> UInt8[Tensor, "n 3 h w"]:
    """Take the colour out of images: Rec. 601 luma, or the mean of red, green and blue.

    Examples
    --------
    >>> grey_of(torch.tensor([255, 0, 0], dtype=torch.uint8).reshape(1, 3, 1, 1)).flatten().tolist()
    [76, 76, 76]
    """
    weights = torch.tensor(_LUMINANCE if how == "luminance" else (1 / 3,) * 3)[:, None, None]
    parts = [(chunk.float() * weights).sum(1, keepdim=True) for chunk in images.split(_CHUNK)]
    return torch.cat(parts).round_().clamp_(0, 255).to(torch.uint8).expand(-1, 3, -1, -1).contiguous()


def _column(faces: FaceSet, name: str) -> pd.Series:
    attribute = faces.schema.get(name)
    if attribute is None:
        raise DataError(
            f"The faces '{faces.name}' have no attribute '{name}', which this study needs; {nearest(name, faces.schema)} "
            "Give other faces, or none for synthetic ones."
        )
    if attribute.kind != "binary":
        raise DataError(f"The attribute '{name}' of '{faces.name}' must be binary; it is {attribute.kind}.")
    return faces.table[name]


def _cells(male: pd.Series, worn: pd.Series | None, rows: ndarray) -> Int[ndarray, " k"]:
    """Sex and cue of each row as one number; where the cue is made of the picture itself, sex alone."""
    code = male.iloc[rows].to_numpy(dtype=bool).astype(int)
    return code if worn is None else 2 * code + worn.iloc[rows].to_numpy(dtype=bool)


def _chosen(
    rows: ndarray, in_train: ndarray, cells: ndarray, request: PlantedBiasRequest
) -> tuple[ndarray, ndarray]:
    """As many rows at random as can be needed, so that no large set is read whole."""
    rng = np.random.default_rng(np.random.SeedSequence([request.seed, 33]))
    most = {True: request.train_images // 2, False: max(1, request.test_images // 4)}
    kept = []
    for cell, trained in product(np.unique(cells), (True, False)):
        here = np.flatnonzero((cells == cell) & (in_train == trained))
        kept.append(rng.permutation(here)[: most[trained]])
    chosen = np.sort(np.concatenate(kept)) if kept else np.zeros(0, dtype=int)
    return rows[chosen], in_train[chosen]


def _twins(
    plain: Tensor,
    cued: Tensor,
    ids: Sequence[str] | pd.Series,
    male: ndarray,
    in_train: ndarray,
    request: PlantedBiasRequest,
) -> Pool:
    n = len(plain)
    both = [f"{name}{end}" for end in ("", "+cue") for name in ids]
    carries = np.repeat([False, True], n)
    face = np.tile(np.arange(n), 2)
    return _pool(
        torch.cat([plain, cued]), both, np.tile(male, 2), carries, face, np.tile(in_train, 2), request
    )


def _pool(
    images: Tensor,
    ids: Sequence[str] | pd.Series,
    male: ndarray,
    cue: ndarray,
    face: ndarray,
    in_train: ndarray,
    request: PlantedBiasRequest,
) -> Pool:
    levels = np.array(request.levels) / 100
    group = request.train_images // 2
    each = max(1, request.test_images // 4)
    counts = []
    for is_male, carries in product((True, False), (True, False)):
        here = (male == is_male) & (cue == carries)
        share = np.max(levels if is_male == carries else 1 - levels)
        trained, tested = int((here & in_train).sum()), int((here & ~in_train).sum())
        counts.append(
            f"{'men' if is_male else 'women'} {'with' if carries else 'without'} {trained} + {tested}"
        )
        group = min(group, int(trained / share + 1e-9) if share else group)
        each = min(each, tested)
    for is_male in (True, False):
        group = min(group, len(np.unique(face[(male == is_male) & in_train])))
    if group < _FEWEST or each < 1:
        raise DataError(
            f"There are too few pictures for biased training sets of {_FEWEST} men and women and a test set. Pictures to "
            f"train + test on, by sex and cue: {', '.join(counts)}. Give more faces."
        )
    test = [
        np.flatnonzero((male == m) & (cue == c) & ~in_train)[:each]
        for m, c in product((True, False), (False, True))
    ]
    table = pd.DataFrame({"image_id": list(ids), "Male": male, "cue": cue})
    faces = FaceSet.from_arrays(images, table, name="pictures with and without a cue")
    return Pool(faces, male, cue, face, np.flatnonzero(in_train), np.concatenate(test), group)


def _images(faces: FaceSet, done: Callable[[int, int], None]) -> UInt8[Tensor, "n 3 h w"]:
    out = []
    for start in range(0, len(faces), _CHUNK):
        rows = np.arange(start, min(start + _CHUNK, len(faces)))
        out.append(faces.images(rows))
        done(int(rows[-1]) + 1, len(faces))
    return torch.cat(out)
