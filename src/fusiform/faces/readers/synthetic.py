"""Synthetic faces as a face set: rendered when asked for."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, UInt8
from numpy import ndarray

from fusiform import __version__
from fusiform.errors import SpecError
from fusiform.faces import synthetic
from fusiform.faces._face_set import FaceSet
from fusiform.faces._sources import Progress, chunks
from fusiform.faces.readers import reader

_KEPT_BYTES = 256 * 2**20


class RenderedFaces:
    """A source that renders its rows, and keeps the first 256 MB of images, for a set is often walked through again.

    Parameters
    ----------
    parameters : DataFrame
        One row a face, as `fusiform.faces.synthetic.render` takes it.
    size : int
        Side of the images in pixels.

    Examples
    --------
    >>> RenderedFaces(synthetic.sample_parameters(2, seed=0), 48).read([1])[0].shape
    (48, 48, 3)
    """

    n_points: int | None = 68

    def __init__(self, parameters: pd.DataFrame, size: int) -> None:
        self.parts = tuple(synthetic.PARTS)
        self._parameters = parameters
        self._size = size
        self._points = np.full((len(parameters), 68, 2), np.nan)
        # Not the latest but the first: walking in order through more than fits would push each out before its turn.
        self._kept: dict[int, UInt8[ndarray, "h w 3"]] = {}
        self._room = _KEPT_BYTES // (3 * size * size)
        # The last rendering: images, then the masks of several parts, are asked for row by row alike.
        self._last: tuple[tuple[int, ...], synthetic.Rendering] | None = None

    def _render(self, rows: Sequence[int]) -> synthetic.Rendering:
        key = tuple(rows)
        if self._last is None or self._last[0] != key:
            rendering = synthetic.render(self._parameters.iloc[list(rows)], size=self._size)
            self._points[list(rows)] = rendering.landmarks
            self._last = key, rendering
        return self._last[1]

    def read(self, rows: Sequence[int]) -> list[UInt8[ndarray, "h w 3"]]:
        """RGB pixels."""
        new: dict[int, UInt8[ndarray, "h w 3"]] = {}
        for chunk in chunks([row for row in dict.fromkeys(rows) if row not in self._kept]):
            for row, image in zip(chunk, self._render(chunk).images, strict=True):
                new[row] = np.ascontiguousarray(image.numpy().transpose(1, 2, 0))
                if len(self._kept) < self._room:
                    self._kept[row] = new[row]
        # Copies, so that nobody can write into what is kept.
        return [self._kept[row].copy() if row in self._kept else new[row] for row in rows]

    def size(self, row: int) -> tuple[int, int] | None:
        """Height and width."""
        return self._size, self._size

    def points(self, rows: Sequence[int]) -> Float[ndarray, "k 68 2"]:
        """Landmarks, rendered once where they have not been."""
        unknown = [row for row in rows if np.isnan(self._points[row, 0, 0])]
        for chunk in chunks(unknown):
            self._render(chunk)
        return self._points[list(rows)]

    def points_known(self, rows: Sequence[int]) -> Bool[ndarray, " k"]:
        """Every rendered face has its landmarks."""
        return np.ones(len(rows), dtype=bool)

    def masks(self, part: str, rows: Sequence[int]) -> list[Bool[ndarray, "h w"]]:
        """Where a part is."""
        return [mask.numpy() for chunk in chunks(rows) for mask in self._render(chunk).mask(part)]

    def unreadable(self, rows: Sequence[int], progress: Progress | None) -> dict[int, str]:
        """Nothing that is rendered is unreadable."""
        if progress is not None:
            progress(len(rows), len(rows))
        return {}

    def fingerprints(self, rows: Sequence[int]) -> Iterator[str]:
        """Parameters, size and the renderer's version."""
        yield f"{__version__}:{self._size}"
        yield (
            pd.util.hash_pandas_object(self._parameters.iloc[list(rows)], index=False)
            .to_numpy()
            .tobytes()
            .hex()
        )


@reader("synthetic", example="n=512&seed=0")
def open_synthetic(
    *,
    n: int | None = None,
    seed: int = 0,
    size: int = 112,
    identities: int | None = None,
    per_identity: int | None = None,
) -> FaceSet:
    """Open a set of synthetic faces: a pure function of its options, drawn face by face when asked for.

    Parameters
    ----------
    n : int, optional
        Number of images; 512, or identities x per_identity where both are given.
    seed : int, default 0
        Seed of the parameters.
    size : int, default 112
        Side of the images in pixels.
    identities : int, optional
        Number of people.
    per_identity : int, optional
        Images of each.

    Returns
    -------
    FaceSet
        The set.

    Raises
    ------
    SpecError
        If a number is out of range.

    Examples
    --------
    >>> faces = open_synthetic(identities=3, per_identity=2, size=48)
    >>> len(faces), faces.table["identity"].nunique()
    (6, 3)
    """
    if not 32 <= size <= 512:
        raise SpecError(f"The size of synthetic faces must lie in [32, 512] pixels; got {size}.")
    if n is None:
        n = identities * per_identity if identities is not None and per_identity is not None else 512
    if n < 1:
        raise SpecError(f"The number n of synthetic faces must be at least 1; got {n}.")
    parameters = synthetic.sample_parameters(n, seed=seed, identities=identities, per_identity=per_identity)
    table = synthetic.attributes(parameters)
    schema = {name: attribute for name, attribute in synthetic.ATTRIBUTES.items() if name in table.columns}
    table = table[list(schema)].reset_index(drop=True)
    table.insert(0, "image_id", [f"{i:06d}" for i in range(n)])
    return FaceSet(
        name="synthetic",
        table=table,
        schema=schema,
        source=RenderedFaces(parameters.reset_index(drop=True), size),
        provenance={
            "reader": "synthetic",
            "synthetic": True,
            "n": n,
            "seed": seed,
            "size": size,
            "identities": identities,
            "per_identity": per_identity,
            "renderer": f"fusiform {__version__}",
            "licence": "made by this package; nobody is shown",
        },
    )
