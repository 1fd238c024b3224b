from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from fusiform.errors import SpecError
from fusiform.faces import FaceSet, associations
from fusiform.probing._parts import PUBLISHED, published_parts
from fusiform.probing._sampling import Draw, Sampling, values_of

# Images of each cell that a balanced draw needs to train and to test.
_MIN_CELL = 20
# Parts into which a continuous confounder is cut, the finest first.
_CUTS = (8, 4, 2)
# Of the least association that counts, what a cut may leave.
_LEFT = 0.5
# An attribute of which less than this is left beside the confounder is the confounder.
_SAME = 0.01


@dataclass(frozen=True, eq=False)
class ConfoundedDraw:
    """A draw of one attribute in which another tells nothing about it.

    Attributes
    ----------
    draw : Draw
        Images and labels. When residualised, `kind` is continuous and `values` are residuals, NaN in no split.
    confounder : str
        The other attribute.
    association : float
        Between the two in the whole set: phi, r, Cramér's V or eta; see `fusiform.faces.associations`.
    treatment : {"balanced", "residualised"}
        How the association was taken away.
    note : str
        What else to know; empty when nothing.
    """

    draw: Draw
    confounder: str
    association: float
    treatment: str
    note: str


def confounded_draws(
    faces: FaceSet, sampling: Sampling, *, strongest: int = 1, least: float = 0.3, seed: int = 0
) -> list[ConfoundedDraw]:
    """Draw images in which an attribute is independent of those with which it goes together in the set.

    Images are taken out of the attribute's own draw, so splits stay as disjoint as they were. **Balanced**: train, valid
    and test hold equally many images of each cell (class of the attribute × class of the confounder). A continuous
    confounder is cut at its octiles, quartiles or median, the finest cut that leaves cells large enough.
    **Residualised**, where a cell would have fewer than 20 images to train or to test, where half of `least` would be left
    of the association, or where the attribute is continuous: the target is what is left of the attribute after
    least-squares regression on the confounder (on its classes, or on its octiles and its value) in the training images.
    It is continuous; of an attribute with classes each split holds equally many images of each class, for the
    regression would not hold for other shares, and with three classes or more it is the class that the confounder
    tells best against the rest.

    Confounders that determine the attribute (1% or less of it is left) are the same thing under two names and passed over,
    as are those known for too few images.

    Parameters
    ----------
    faces : FaceSet
        The faces; every attribute but identity and the published split may confound, also when it is not probed.
    sampling : Sampling
        From `sample`.
    strongest : int, default 1
        How many confounders an attribute, the strongest first.
    least : float, default 0.3
        Absolute association from which an attribute counts as confounder.
    seed : int, default 0
        Of the choice of images.

    Returns
    -------
    list of ConfoundedDraw
        In the order of the draws; attributes without confounder have none.

    Raises
    ------
    SpecError
        If `strongest` is less than 1 or `least` not in (0, 1].

    Examples
    --------
    >>> from fusiform.faces import open_faces
    >>> from fusiform.probing import sample
    >>> faces = open_faces("synthetic?n=600&seed=1&size=32")
    >>> found = confounded_draws(faces, sample(faces, ["Male"]), least=0.05)
    >>> [(c.draw.attribute, abs(c.association) >= 0.05) for c in found]
    [('Male', True)]
    """
    if strongest < 1 or not 0 < least <= 1:
        raise SpecError(
            f"confounded_draws needs strongest >= 1 and 0 < least <= 1; got {strongest} and {least}."
        )
    pairs = associations(faces, intervals=0)
    pairs = pairs[pairs.value.abs() >= least]
    if published_parts(faces):
        pairs = pairs[(pairs.attribute != PUBLISHED) & (pairs.other != PUBLISHED)]
    result = []
    for number, draw in enumerate(sampling.draws):
        own = pairs[(pairs.attribute == draw.attribute) | (pairs.other == draw.attribute)]
        left = strongest
        for rank, (one, other, value) in enumerate(zip(own.attribute, own.other, own.value, strict=True)):
            name = other if one == draw.attribute else one
            confounder, classes = values_of(faces.table[name], faces.schema[name])
            if np.unique(confounder[draw.train][np.isfinite(confounder[draw.train])]).size < 2:
                continue
            rng = np.random.default_rng([seed, 5, number, rank])
            made = _balanced(draw, confounder, not classes, least, rng)
            made = made or _residualised(draw, confounder, not classes, rng)
            if made is not None:
                result.append(ConfoundedDraw(made[0], name, float(value), *made[1:]))
                left -= 1
            if not left:
                break
    return result


def _balanced(
    draw: Draw, confounder: ndarray, continuous: bool, least: float, rng: np.random.Generator
) -> tuple[Draw, str, str] | None:
    for cuts in _CUTS if continuous else (0,):
        levels = _levels(draw, confounder, cuts)
        made = _equally_many(draw, levels, rng) if draw.classes else None
        if made is None or (continuous and _association(made, confounder) > _LEFT * least):
            continue
        return made, "balanced", f"confounder cut into {cuts} equal parts" if cuts else ""
    return None


def _residualised(
    draw: Draw, confounder: ndarray, continuous: bool, rng: np.random.Generator
) -> tuple[Draw, str, str] | None:
    levels = _levels(draw, confounder, _CUTS[0] if continuous else 0)
    made = _equally_many(draw, np.where(np.isfinite(levels), 0.0, np.nan), rng)
    if made is None:
        return None
    design = (levels[:, None] == np.unique(levels[made.train])).astype(np.float64)
    if continuous:
        typical = confounder[made.train]
        design = np.column_stack([design, (confounder - typical.mean()) / (typical.std() or 1.0)])
    k = len(draw.classes)
    # Of two classes one says all.
    targets = draw.values[:, None] == np.arange(k == 2, k) if k else draw.values[:, None]
    targets = targets.astype(np.float64)
    weights = np.linalg.lstsq(design[made.train], targets[made.train], rcond=None)[0]
    rest = targets - design @ weights
    total = len(made.train) * targets[made.train].var(axis=0)
    shares = np.square(rest[made.train]).sum(axis=0) / np.where(total > 0, total, np.inf)
    best = int(shares.argmin())
    if shares[best] <= _SAME:
        return None
    values = np.full(len(draw.values), np.nan)
    rows = np.concatenate([made.train, made.valid, made.test])
    values[rows] = rest[rows, best]
    note = f"{draw.classes[best]} against the rest" if k > 2 else ""
    return replace(made, kind="continuous", classes=(), values=values), "residualised", note


def _levels(draw: Draw, confounder: Float[ndarray, " n"], cuts: int) -> Float[ndarray, " n"]:
    """The confounder as numbers of classes, those of the training images; NaN where unknown."""
    typical = confounder[draw.train]
    typical = typical[np.isfinite(typical)]
    if not cuts:
        return np.where(np.isin(confounder, typical), confounder, np.nan)
    edges = np.quantile(typical, np.arange(1, cuts) / cuts) if typical.size else np.zeros(0)
    return np.where(np.isfinite(confounder), np.searchsorted(edges, confounder, "right"), np.nan)


def _equally_many(draw: Draw, levels: Float[ndarray, " n"], rng: np.random.Generator) -> Draw | None:
    """As many images of each class and level within each split; None where a cell is too small."""
    classes = draw.values if draw.classes else np.zeros(len(levels))
    cells = [
        (classes == k) & (levels == level)
        for k in range(max(1, len(draw.classes)))
        for level in np.unique(levels[draw.train])
        if np.isfinite(level)
    ]
    taken = {}
    for split, least in (("train", _MIN_CELL), ("valid", 1), ("test", _MIN_CELL)):
        rows = getattr(draw, split)
        each = [rows[cell[rows]] for cell in cells]
        most = min(map(len, each), default=0)
        if most < least:
            return None
        taken[split] = np.sort(np.concatenate([rng.permutation(cell)[:most] for cell in each]))
    return replace(draw, train=taken["train"], valid=taken["valid"], test=taken["test"])


def _association(draw: Draw, confounder: ndarray) -> float:
    """Between the classes and a continuous confounder in training: the correlation ratio."""
    x, y = confounder[draw.train], draw.values[draw.train].astype(int)
    x = x - x.mean()
    total = float(np.square(x).sum())
    between = float((np.bincount(y, weights=x) ** 2 / np.bincount(y)).sum())
    return np.sqrt(between / total) if total else 0.0
