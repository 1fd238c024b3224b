"""Synthetic faces as a face set: rendered when asked for."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from fusiform import __version__
from fusiform.errors import DataError, SpecError
from fusiform.faces._attribute import Attribute
from fusiform.faces._face_set import FaceSet
from fusiform.faces._rendered import RenderedFaces
from fusiform.faces.readers import reader
from fusiform.faces.synthetic import ATTRIBUTES, attributes, sample_parameters
from fusiform.faces.synthetic._description import (
    correlations_of,
    fixed_of,
    marginals_of,
    read_description,
)
from fusiform.faces.synthetic._factors import check

_LABELS = {
    "pair": "images that belong together",
    "role": "what an image is within its pair",
    "level": "level of the series' factor",
    "class": "class by construction",
    "eyes_expression": "expression of eyes and brows",
    "mouth_expression": "expression of the mouth",
}


def _check_device(device: str) -> None:
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise SpecError(
            f"Synthetic faces cannot be drawn on the device '{device}': {str(error).splitlines()[0].rstrip('.')}. "
            "Use device=cpu, or cuda where torch finds one."
        ) from error


def synthetic_faces(
    parameters: pd.DataFrame,
    *,
    size: int = 112,
    name: str = "synthetic",
    device: str = "cpu",
    provenance: Mapping[str, Any] | None = None,
) -> FaceSet:
    """Any table of parameters as a set of faces, drawn when asked for.

    Parameters
    ----------
    parameters : DataFrame
        One row a face, any of `FACTORS` as columns. Label columns stay as attributes: ``identity``; ``pair``, ``role``,
        ``class``, ``eyes_expression`` and ``mouth_expression`` as categorical; ``level`` as continuous where it holds
        numbers. ``image_id`` names the images, which are numbered otherwise.
    size : int, default 112
        Side of the images in pixels, 32 to 512.
    name : str, default "synthetic"
        Name for tables.
    device : str, default "cpu"
        Where to draw, as torch names it; the images are the same within one grey level.
    provenance : mapping, optional
        Plain JSON values to keep with the set.

    Returns
    -------
    FaceSet
        The set, with the truth of `attributes`, 68 landmarks and masks of all parts.

    Raises
    ------
    SpecError
        If the size is out of range.
    DataError
        As `render` does, or if there are no rows.

    Examples
    --------
    >>> faces = synthetic_faces(pd.DataFrame({"AU_12": [0.0, 0.9], "role": ["original", "twin"]}))
    >>> faces.table[["image_id", "role", "Smiling"]].values.tolist()
    [['000000', 'original', False], ['000001', 'twin', True]]
    """
    if isinstance(size, bool) or not isinstance(size, int) or not 32 <= size <= 512:
        raise SpecError(f"The size of synthetic faces must be an int in [32, 512] pixels; got {size!r}.")
    _check_device(device)
    check(parameters)
    if not len(parameters):
        raise DataError("A table of parameters without rows is no set of faces; give one row a face.")
    parameters = parameters.reset_index(drop=True)
    table = attributes(parameters)
    schema = dict(ATTRIBUTES)
    if table["identity"].isna().all():
        table, schema = table.drop(columns="identity"), {k: v for k, v in schema.items() if k != "identity"}
    for label, text in _LABELS.items():
        if label in parameters:
            column = parameters[label]
            number = (
                label == "level"
                and pd.api.types.is_numeric_dtype(column)
                and not pd.api.types.is_bool_dtype(column)
            )
            table[label] = column.astype("float64") if number else column.astype("string")
            schema[label] = Attribute("continuous" if number else "categorical", description=text)
    ids = parameters["image_id"] if "image_id" in parameters else [f"{i:06d}" for i in range(len(table))]
    table.insert(0, "image_id", ids)
    return FaceSet(
        name=name,
        table=table,
        schema=schema,
        source=RenderedFaces(parameters, size, device),
        provenance={
            "synthetic": True,
            "n": len(table),
            "size": size,
            **(provenance or {}),
            "renderer": f"fusiform {__version__}",
            "licence": "made by this package; nobody is shown",
        },
    )


@reader("synthetic", example="n=512&seed=0")
def open_synthetic(
    *,
    n: int | None = None,
    seed: int | None = None,
    size: int | None = None,
    identities: int | None = None,
    per_identity: int | None = None,
    covariation: bool | None = None,
    fixed: tuple[str, ...] | None = None,
    marginals: tuple[str, ...] | None = None,
    correlations: tuple[str, ...] | None = None,
    description: str | None = None,
    device: str | None = None,
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
    covariation : bool, default True
        Whether traits go together as in people.
    fixed : tuple of str, optional
        Factors that are the same in all faces, as in ``fixed=yaw:0,hat:none``.
    marginals : tuple of str, optional
        Shares of binary attributes and ranges of factors, as in ``marginals=Eyeglasses:0.5,yaw:-45..45``.
    correlations : tuple of str, optional
        As in ``correlations=Male*Eyeglasses:0.6``.
    description : str, optional
        Path of a TOML file with any of these options: ``n = 512``, tables ``[fixed]`` and ``[marginals]`` (a range is
        ``[low, high]``, shares of levels ``{black = 0.5, blond = 0.5}``), and, one for each correlation,
        ``[[correlations]]`` with ``between = ["Male", "Eyeglasses"]`` and ``value = 0.6``. An option given beside the
        file wins over the file's.
    device : str, default "cpu"
        Where to draw, as in ``device=cuda``.

    Returns
    -------
    FaceSet
        The set; its provenance holds the whole description.

    Raises
    ------
    SpecError
        If a number is out of range, an option or the description cannot be read, or what is asked cannot be met;
        see `sample_parameters`.

    Examples
    --------
    >>> faces = open_synthetic(identities=3, per_identity=2, size=48, fixed=("yaw:0",))
    >>> len(faces), faces.table["identity"].nunique(), faces.table["yaw"].tolist()
    (6, 3, [0.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    """
    asked: dict[str, Any] = {} if description is None else read_description(Path(description).expanduser())
    given = {
        "n": n,
        "seed": seed,
        "size": size,
        "identities": identities,
        "per_identity": per_identity,
        "covariation": covariation,
        "fixed": None if fixed is None else fixed_of(fixed),
        "marginals": None if marginals is None else marginals_of(marginals),
        "correlations": None if correlations is None else correlations_of(correlations),
    }
    asked |= {name: value for name, value in given.items() if value is not None}
    asked = {"seed": 0, "size": 112, "identities": None, "per_identity": None, **asked}
    people, each = asked["identities"], asked["per_identity"]
    asked.setdefault("n", people * each if people is not None and each is not None else 512)
    size = asked.pop("size")
    assert size is not None
    parameters = sample_parameters(asked.pop("n"), **asked)
    pairs = [{"between": list(pair), "value": value} for pair, value in asked.pop("correlations", {}).items()]
    kept = {**asked, **({"correlations": pairs} if pairs else {})}
    return synthetic_faces(
        parameters, size=size, device=device or "cpu", provenance={"reader": "synthetic", **kept}
    )
