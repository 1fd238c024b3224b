"""What a network looks at: canonical maps of many images together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from torch import Tensor

from fusiform.errors import AttributionError, SpecError, nearest
from fusiform.faces import canonical_face, canonical_parts
from fusiform.statistics import cluster_weights

COLUMNS = ("group", "part", "metric", "value", "lower", "upper", "chance", "n", "identities")
ALL = "all"


@dataclass(frozen=True, eq=False)
class Sums:
    """Sums of maps over the images of each identity, at the pixels of the face."""

    identities: tuple[str, ...]
    total: Float[ndarray, "i p"]
    seen: Float[ndarray, "i p"]
    n: int


@dataclass(frozen=True, eq=False)
class CanonicalModelSaliency:
    """Canonical maps of many images together, in one or several groups.

    Attributes
    ----------
    groups : tuple of str
        Names of the groups; ("all",) without groups.
    maps, lower, upper : tensor, shape (groups, size, size)
        Mean over the images that show a place, and its interval; NaN beside the face and where none shows it.
    counts : int tensor, shape (groups, size, size)
        How many images show a place.
    parts : dict of str to bool tensor, shape (size, size)
        Parts of the canonical face.
    table : DataFrame
        One row a group, part and metric: ``share`` of the positive mass of the mean map (``chance`` is the part's share of
        the area seen), ``concentration`` (share over that share of the area; ``chance`` 1) and ``mean`` (mean value, signed), each
        with its interval over identities.
    """

    groups: tuple[str, ...]
    maps: Float[Tensor, "g s s"]
    lower: Float[Tensor, "g s s"]
    upper: Float[Tensor, "g s s"]
    counts: Int[Tensor, "g s s"]
    parts: dict[str, Bool[Tensor, "s s"]]
    table: pd.DataFrame
    sums: tuple[Sums, ...] = field(repr=False)

    @property
    def size(self) -> int:
        """Side of the canonical face in pixels."""
        return self.maps.shape[-1]

    def group(self, name: str) -> "CanonicalModelSaliency":
        """Return one group alone.

        Parameters
        ----------
        name : str
            One of `groups`.

        Returns
        -------
        CanonicalModelSaliency
            With this group only, for `canonical_difference`.

        Raises
        ------
        SpecError
            If there is no such group.

        Examples
        --------
        >>> maps = torch.rand(4, 32, 32)
        >>> both = canonical_model_saliency(maps, groups=["young", "old", "young", "old"])
        >>> both.group("old").groups
        ('old',)
        """
        if name not in self.groups:
            raise SpecError(f"There is no group '{name}'; {nearest(name, self.groups)}")
        k = self.groups.index(name)
        one = slice(k, k + 1)
        return replace(
            self,
            groups=(name,),
            maps=self.maps[one],
            lower=self.lower[one],
            upper=self.upper[one],
            counts=self.counts[one],
            table=self.table[self.table["group"] == name].reset_index(drop=True),
            sums=self.sums[one],
        )


def canonical_model_saliency(
    maps: Float[Tensor, "n s s"],
    visible: Bool[Tensor, "n s s"] | None = None,
    *,
    identities: Sequence[object] | None = None,
    groups: Sequence[object] | None = None,
    parts: Mapping[str, Bool[Tensor, "s s"]] | None = None,
    draws: int = 500,
    level: float = 0.95,
    seed: int = 0,
) -> CanonicalModelSaliency:
    """Average canonical maps over images: the canonical model saliency map.

    Parameters
    ----------
    maps : tensor, shape (n, size, size)
        Canonical maps of images, from `canonical_image_saliency` or `fusiform.faces.to_canonical`.
    visible : bool tensor, shape (n, size, size), optional
        Where an image shows the face; by default where its map is not NaN.
    identities : sequence, length n, optional
        Who is shown; intervals resample people. By default every image is another person.
    groups : sequence, length n, optional
        The group of each image, such as an attribute's value; images without one (None or NaN) are left out.
    parts : mapping of str to bool tensor, shape (size, size), optional
        Parts of the canonical face; by default `fusiform.faces.canonical_parts`.
    draws : int, default 500
        Bootstrap samples; 0 for no intervals.
    level : float, default 0.95
        Coverage.
    seed : int, default 0
        Of the bootstrap.

    Returns
    -------
    CanonicalModelSaliency
        Maps and table by group; intervals are NaN for a group of fewer than two people.

    Raises
    ------
    AttributionError
        If shapes do not fit, no image is left, or a value is infinite where the face is visible.

    References
    ----------
    John et al., canonical model saliency maps, in section 2.4 and figure 6 of the survey of visualization for face
    networks.

    Examples
    --------
    >>> face = canonical_face(32).face
    >>> mouth = canonical_parts(32)["mouth"].float()
    >>> found = canonical_model_saliency(mouth.where(face, torch.nan).expand(5, -1, -1))
    >>> table = found.table.query("metric == 'share'").set_index("part")
    >>> float(table.loc["mouth", "value"])
    1.0
    """
    if maps.dim() != 3 or maps.shape[1] != maps.shape[2] or not maps.is_floating_point():
        raise AttributionError(
            f"Canonical maps are a floating tensor (n, size, size); got {tuple(maps.shape)} of {maps.dtype}."
        )
    if visible is not None and visible.shape != maps.shape:
        raise AttributionError(
            f"'visible' must have the shape of the maps, {tuple(maps.shape)}; got {tuple(visible.shape)}."
        )
    size, n = maps.shape[1], len(maps)
    who = _labels("identities", identities if identities is not None else range(n), n)
    of = _labels("groups", groups if groups is not None else [ALL] * n, n)
    face = canonical_face(size).face
    regions = dict(parts) if parts is not None else canonical_parts(size)
    seen = (maps.isfinite() if visible is None else visible).cpu()[:, face].numpy()
    values = np.where(seen, maps.detach().double().cpu()[:, face].numpy(), 0.0)
    bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if len(bad):
        raise AttributionError(
            f"The canonical map of image {bad[0]} is not finite where the face is visible."
        )
    if of.isna().all():
        raise AttributionError(
            "A canonical model saliency map needs at least one image of a group; got none."
        )
    if who[of.notna()].isna().any():
        raise AttributionError("'identities' must say who is shown in every image; some are missing.")
    names = tuple(sorted(of.dropna().unique()))
    inside = {name: _region(name, mask, face) for name, mask in regions.items()}
    sums, pictures, rows = [], [], []
    for name in names:
        some = (of == name).fillna(False).to_numpy(dtype=bool)
        sums.append(_summed(values[some], seen[some], who[some]))
        mean, resampled = _means(sums[-1], draws, seed)
        lower, upper = bounds(resampled, level)
        pictures.append([mean, lower, upper, sums[-1].seen.sum(axis=0)])
        rows += _rows(name, mean, resampled, inside, sums[-1], level)
    means, lowers, uppers, counts = (
        torch.stack([on_face(picture[k], face) for picture in pictures]).to(maps.device) for k in range(4)
    )
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    return CanonicalModelSaliency(
        names,
        means.to(maps.dtype),
        lowers.to(maps.dtype),
        uppers.to(maps.dtype),
        counts.nan_to_num(0).long(),
        regions,
        table,
        tuple(sums),
    )


def on_face(values: Float[ndarray, " p"], face: Bool[Tensor, "s s"]) -> Float[Tensor, "s s"]:
    """Values at the pixels of the face as a map, NaN beside it."""
    out = torch.full(face.shape, torch.nan, dtype=torch.float64)
    out[face] = torch.from_numpy(np.asarray(values, dtype=np.float64))
    return out


def ratio(total: Float[ndarray, "*b p"], seen: Float[ndarray, "*b p"]) -> Float[ndarray, "*b p"]:
    """Means from sums, NaN where nothing is seen."""
    return np.divide(total, seen, out=np.full(np.shape(total), np.nan), where=seen > 0)


def shares(
    means: Float[ndarray, "*b p"], inside: Mapping[str, Bool[ndarray, " p"]]
) -> dict[str, Float[ndarray, "*b"]]:
    """Each part's share of the positive mass; NaN where there is none."""
    mass = np.clip(np.nan_to_num(means), 0, None)
    whole = mass.sum(axis=-1)
    return {name: ratio(mass[..., where].sum(axis=-1), whole) for name, where in inside.items()}


def bounds(resampled: Float[ndarray, "b p"], level: float) -> Float[ndarray, "2 p"]:
    """Percentile interval of each column, what is not finite left out."""
    out = np.full((2, resampled.shape[1]), np.nan)
    ends = [(1 - level) / 2, (1 + level) / 2]
    whole = np.isfinite(resampled).all(axis=0) & bool(len(resampled))
    out[:, whole] = np.quantile(resampled[:, whole], ends, axis=0) if whole.any() else out[:, whole]
    partly = np.isfinite(resampled).any(axis=0) & ~whole
    if partly.any():
        out[:, partly] = np.nanquantile(resampled[:, partly], ends, axis=0)
    return out


def _labels(what: str, values: Sequence[object], n: int) -> pd.Series:
    labels = pd.Series(list(values), dtype="object")
    if len(labels) != n:
        raise AttributionError(f"'{what}' must have one entry an image, {n}; got {len(labels)}.")
    return labels.map(str).where(labels.notna(), None).astype("string")


def _region(name: str, mask: Tensor, face: Tensor) -> Bool[ndarray, " p"]:
    if mask.shape != face.shape:
        raise AttributionError(
            f"Part '{name}' must have the size of the maps, {tuple(face.shape)}; got {tuple(mask.shape)}."
        )
    return mask.bool().cpu()[face].numpy()


def _summed(values: Float[ndarray, "n p"], seen: Bool[ndarray, "n p"], who: pd.Series) -> Sums:
    codes, people = pd.factorize(who, sort=True)
    total, counts = (np.zeros((len(people), values.shape[1])) for _ in range(2))
    np.add.at(total, codes, values)
    np.add.at(counts, codes, seen)
    return Sums(tuple(map(str, people)), total, counts, len(values))


def _means(sums: Sums, draws: int, seed: int) -> tuple[Float[ndarray, " p"], Float[ndarray, "b p"]]:
    """The mean map, and those of the bootstrap's samples, of which there are none with fewer than two people."""
    draws = draws if len(sums.identities) > 1 else 0
    weights = cluster_weights(len(sums.identities), draws=draws, seed=seed)
    return ratio(sums.total.sum(axis=0), sums.seen.sum(axis=0)), ratio(
        weights @ sums.total, weights @ sums.seen
    )


def _rows(
    group: str,
    mean: Float[ndarray, " p"],
    resampled: Float[ndarray, "b p"],
    inside: Mapping[str, Bool[ndarray, " p"]],
    sums: Sums,
    level: float,
) -> list[tuple[object, ...]]:
    value, spread = shares(mean, inside), shares(resampled, inside)
    known = np.isfinite(mean)
    rows: list[tuple[object, ...]] = []
    for part, where in inside.items():
        area = float((where & known).sum() / known.sum()) if known.any() else np.nan
        low, high = bounds(spread[part][:, None], level)[:, 0]
        times = 1 / area if area > 0 else np.nan
        here = [_mean_of(m[..., where]) for m in (mean, resampled)]
        least, most = bounds(here[1][:, None], level)[:, 0]
        counts = (sums.n, len(sums.identities))
        rows += [
            (group, part, "share", float(value[part]), low, high, area, *counts),
            (
                group,
                part,
                "concentration",
                float(value[part]) * times,
                low * times,
                high * times,
                1.0,
                *counts,
            ),
            (group, part, "mean", float(here[0]), least, most, np.nan, *counts),
        ]
    return rows


def _mean_of(values: Float[ndarray, "*b p"]) -> Float[ndarray, "*b"]:
    known = np.isfinite(values)
    return ratio(np.where(known, values, 0).sum(axis=-1), known.sum(axis=-1))
