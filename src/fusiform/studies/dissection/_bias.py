"""Whether units of a local concept are those of a global group, beside how concept and group go together in images."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import hypergeom

from fusiform.errors import DataError, nearest
from fusiform.faces import Attribute, ConceptTable, FaceDictionary, FaceSet, associations
from fusiform.faces.dictionary import group_numbers
from fusiform.studies.dissection._tables import PLACE, Detectors

_FEWEST = 10
_MEASURABLE = ("binary", "continuous", "categorical")


def bias(found: Iterable[Detectors], associated: pd.DataFrame, told: "WithTask | None") -> pd.DataFrame:
    """Units that are paired with a local concept and a global group, and how many would be if the two were unrelated.

    Parameters
    ----------
    found : iterable of Detectors
        Of each layer.
    associated : DataFrame
        From `associated_groups`: a row a concept and group, in the order of the table of concepts.
    told : WithTask or None
        Associations with the task in the training faces.

    Returns
    -------
    DataFrame
        ``network, control, layer, depth, concept, category, group, units, expected, ratio, association,
        task_association, group_task_association, p_value``; p is of Fisher's exact test, twice the smaller tail; NaN
        where a layer has no unit of the concept or of the group.
    """
    tables = []
    told = told or WithTask({}, {})
    keys = zip(associated["category"], associated["group"], strict=True)
    of_group = pd.array([told.groups.get(key) for key in keys], dtype="Float64")
    associated = associated.assign(
        task_association=associated["concept"].map(told.concepts).astype("Float64"),
        group_task_association=of_group,
    )
    for each in found:
        n = len(each.local)
        a, b = (m.sum(axis=0).astype(np.int64) for m in (each.local, each.groups))
        both = each.local.T.astype(np.int64) @ each.groups
        expected = np.outer(a, b) / max(n, 1)
        some = expected > 0
        ratio, p = np.full(both.shape, np.nan), np.full(both.shape, np.nan)
        ratio[some] = both[some] / expected[some]
        wide_a, wide_b = (np.broadcast_to(m, both.shape)[some] for m in (a[:, None], b[None]))
        fewer = hypergeom.cdf(both[some], n, wide_a, wide_b)
        more = hypergeom.sf(both[some] - 1, n, wide_a, wide_b)
        p[some] = np.minimum(1.0, 2 * np.minimum(fewer, more))
        numbers = {"units": both, "expected": expected, "ratio": ratio, "p_value": p}
        flat = {name: values.reshape(-1) for name, values in numbers.items()}
        tables.append(associated.assign(**each.place, **flat))
    columns = [*PLACE, "concept", "category", "group", "units", "expected", "ratio", "association"]
    columns += ["task_association", "group_task_association", "p_value"]
    return pd.concat(tables, ignore_index=True)[columns] if tables else pd.DataFrame(columns=columns)


def associated_groups(dictionary: FaceDictionary) -> pd.DataFrame:
    """Phi of each local concept with each global group over the images in which both are known.

    NaN where there are fewer than ten such images, or one of the two does not vary in them.
    """
    concepts = dictionary.concepts
    present = dictionary.present.to_numpy(dtype=np.float64)
    known = dictionary.known.to_numpy(dtype=np.float64)
    tables = []
    for category in concepts.categories:
        codes = dictionary.groups[category.name].to_numpy()
        member = (codes[:, None] == np.arange(len(category.groups))).astype(np.float64)
        grouped = (codes >= 0).astype(np.float64)
        x, k = (present * known).T, known.T
        n = (k @ grouped)[:, None]
        a, b, both = (x @ grouped)[:, None], k @ member, x @ member
        with np.errstate(invalid="ignore", divide="ignore"):
            phi = (n * both - a * b) / np.sqrt(a * (n - a) * b * (n - b))
        phi[np.broadcast_to(n < _FEWEST, phi.shape) | ~np.isfinite(phi)] = np.nan
        table = pd.DataFrame(phi, columns=list(category.groups))
        table.insert(0, "concept", [c.name for c in concepts.local])
        tables.append(
            table.melt("concept", var_name="group", value_name="association").assign(category=category.name)
        )
    columns = ["concept", "category", "group", "association"]
    if not tables:
        return pd.DataFrame(columns=columns)
    # Concept by concept, the groups of all categories, as the flattened cross-table of units has them.
    order = {c.name: k for k, c in enumerate(concepts.local)}
    every = pd.concat(tables, ignore_index=True)[columns]
    return every.sort_values("concept", key=lambda names: names.map(order), kind="stable", ignore_index=True)


def check_task(faces: FaceSet, task: str) -> None:
    """Raise where the faces do not have the task as an attribute whose association can be measured."""
    if task not in faces.schema:
        raise DataError(
            f"The faces '{faces.name}' have no attribute '{task}' as a task; {nearest(task, faces.schema)}"
        )
    kind = faces.schema[task].kind
    if kind not in _MEASURABLE:
        able = [name for name, attribute in faces.schema.items() if attribute.kind in _MEASURABLE]
        raise DataError(
            f"The attribute '{task}' of '{faces.name}' is of the kind {kind}, for which no association with concepts is "
            f"measured. Name one that is {', '.join(_MEASURABLE[:-1])} or {_MEASURABLE[-1]}: {', '.join(able) or 'it has none'}."
        )


@dataclass(frozen=True)
class WithTask:
    """How strongly local concepts, and global groups as (category, group), go with the task in the training faces."""

    concepts: dict[str, float]
    groups: dict[tuple[str, str], float]


def with_task(faces: FaceSet, task: str, concepts: ConceptTable) -> WithTask:
    """Association of concepts and groups with the task in the training faces, as `fusiform.faces.associations` measures.

    What those faces do not know is absent.
    """
    check_task(faces, task)
    names = {}
    for category in concepts.categories:
        numbers, why = group_numbers(faces, category)
        for number, group in enumerate(category.groups if not why else ()):
            member = pd.array(numbers == number, dtype="boolean")
            member[numbers < 0] = pd.NA
            name = f"{category.name}: {group}"
            names[name] = (category.name, group)
            faces = faces.with_attribute(name, member, Attribute(kind="binary"))
    found = associations(faces, intervals=0)
    one, other = found[found["other"] == task], found[found["attribute"] == task]
    pairs = [
        *zip(one["attribute"], one["value"], strict=True),
        *zip(other["other"], other["value"], strict=True),
    ]
    local = {concept.name for concept in concepts.local}
    return WithTask(
        {name: float(value) for name, value in pairs if name in local},
        {names[name]: float(value) for name, value in pairs if name in names},
    )
