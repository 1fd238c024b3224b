from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from fusiform.errors import DataError, NetworkError, SpecError, nearest
from fusiform.faces import FaceSet, identity_codes
from fusiform.networks import FaceNetwork, Layer
from fusiform.networks._attack import check_attack, pgd
from fusiform.probing._ablation import check_network, probed_layers
from fusiform.probing._sampling import Draw
from fusiform.runs import Progress
from fusiform.statistics import roc_auc, weighted_auc_interval

if TYPE_CHECKING:
    from fusiform.probing._frozen import ProbeSet

_ATTACKS = ("pgd", "none")
_MOST_GALLERY = 5
_FALSE_MATCH_RATE = 1e-2
# Below it an answer counts as improbable and no more, so that no one probe that is too sure outvotes the others.
_LEAST_PROBABILITY = 0.01

_Answers = dict[tuple[str, str], ndarray]


@dataclass(frozen=True)
class _Claims:
    """Who is claimed, by row of the FaceSet: person, gallery images, an image of the same and of another person."""

    person: Int[ndarray, " n"]
    gallery: list[Int[ndarray, " g"]]
    genuine: Int[ndarray, " n"]
    impostor: Int[ndarray, " n"]

    @property
    def rows(self) -> Int[ndarray, " r"]:
        return np.unique(np.concatenate([*self.gallery, self.genuine, self.impostor]))


def detect_manipulation(
    net: FaceNetwork,
    faces: FaceSet,
    probes: "ProbeSet",
    *,
    layers: Sequence[str] | None = None,
    attack: str = "pgd",
    epsilon: float = 4 / 255,
    steps: int = 10,
    n_pairs: int = 100,
    seed: int = 0,
    batch_size: int = 16,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Detect manipulated inputs by whether their attributes are those of the person they are taken for.

    The second application that Diniz (2020), chapter 6, proposes. A person B is enrolled by up to five gallery
    images: their mean embedding, and B's profile, the mean of the probes' answers at a layer. A genuine
    input is another image of B. A manipulated input is an image of another person, changed by `pgd` until its
    embedding is near B's. The consistency of an input with B at a layer is the mean over attributes of
    ``sum_c profile_c * log p_c``, where p is the probe's answer to the input and c runs over the classes; of a
    continuous attribute it is the logarithm of a Gaussian with the attribute's deviation. Terms are bounded
    below by log 0.01.

    Attributes are weighted by the between-identity share of their variation (intraclass correlation of a
    one-way random-effects analysis of variance, Donner 1979), measured on all faces of the people whom the
    probes were trained on; smiling says little about who it is. Nobody from training is B or a stranger.

    Parameters
    ----------
    net : FaceNetwork
        The network on which the probes were fitted; it gives embeddings.
    faces : FaceSet
        The faces on which they were fitted, with identities.
    probes : ProbeSet
        From `fit_probes`, with probes of entire layers.
    layers : sequence of str, optional
        Where to read attributes; all probed layers when not given.
    attack : {"pgd", "none"}, default "pgd"
        How to manipulate. Rows for ``"none"``, strangers as they are, are always given: they say how well
        the attributes alone tell people apart.
    epsilon : float, default 4/255
        Largest change of a pixel, as a share of the value range.
    steps : int, default 10
        Steps of the attack, each a forward and a backward pass.
    n_pairs : int, default 100
        Genuine inputs, and as many manipulated ones, at the most.
    seed : int, default 0
        Of people, images, start of the attack, and intervals.
    batch_size : int, default 16
        Faces a pass.
    progress : Progress, optional
        Told the number of passes, and the steps.

    Returns
    -------
    DataFrame
        A row an attack and layer, and one with layer ``"all"`` (depth NaN; mean of the consistencies over
        layers): ``network, attack, layer, depth, auc, lower, upper, n_genuine, n_manipulated, success``.
        ``auc`` of telling genuine from manipulated inputs; 95% intervals resample the people claimed.
        ``success`` is the share of manipulated inputs whose cosine to the mean gallery embedding reaches the
        card's threshold, or, where it has none, the one that 1% of the images of other people reach. All
        manipulated inputs are in the AUC, also those that the network refuses.

    Raises
    ------
    NetworkError
        If the network gives no embedding.
    DataError
        If there are no identities, fewer than two people with two images outside training, no attribute that
        is stable within people, or the probes belong to another network.
    SpecError
        If an option is out of range, or the probes have none of entire layers.

    Examples
    --------
    >>> import pandas as pd
    >>> from torch import nn
    >>> from fusiform.faces import Attribute
    >>> from fusiform.networks import NetworkCard
    >>> from fusiform.probing import fit_probes, sample
    >>> who = np.arange(300) // 3
    >>> noise = torch.arange(300 * 192).reshape(300, 3, 8, 8) ** 2 % 51
    >>> faces = FaceSet.from_arrays(
    ...     (noise + torch.from_numpy(who % 2 * 60)[:, None, None, None]).to(torch.uint8),
    ...     pd.DataFrame({"who": who.astype(str), "bright": pd.array(who % 2 == 1, dtype="boolean")}),
    ...     {"who": Attribute(kind="identity"), "bright": Attribute(kind="binary")})
    >>> net = FaceNetwork(nn.Sequential(nn.Flatten(), nn.Linear(192, 8)), NetworkCard("one", (8, 8)))
    >>> probes = fit_probes(net, faces, ["1"], sampling=sample(faces))
    >>> detect_manipulation(net, faces, probes, n_pairs=8)[["attack", "layer", "n_manipulated"]].values.tolist()
    [['none', '1', 8], ['none', 'all', 8], ['pgd', '1', 8], ['pgd', 'all', 8]]
    """
    check_network(net, probes)
    _check_options(net, attack, epsilon, steps, n_pairs, batch_size)
    chosen = probed_layers(probes, layers) if layers is not None else list(probes.layers)
    for layer in chosen:
        if "layer" not in probes.unit_kinds(layer.name):
            raise SpecError(
                f"The detector reads entire layers, which were not probed at '{layer.name}'; fit probes with 'layer' "
                "among the units."
            )
    people, trained = _people(faces, probes)
    weights = stability(probes.draws, people, trained)
    claims = _claims(people, trained, n_pairs, seed)
    progress = progress or Progress(quiet=True)
    attacked = len(claims.person) * (2 * steps + 2) if attack == "pgd" else 0
    progress.say(
        f"{net.card.name}: consistency of {sum(w > 0 for w in weights.values())} attributes with identity, "
        f"{len(claims.person)} claims: about {len(claims.rows) + attacked} faces through the network."
    )
    step = progress.task(f"{net.card.name}: faces of the claims")
    inputs = _inputs(net, faces, claims.rows, batch_size)
    embeddings, answers = _read(net, probes, chosen, inputs, len(claims.rows), step)
    places = [np.searchsorted(claims.rows, rows) for rows in claims.gallery]
    references = F.normalize(torch.stack([embeddings[rows].mean(dim=0) for rows in places]), dim=1)
    profile = {key: np.stack([found[rows].mean(axis=0) for rows in places]) for key, found in answers.items()}
    genuine, impostor = (np.searchsorted(claims.rows, rows) for rows in (claims.genuine, claims.impostor))
    read = {"none": (embeddings[impostor], {key: found[impostor] for key, found in answers.items()})}
    if attack == "pgd":
        step = progress.task(f"{net.card.name}: manipulated faces")
        inputs = _inputs(net, faces, claims.impostor, batch_size)
        inputs = _manipulated(net, inputs, references, epsilon=epsilon, steps=steps, seed=seed)
        read["pgd"] = _read(net, probes, chosen, inputs, len(claims.impostor), step)

    mates = {key: found[genuine] for key, found in answers.items()}
    mates_consistency = _consistencies(chosen, probes.draws, weights, profile, mates)
    threshold = net.card.threshold
    if threshold is None:
        threshold = _threshold(references, embeddings, claims.person, people[claims.rows])
    records = []
    for name, (embedded, found) in read.items():
        success = ((embedded * references).sum(dim=1) >= threshold).float().mean().item()
        consistency = _consistencies(chosen, probes.draws, weights, profile, found)
        for place, values in consistency.items():
            separated = _separation(mates_consistency[place], values, claims.person, seed)
            records.append({"attack": name, "layer": place, **separated, "success": success})
    table = pd.DataFrame(records)
    table.insert(0, "network", net.card.name)
    table.insert(3, "depth", table.layer.map({layer.name: float(layer.depth) for layer in chosen}))
    return table


def stability(
    draws: Sequence[Draw], people: Int[ndarray, " n"], rows: Int[ndarray, " r"]
) -> dict[str, float]:
    """Between-identity share of the variation of each attribute: its intraclass correlation, at least 0.

    Parameters
    ----------
    draws : sequence of Draw
        The attributes.
    people : int array, shape (n_faces,)
        Who each face shows.
    rows : int array, shape (r,)
        The faces to measure it on; those of unknown value are left out.

    Returns
    -------
    dict of str to float
        From 0 (varies within people as between them, or nobody is seen twice) to 1.

    Raises
    ------
    DataError
        If it is 0 for all attributes.
    """
    weights = {draw.attribute: _intraclass_correlation(draw, people, rows) for draw in draws}
    if not any(weights.values()):
        raise DataError(
            f"None of {len(weights)} attributes is stable within people on the training faces (or nobody is seen "
            "twice there), so none can say who it is. Probe attributes such as sex, or bring more images a person."
        )
    return weights


def _intraclass_correlation(draw: Draw, people: ndarray, rows: ndarray) -> float:
    rows = rows[np.isfinite(draw.values[rows])]
    values = draw.values[rows]
    # Of several classes, the variances of their indicators are added up.
    columns = values[:, None] == np.arange(len(draw.classes)) if draw.classes else values[:, None]
    columns = columns.astype(np.float64)
    who = np.unique(people[rows], return_inverse=True)[1]
    counts = np.bincount(who)
    n, k = len(rows), len(counts)
    if k < 2 or n == k:
        return 0.0
    sums = np.zeros((k, columns.shape[1]))
    np.add.at(sums, who, columns)
    means = sums / counts[:, None]
    within = ((columns - means[who]) ** 2).sum() / (n - k)
    between = (counts[:, None] * (means - columns.mean(axis=0)) ** 2).sum() / (k - 1)
    images = (n - (counts**2).sum() / n) / (k - 1)
    variance = max(0.0, (between - within) / images)
    return float(variance / (variance + within)) if variance else 0.0


def _check_options(
    net: FaceNetwork, attack: str, epsilon: float, steps: int, n_pairs: int, batch_size: int
) -> None:
    if net.card.head != "embedding":
        raise NetworkError(
            f"Consistency with identity needs a network that embeds faces; '{net.card.name}' gives {net.card.head}."
        )
    if attack not in _ATTACKS:
        raise SpecError(f"There is no attack '{attack}'; {nearest(attack, _ATTACKS)}")
    check_attack(epsilon, steps)
    if n_pairs < 1 or batch_size < 1:
        raise SpecError(
            f"The detector needs n_pairs >= 1 and batch_size >= 1; got {n_pairs} and {batch_size}."
        )


def _people(faces: FaceSet, probes: "ProbeSet") -> tuple[Int[ndarray, " n"], Int[ndarray, " r"]]:
    """Who each face shows (-1 where unknown), and the faces of everybody in a training draw."""
    if faces.identity is None:
        raise DataError(
            f"'{faces.name}' has no identities, with which attributes could be consistent; bring faces with an "
            "attribute of kind 'identity'."
        )
    column = faces.table[faces.identity]
    people = np.where(column.isna(), -1, identity_codes(column))
    train = np.unique(np.concatenate([draw.train for draw in probes.draws]))
    return people, np.flatnonzero(np.isin(people, people[train]) & (people >= 0))


def _claims(people: ndarray, trained: ndarray, n_pairs: int, seed: int) -> _Claims:
    rng = np.random.default_rng([seed, 6])
    free = np.setdiff1d(np.flatnonzero(people >= 0), trained)
    images = {person: rng.permutation(free[people[free] == person]) for person in np.unique(people[free])}
    several = [person for person in rng.permutation(list(images)) if len(images[person]) > 1]
    if len(several) < 2:
        raise DataError(
            f"Consistency with identity needs two people with two images or more whom the probes were not trained "
            f"on; got {len(several)} among {len(images)} people. Bring more images a person."
        )
    # Everybody once, then those with images left a second time ...
    rounds = max(len(images[person]) for person in several)
    claimed = [(p, r) for r in range(rounds) for p in several if r < len(images[p])][:n_pairs]
    strangers = [rng.choice(free[people[free] != person]) for person, _ in claimed]
    return _Claims(
        person=np.array([person for person, _ in claimed]),
        gallery=[np.delete(images[p], r)[:_MOST_GALLERY] for p, r in claimed],
        genuine=np.array([images[p][r] for p, r in claimed]),
        impostor=np.array(strangers),
    )


def _inputs(net: FaceNetwork, faces: FaceSet, rows: ndarray, batch_size: int) -> Iterator[Tensor]:
    for start in range(0, len(rows), batch_size):
        yield net.prepare(faces.images(rows[start : start + batch_size]))


def _manipulated(
    net: FaceNetwork, inputs: Iterable[Tensor], references: Tensor, *, epsilon: float, steps: int, seed: int
) -> Iterator[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    done = 0
    for x in inputs:
        wanted = references[done : done + len(x)]
        done += len(x)

        def cosine(x: Tensor, wanted: Tensor = wanted) -> Tensor:
            return (net.embed(x) * wanted).sum(dim=1)

        yield pgd(net, x, cosine, epsilon=epsilon, steps=steps, generator=generator)


def _read(
    net: FaceNetwork,
    probes: "ProbeSet",
    layers: Sequence[Layer],
    inputs: Iterable[Tensor],
    total: int,
    step: Callable[[int, int], None],
) -> tuple[Float[Tensor, "n d"], _Answers]:
    """Embeddings, and the answers of the probes of entire layers by layer and attribute."""
    found: dict[tuple[str, str], list[ndarray]] = {}

    def receive(name: str, activations: Tensor) -> None:
        for (kind, attribute), answer in probes.answers(name, activations).items():
            if kind == "layer":
                found.setdefault((name, attribute), []).append(np.asarray(answer))

    embeddings: list[Tensor] = []
    done = 0
    for x in inputs:
        with torch.no_grad(), net.tapped([layer.name for layer in layers], receive):
            embeddings.append(net.embed(x))
        done += len(x)
        step(done, total)
    return torch.cat(embeddings), {key: np.concatenate(parts) for key, parts in found.items()}


def _consistencies(
    layers: Sequence[Layer],
    draws: Sequence[Draw],
    weights: dict[str, float],
    profile: _Answers,
    answers: _Answers,
) -> dict[str, Float[ndarray, " n"]]:
    """How well each input agrees with the person it is claimed to be, by layer and over all layers."""
    floor = np.log(_LEAST_PROBABILITY)
    found: dict[str, ndarray] = {}
    for layer in layers:
        terms = []
        for draw in draws:
            expected, answer = profile[layer.name, draw.attribute], answers[layer.name, draw.attribute]
            if draw.classes:
                terms.append((expected * np.log(np.maximum(answer, _LEAST_PROBABILITY))).sum(axis=1))
            else:
                squares = (answer - expected) ** 2 / (2 * draw.values[draw.train].var())
                terms.append(np.maximum(-squares, floor))
        found[layer.name] = np.average(terms, axis=0, weights=[weights[draw.attribute] for draw in draws])
    return found | {"all": np.mean(list(found.values()), axis=0)}


def _separation(genuine: ndarray, manipulated: ndarray, person: ndarray, seed: int) -> dict[str, float]:
    scores = np.concatenate([genuine, manipulated])
    positive = np.repeat([True, False], [len(genuine), len(manipulated)])
    clusters = np.tile(np.unique(person, return_inverse=True)[1], 2)
    lower, upper = weighted_auc_interval(scores, positive, clusters, seed=seed)
    return {
        "auc": roc_auc(genuine, manipulated),
        "lower": lower,
        "upper": upper,
        "n_genuine": len(genuine),
        "n_manipulated": len(manipulated),
    }


def _threshold(references: Tensor, embeddings: Tensor, person: ndarray, shown: ndarray) -> float:
    """The cosine to an enrolled person that one in a hundred images of others reaches."""
    cosines = (references @ embeddings.T).cpu().numpy()
    return float(np.quantile(cosines[person[:, None] != shown[None, :]], 1 - _FALSE_MATCH_RATE))
