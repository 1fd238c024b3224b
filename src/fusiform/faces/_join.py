from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

from fusiform.errors import DataError, SpecError, nearest
from fusiform.faces._attribute import Attribute
from fusiform.faces._face_set import FaceSet
from fusiform.faces._joined_images import JoinedImages, SeenImages
from fusiform.faces._schema import as_kind
from fusiform.faces._view import View

SET = "set"
IDENTITY = "identity"
JOIN = "join:"
_OPTIONS = ("name", "same_people", "attributes")
_YES = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}


def join_faces(
    sets: Sequence[FaceSet],
    name: str | None = None,
    *,
    same_people: bool = False,
    attributes: Sequence[str] | None = None,
) -> FaceSet:
    """Join sets of different sources into one; no image is read.

    The column ``set`` (categorical) says where each row comes from: the name of its set, made different where two
    sets have the same; of a set that has such a column itself, ``name/value``, and of one that was joined before,
    what it holds already.

    Image ids stay as they are where they are unique, otherwise every set's are preceded by ``name/``. The first
    identity column of each set becomes ``identity``. Landmarks are NaN in sets without them, and five where any set
    has five; masks are those that all sets have, for a part without a mask is not a part that is absent. Attributes
    are united and NA where a set has them not. Sets that were all aligned or resized alike are joined before that
    step, so that later steps still start from the original pixels.

    Parameters
    ----------
    sets : sequence of FaceSet
        One or more.
    name : str, optional
        Name for tables; the sets' names with ``+`` between when not given.
    same_people : bool, default False
        Whether equal identities in different sets are one person. Otherwise every set's are preceded by ``name/``,
        and nobody is in two sets.
    attributes : sequence of str, optional
        Attributes to keep; all when not given. Identity and set are always kept.

    Returns
    -------
    FaceSet
        The rows of the first set, then those of the second, ...

    Raises
    ------
    DataError
        If there is no set, an attribute's kind or unit differs between sets, or no set has an attribute asked for.

    Examples
    --------
    >>> import numpy as np
    >>> a = FaceSet.from_arrays(np.zeros((2, 3, 8, 8), np.uint8), pd.DataFrame({"identity": ["p", "q"]}), name="a")
    >>> b = FaceSet.from_arrays(np.zeros((1, 3, 9, 9), np.uint8), pd.DataFrame({"identity": ["p"]}), name="b")
    >>> join_faces([a, b]).table.values.tolist()
    [['a/0', 'a', 'a/p'], ['a/1', 'a', 'a/q'], ['b/0', 'b', 'b/p']]
    >>> join_faces([a, b], same_people=True).table["identity"].nunique()
    2
    """
    sets = list(sets)
    if not sets:
        raise DataError("There are no sets to join; give one or more.")
    for faces in sets:
        if not isinstance(faces, FaceSet):
            raise DataError(
                f"Only sets of faces can be joined; got {type(faces).__name__}. Open it with open_faces first."
            )
    names = _distinct([faces.name for faces in sets])
    kept = _kept(sets, attributes)
    tables = [_table(faces, own, kept, same_people) for faces, own in zip(sets, names, strict=True)]
    ids = [pd.concat([faces.table["image_id"], faces.skipped["image_id"]]) for faces in sets]
    clash = bool(pd.concat([each.drop_duplicates() for each in ids]).duplicated().any())
    skipped = [faces.skipped for faces in sets]
    if clash:
        for own, table, left_out in zip(names, tables, skipped, strict=True):
            for each in (table, left_out):
                each["image_id"] = own + "/" + each["image_id"]
    schema = _schema(sets, names, kept)
    labels = _distinct_labels([table[SET] for table in tables])
    united = pd.concat(
        [table.assign(**{SET: label}) for table, label in zip(tables, labels, strict=True)], ignore_index=True
    ).reindex(columns=["image_id", *schema])
    for column, attribute in schema.items():
        united[column] = as_kind(united[column], attribute.kind, column)
    views = [faces._view for faces in sets]
    steps = views[0].steps
    alike = all(view.steps == steps for view in views)
    joined = FaceSet(
        name=name or "+".join(names),
        table=united,
        schema=schema,
        source=JoinedImages(
            [
                (v.source, v.rows) if alike or not v.steps else (SeenImages(v), range(len(v.rows)))
                for v in views
            ],
            [f"{own}/" if clash else "" for own in names],
        ),
        spec=_spec(sets, name, same_people, attributes),
        provenance=_provenance(sets, names, same_people),
        skipped=pd.concat(skipped, ignore_index=True),
    )
    return joined._derived(_view=View(joined._view.source, joined._view.rows, steps)) if alike else joined


def _distinct(names: Sequence[str], taken: Sequence[str] = ()) -> list[str]:
    """The names, those that came before numbered."""
    seen = set(taken)
    distinct = []
    for name in names:
        own, number = name, 1
        while own in seen:
            number += 1
            own = f"{name}-{number}"
        seen.add(own)
        distinct.append(own)
    return distinct


def _distinct_labels(columns: Sequence[pd.Series]) -> list[pd.Series]:
    seen: list[str] = []
    labels = []
    for column in columns:
        own = [str(label) for label in column.unique()]
        new = dict(zip(own, _distinct(own, seen), strict=True))
        seen += new.values()
        labels.append(column.map(new).astype("string"))
    return labels


def _kept(sets: Sequence[FaceSet], attributes: Sequence[str] | None) -> set[str]:
    known = {column for faces in sets for column in faces.schema}
    if attributes is None:
        return known
    for attribute in attributes:
        if attribute not in known:
            raise DataError(
                f"None of the sets to join has an attribute '{attribute}'; {nearest(attribute, known)}"
            )
    return set(attributes)


def _columns(faces: FaceSet, kept: set[str]) -> dict[str, str]:
    """From a set's columns to the names they have in the joined set."""
    names = {column: column for column in faces.schema if column in kept and column != SET}
    if faces.identity is not None:
        if faces.identity != IDENTITY and IDENTITY in names:
            raise DataError(
                f"The set '{faces.name}' says who is shown in '{faces.identity}' and has a further column "
                f"'{IDENTITY}'; open it with ignore={IDENTITY} or leave that out with attributes=[...]."
            )
        names[faces.identity] = IDENTITY
    return names


def _table(faces: FaceSet, name: str, kept: set[str], same_people: bool) -> pd.DataFrame:
    columns = _columns(faces, kept)
    whole = faces.table
    table = whole[["image_id", *columns]].rename(columns=columns)
    label = pd.Series(name, index=table.index, dtype="string")
    if SET in faces.schema:
        if faces.schema[SET].kind != "categorical" or whole[SET].isna().any():
            raise DataError(
                f"The set '{faces.name}' has a column '{SET}' that does not name a set for every image, and a joined "
                f"set says there where its rows come from. Open it with ignore={SET}, or call the column otherwise."
            )
        inner = whole[SET].astype("string")
        label = inner if faces.provenance.get("reader") == "join" else name + "/" + inner
    table.insert(1, SET, label)
    if not same_people:
        for column, new in columns.items():
            if faces.schema[column].kind == "identity":
                table[new] = name + "/" + table[new]
    return table


def _schema(sets: Sequence[FaceSet], names: Sequence[str], kept: set[str]) -> dict[str, Attribute]:
    schema = {SET: Attribute("categorical", description="where the image comes from")}
    held: dict[str, list[tuple[str, Attribute]]] = {}
    for faces, own in zip(sets, names, strict=True):
        for column, new in _columns(faces, kept).items():
            held.setdefault(new, []).append((own, faces.schema[column]))
    for column in sorted(held, key=lambda name: name != IDENTITY):
        first, attribute = held[column][0]
        for own, other in held[column][1:]:
            if (other.kind, other.unit) != (attribute.kind, attribute.unit):
                raise DataError(
                    f"The attribute '{column}' is {_said(attribute)} in '{first}' and {_said(other)} in '{own}'. Give "
                    f"one of them other values with .with_attribute('{column}', ...), open it with another kind, or "
                    "leave the attribute out with attributes=[...]."
                )
        schema[column] = Attribute(
            attribute.kind,
            attribute.unit,
            _agreed([(own, each.description) for own, each in held[column]]) or "",
            _agreed([(own, each.predicted_by) for own, each in held[column]]),
        )
    return schema


def _said(attribute: Attribute) -> str:
    return attribute.kind + (f" in {attribute.unit}" if attribute.unit else "")


def _agreed(values: Sequence[tuple[str, str | None]]) -> str | None:
    """What all sets say; otherwise what each says, with its name."""
    if len({value for _, value in values}) == 1:
        return values[0][1]
    return "; ".join(f"{value} (in {name})" for name, value in values if value)


def _provenance(sets: Sequence[FaceSet], names: Sequence[str], same_people: bool) -> dict[str, Any]:
    each = [faces.provenance for faces in sets]
    shared = {
        key: "; ".join(dict.fromkeys(str(one[key]) for one in each if one.get(key)))
        for key in ("licence", "paper")
    }
    return {
        "reader": "join",
        "synthetic": all(bool(one.get("synthetic")) for one in each),
        "same_people": same_people,
        **{key: text for key, text in shared.items() if text},
        "sets": [
            {
                "name": own,
                "spec": faces.spec,
                "n": len(faces),
                **{k: v for k, v in one.items() if v not in ([], {}, None)},
            }
            for own, faces, one in zip(names, sets, each, strict=True)
        ],
    }


def _spec(
    sets: Sequence[FaceSet], name: str | None, same_people: bool, attributes: Sequence[str] | None
) -> str:
    """What `open_faces` takes; empty when a set was not opened from a specification of its own."""
    if any(not faces.spec or faces.spec.startswith(JOIN) for faces in sets):
        return ""
    options: Mapping[str, str | None] = {
        "name": name,
        "same_people": "yes" if same_people else None,
        "attributes": None if attributes is None else ",".join(attributes),
    }
    texts = [faces.spec.replace("|", "%7C") for faces in sets]
    texts += [f"{key}={value}" for key, value in options.items() if value]
    return JOIN + "|".join(texts)


def open_joined(spec: str, opener: Callable[[str], FaceSet], **options: Any) -> FaceSet:
    """Open ``join:SPEC|SPEC|...|option=value``; `opener` opens each of them."""
    specs: list[str] = []
    given: dict[str, Any] = {}
    for part in filter(None, (part.strip() for part in spec.removeprefix(JOIN).split("|"))):
        key, equals, value = part.partition("=")
        if equals and key.isidentifier():
            given[key] = value
        elif part.startswith(JOIN):
            raise SpecError(
                f"A 'join:' cannot stand within another; name its sets one after the other: '{spec}'."
            )
        else:
            specs.append(part)
    given |= {key: value for key, value in options.items() if value is not None}
    for key in given:
        if key not in _OPTIONS:
            raise SpecError(f"Faces of scheme 'join' have no option '{key}'; {nearest(key, _OPTIONS)}")
    if not specs:
        raise SpecError(
            f"Faces of scheme 'join' need two or more specifications with '|' between, as in 'join:lfw:A|celeba:B'; got "
            f"'{spec}'."
        )
    same = given.get("same_people", False)
    if isinstance(same, str):
        if same.lower() not in _YES:
            raise SpecError(f"The option 'same_people' of 'join' must be yes or no; got '{same}'.")
        same = _YES[same.lower()]
    attributes = given.get("attributes")
    if isinstance(attributes, str):
        attributes = [text.strip() for text in attributes.split(",") if text.strip()]
    return join_faces(
        [opener(text) for text in specs], given.get("name"), same_people=bool(same), attributes=attributes
    )
