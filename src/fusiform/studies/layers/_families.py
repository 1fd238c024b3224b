import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from fusiform.errors import SpecError
from fusiform.faces.synthetic import ACTION_UNITS
from fusiform.studies.layers._rows import PLACE, means_over, validation_rows

HAIR = "hair colour"
PRIMARY = "primary biometrics"
SOFT = "soft biometrics"
NON_BIOMETRIC = "non-biometric"

# "thesis": Diniz (2020, section 5.2) puts the attribute there by name. "reading": the figures' legends are not in
# the text, and this is what its words leave. Primary biometrics are "face geometry", of which it says that "even the
# best barely reaches 75%": of the attributes of facial geometry it names, these four, and not High_Cheekbones (84% in
# table 5.2). Soft ones are those "easily modified, such as wearing different accessories or changing the hair style",
# which "consistently reach 90%". Non-biometric is what shows "the photo acquisition process or facial pose".
# "synthetic": the same concepts under the names of synthetic faces.
_THESIS: dict[str, dict[str, tuple[str, ...]]] = {
    HAIR: {
        "thesis": ("Bald", "Brown_Hair"),
        "reading": ("Black_Hair", "Blond_Hair", "Gray_Hair"),
    },
    PRIMARY: {"reading": ("Big_Lips", "Big_Nose", "Oval_Face", "Pointy_Nose")},
    SOFT: {
        "reading": (
            "Bangs",
            "Eyeglasses",
            "Goatee",
            "No_Beard",
            "Sideburns",
            "Wearing_Hat",
            "Wearing_Lipstick",
            "Wearing_Necktie",
        )
    },
    NON_BIOMETRIC: {
        "thesis": ("Mouth_Slightly_Open", "Narrow_Eyes", "Pale_Skin", "Smiling"),
        "reading": ("Blurry",),
        "synthetic": (
            "yaw",
            "pitch",
            "roll",
            "light",
            "light_elevation",
            *ACTION_UNITS,
            *(f"{name}_intensity" for name in ACTION_UNITS),
        ),
    },
}
FAMILIES = pd.DataFrame(
    [
        (family, attribute, basis)
        for family, by_basis in _THESIS.items()
        for basis, attributes in by_basis.items()
        for attribute in attributes
    ],
    columns=["family", "attribute", "basis"],
)


def families(extra: Mapping[str, Iterable[str]] | str | Path | None = None) -> pd.DataFrame:
    """Families of attributes that are looked at together (figures 5.5 to 5.7).

    Parameters
    ----------
    extra : mapping, str or Path, optional
        More families, from name to attributes; a family of the same name is replaced, and an empty one removed.
        Or a file: TOML with a list of attributes under each name, or CSV with the columns ``family, attribute``.

    Returns
    -------
    DataFrame
        ``family, attribute, basis``; `basis` is ``"thesis"`` where its text names the attribute,
        ``"reading"`` where this is our reading of it, ``"synthetic"`` for attributes of synthetic faces,
        ``"given"`` for those in `extra`.

    Raises
    ------
    SpecError
        If the file cannot be read, or a family is not a list of names.

    References
    ----------
    Diniz (2020), section 5.2.

    Examples
    --------
    >>> families({"hair colour": [], "eyes": ["Narrow_Eyes", "Eyeglasses"]}).family.unique().tolist()
    ['primary biometrics', 'soft biometrics', 'non-biometric', 'eyes']
    """
    given = _read(Path(extra)) if isinstance(extra, str | Path) else _checked(dict(extra or {}), "families")
    rows = [(name, attribute, "given") for name, members in given.items() for attribute in members]
    added = pd.DataFrame(rows, columns=FAMILIES.columns)
    kept = FAMILIES[~FAMILIES["family"].isin(list(given))]
    return pd.concat([kept, added], ignore_index=True)


def unknown_attributes(table: pd.DataFrame, known: Iterable[str]) -> list[str]:
    """List the attributes that a user's families name and the faces do not have.

    Parameters
    ----------
    table : DataFrame
        From `families`; only what was given there counts.
    known : iterable of str
        The attributes there are.

    Returns
    -------
    list of str

    Examples
    --------
    >>> unknown_attributes(families({"eyes": ["Narrow_Eyes", "Eyeglases"]}), ["Narrow_Eyes", "Eyeglasses"])
    ['Eyeglases']
    """
    given = table.loc[table["basis"] == "given", "attribute"]
    return list(dict.fromkeys(given[~given.isin(list(known))]))


def family_curves(probes: pd.DataFrame, families: pd.DataFrame) -> pd.DataFrame:
    """Average each family of attributes over depth.

    Parameters
    ----------
    probes : DataFrame
        The table of probes; values on validation are taken.
    families : DataFrame
        ``family, attribute``, from `families`. An attribute may be in several.

    Returns
    -------
    DataFrame
        ``network, setup, control, layer, depth, relative_depth, unit_kind, family, metric, value, sd, lower,
        upper, n_attributes``: mean, standard deviation and 95% interval over the family's attributes.
        Balanced accuracies and R² are not averaged together.

    Examples
    --------
    >>> row = dict(network="n", layer="a", depth=0, split="valid", metric="balanced_accuracy")
    >>> probes = pd.DataFrame([row | {"attribute": "Smiling", "value": 0.9}, row | {"attribute": "Blurry", "value": 0.7}])
    >>> family_curves(probes, families())[["family", "value", "n_attributes"]].round(2).values.tolist()
    [['non-biometric', 0.8, 2]]
    """
    rows = validation_rows(probes, ("layer", "channels", "neurons"))
    rows = rows.merge(families[["family", "attribute"]].drop_duplicates(), on="attribute")
    keys = [*PLACE, "unit_kind", "family", "metric"]
    columns = [*keys, "value", "sd", "lower", "upper", "n_attributes"]
    parts = []
    for _, group in rows.groupby(["family", "metric"], sort=False):
        values = group.pivot_table(index=keys, columns="attribute", values="value", sort=False)
        means = means_over(values.to_numpy(dtype=np.float64))
        spread = dict(zip(("value", "lower", "upper"), means.T, strict=True))
        counts = {"sd": values.std(axis=1), "n_attributes": values.count(axis=1)}
        parts.append(values[[]].assign(**spread, **counts).reset_index())
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def _read(path: Path) -> dict[str, list[str]]:
    kind = path.suffix.lower()
    if kind not in (".toml", ".csv"):
        raise SpecError(f"Families are read from .toml and .csv files; got '{path}'.")
    try:
        if kind == ".toml":
            return _checked(tomllib.loads(path.read_text(encoding="utf-8")), f"'{path}'")
        table = pd.read_csv(path, dtype=str, skipinitialspace=True)
    except (OSError, ValueError) as error:
        raise SpecError(f"The families file '{path}' cannot be read: {error}.") from error
    if not {"family", "attribute"} <= set(table.columns):
        raise SpecError(
            f"The families file '{path}' must have the columns 'family' and 'attribute'; it has {list(table.columns)}."
        )
    table = table[["family", "attribute"]].dropna(subset=["family"])
    members = table.groupby("family", sort=False)["attribute"]
    return {str(name): group.dropna().tolist() for name, group in members}


def _checked(given: Mapping[str, object], where: str) -> dict[str, list[str]]:
    checked = {}
    for name, members in given.items():
        listed = (
            list(members)
            if isinstance(members, Iterable) and not isinstance(members, str | Mapping)
            else None
        )
        if listed is None or not all(isinstance(m, str) for m in listed):
            raise SpecError(
                f"Family '{name}' in {where} must be a list of attribute names; got {members!r}. "
                'Write it as "NAME" = ["Smiling", "Blurry"].'
            )
        checked[str(name)] = list(dict.fromkeys(listed))
    return checked
