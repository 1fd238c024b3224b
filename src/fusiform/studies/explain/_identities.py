"""What tells two people apart: canonical saliency of both, and what hiding a place in both images does."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from numpy import ndarray
from torch import Tensor

from fusiform.attribution import PairThreshold, attribute, learn_pair_threshold, look_alikes
from fusiform.attribution.canonical import LookAlikes
from fusiform.errors import AttributionError, DataError
from fusiform.faces import FaceSet, to_canonical
from fusiform.networks import FaceNetwork
from fusiform.runs import Run
from fusiform.studies.attribution._canonical import write_map
from fusiform.studies.explain._material import framed
from fusiform.studies.explain._request import ExplainRequest
from fusiform.studies.explain._work import Rows, Work
from fusiform.targets import Similarity

SIZE = 128
_HELD_OUT = 24  # pairs of each kind, of other people
_PAIRS = 8


@dataclass(frozen=True, eq=False)
class People:
    """Images of two people, and pairs of other people.

    Attributes
    ----------
    rows : (int array, int array)
        Of each person's images.
    landmarks : array, shape (n, 68, 2)
        Of all images of the set, in pixels of the network's input.
    """

    faces: FaceSet
    rows: tuple[Int[ndarray, " a"], Int[ndarray, " b"]]
    landmarks: Float[ndarray, "n 68 2"]

    def ids(self, rows: Int[ndarray, " k"]) -> list[str]:
        """Names of images."""
        return self.faces.table["image_id"].iloc[rows].astype(str).tolist()


def people_of(request: ExplainRequest, faces: FaceSet) -> People:
    """Find both people in framed faces.

    Raises
    ------
    DataError
        If there are no 68 landmarks, or nobody's image is left.
    """
    points = faces.landmarks
    if points is None or points.shape[1] != 68:
        raise DataError(
            f"The faces '{faces.name}' have no 68 landmarks, which carry maps to the canonical face. Find them with a "
            "network: --landmarks SPEC."
        )
    known = np.isfinite(points).all(axis=(1, 2))
    assert faces.identity is not None
    who = faces.table[faces.identity].astype("string")
    rows = []
    for name in request.identities:
        own = np.flatnonzero((who == name).fillna(False).to_numpy() & known)
        if not len(own):
            raise DataError(
                f"No image of '{name}' has landmarks, so nothing can be carried to the canonical face."
            )
        rows.append(own)
    return People(faces, (rows[0], rows[1]), points)


def others_of(request: ExplainRequest, faces: FaceSet) -> FaceSet | None:
    """Two images each of some other people, those with two images first; None where there is nobody else."""
    assert faces.identity is not None
    who = faces.table[faces.identity].astype("string")
    rows: list[int] = []
    for name in who[~who.isin(request.identities)].value_counts().index[:_HELD_OUT]:
        rows += np.flatnonzero((who == name).fillna(False).to_numpy())[:2].tolist()
    return faces.subset(rows) if rows else None


def told_apart(net: FaceNetwork, people: People, request: ExplainRequest) -> LookAlikes:
    """The canonical saliency of both people's images, and the parts in order."""
    inputs = [net.prepare(people.faces.images(rows)) for rows in people.rows]
    points = [people.landmarks[rows] for rows in people.rows]
    return look_alikes(
        net,
        inputs[0],
        inputs[1],
        points[0],
        points[1],
        names=(request.identities[0], request.identities[1]),
        baseline=request.baseline,
        size=SIZE,
        memory_gb=request.memory_gb,
        seed=request.seed,
    )


def mean_faces(people: People) -> list[UInt8[ndarray, "s s"]]:
    """The mean face of each person and of all images on the canonical face, grey; white where none shows it."""
    found = []
    for rows in (*people.rows, np.concatenate(people.rows)):
        grey = people.faces.images(rows).double().mean(dim=1)
        carried, seen = to_canonical(grey, people.landmarks[rows], SIZE)
        total, n = torch.where(seen, carried, 0).sum(dim=0), seen.sum(dim=0)
        mean = torch.where(n > 0, total / n.clamp(min=1), 255.0)
        found.append(mean.round().clamp(0, 255).to(torch.uint8).numpy())
    return found


@dataclass(frozen=True, eq=False)
class Paired:
    """Maps of paired occlusion for images of both people, over the threshold where one was learned."""

    first: Int[ndarray, " k"]
    second: Int[ndarray, " k"]
    similarities: Float[Tensor, " k"]
    maps: Float[Tensor, "k h w"]
    threshold: PairThreshold | None
    why_none: str

    @property
    def lit(self) -> float:
        """Share of the pairs with a place beyond the threshold."""
        return float((self.maps < -1).flatten(1).any(dim=1).double().mean())

    def row(self) -> dict[str, Any]:
        """For the table of thresholds."""
        found = self.threshold
        assert found is not None
        counts = {"n_matches": found.n_matches, "n_nonmatches": found.n_nonmatches}
        rates = {"value": found.value, "hits": found.hits, "false_alarms": found.false_alarms}
        return rates | counts | {"lit": self.lit, "n": len(self.maps)}


def paired(net: FaceNetwork, people: People, others: FaceSet | None, request: ExplainRequest) -> Paired:
    """Hide the same place in images of both people; what is a difference is learned from pairs of other people."""
    mine, theirs = people.rows
    # Every image once before any is taken again.
    grid = [(i, (i + d) % len(theirs)) for d in range(len(theirs)) for i in range(len(mine))]
    chosen = np.array(grid[:_PAIRS])
    first, second = mine[chosen[:, 0]], theirs[chosen[:, 1]]
    maps, similarities = _pair_maps(net, people.faces, first, second, request)
    threshold, why = None, ""
    try:
        threshold = _learned(net, others, request)
    except (AttributionError, DataError) as error:
        why = str(error)
    return Paired(
        first, second, similarities, maps if threshold is None else maps / threshold.value, threshold, why
    )


def _pair_maps(
    net: FaceNetwork,
    faces: FaceSet,
    first: Int[ndarray, " k"],
    second: Int[ndarray, " k"],
    request: ExplainRequest,
) -> tuple[Tensor, Tensor]:
    x, pair = (net.prepare(faces.images(rows)) for rows in (first, second))
    with torch.no_grad():
        target = Similarity(net.embed(pair))
        similarities = target(net, x)
    maps = attribute(
        net,
        x,
        target,
        "paired_occlusion",
        pair=pair,
        baseline=request.baseline,
        memory_gb=request.memory_gb,
        seed=request.seed,
    )
    return maps, similarities


def _learned(net: FaceNetwork, others: FaceSet | None, request: ExplainRequest) -> PairThreshold:
    if others is None or others.identity is None:
        raise DataError("The faces show nobody else, so there are no pairs to learn a threshold from.")
    who = others.table[others.identity].astype("string")
    by = {name: np.flatnonzero((who == name).to_numpy()) for name in who.dropna().unique()}
    mates = [(rows[0], rows[1]) for rows in by.values() if len(rows) > 1][:_HELD_OUT]
    people = list(by.values())
    nonmates = [(a[0], b[0]) for a, b in zip(people, people[1:] + people[:1], strict=True)][:_HELD_OUT]
    if not mates or len(people) < 2:
        raise DataError(
            "A threshold is learned from pairs of one person and of two, none of them the two who are told apart; the faces "
            f"hold {len(mates)} and {len(nonmates) if len(people) > 1 else 0}."
        )
    ends = [np.array(pairs).T for pairs in (mates, nonmates)]
    maps = [_pair_maps(net, others, first, second, request)[0] for first, second in ends]
    return learn_pair_threshold(maps[0], maps[1])


def explain_identities(work: Work, faces: FaceSet) -> Run:
    """Canonical saliency of both people, ranked parts, and what hiding a place in both images does."""
    request, net = work.request, work.net
    people = people_of(request, work.framed.faces)
    for name, rows in zip(request.identities, people.rows, strict=True):
        for image in people.ids(rows):
            work.picture_of(image, name)
    found = work.attempt(
        "canonical saliency", net.card.name, lambda: told_apart(net, people, request), needed=True
    )
    sentences: Rows = []
    if found is not None:
        _write_canonical(work, people, found)
        sentences.append({"image": "", "finding": found.sentence})
    others = others_of(request, faces)
    held_out = None if others is None else framed(net, others.readable(), request.align).faces
    seen = work.attempt("paired occlusion", net.card.name, lambda: paired(net, people, held_out, request))
    if seen is not None:
        sentences += _write_paired(work, people, seen)
    return work.write({}, sentences)


def _write_canonical(work: Work, people: People, found: LookAlikes) -> None:
    names = work.request.identities
    of = dict(zip(found.saliency.groups, found.saliency.maps, strict=True))
    both = f"{names[0]} and {names[1]}"
    maps = [(name, of[name], len(rows)) for name, rows in zip(names, people.rows, strict=True)]
    maps.append((both, found.together.maps[0], sum(map(len, people.rows))))
    for k, ((group, values, n), grey) in enumerate(zip(maps, mean_faces(people), strict=True)):
        file, face = f"canonical_{k}.npy", f"canonical_{k}.png"
        work.picture(face, grey)
        write_map(work.run, file, values.double().cpu().numpy())
        work.add("canonical_maps", group=group, what="contrast", file=file, face=face, n=n)
    for row in found.table.to_dict("records"):
        work.add("look_alikes", first=names[0], second=names[1], **{str(name): v for name, v in row.items()})


def _write_paired(work: Work, people: People, seen: Paired) -> Rows:
    names = [people.ids(rows) for rows in (seen.first, seen.second)]
    told = (
        "threshold not learned"
        if seen.threshold is None
        else f"over the threshold {seen.threshold.value:.3g}"
    )
    for k, (first, second) in enumerate(zip(*names, strict=True)):
        work.add_similarity(first, second, float(seen.similarities[k]))
        file = f"paired_{k:02d}.npy"
        write_map(work.run, file, seen.maps[k].double().cpu().numpy())
        said = {"method": "paired_occlusion", "family": "perturbation", "options": told}
        work.add("maps", image=first, other=second, target="similarity", file=file, **said)
    if seen.threshold is None:
        work.not_measured["pair_threshold"] = seen.why_none
        return []
    work.add("pair_threshold", **seen.row())
    lit = round(seen.lit * len(seen.maps))
    text = (
        f"Of {len(seen.maps)} pairs of their images, {lit} {'has' if lit == 1 else 'have'} a place that sets them apart by more "
        f"than the threshold, which {seen.threshold.false_alarms:.0%} of the pairs of one person exceed."
    )
    return [{"image": "", "finding": text}]
