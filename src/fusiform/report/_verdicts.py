"""Findings of a published study: what was measured here, and the verdict."""

from collections import Counter

import pandas as pd
from markupsafe import Markup

from fusiform.report._format import listing, missing
from fusiform.report._parts import Block, Cell, Table, table

JUDGED = ("holds", "does not hold", "unclear")
_SHORT = {"holds": "yes", "does not hold": "no", "unclear": "unclear", "not measured": "\N{EN DASH}"}


def findings_blocks(found: pd.DataFrame | None, *, by: str, source: str) -> list[Block]:
    """Give a table of findings for each network or setup, and where there are several one of all side by side.

    Parameters
    ----------
    found : DataFrame or None
        ``finding, source, measured, verdict``, perhaps ``criterion``, and the column `by`.
    by : str
        ``"network"`` or ``"setup"``.
    source : str
        What the findings are of, such as ``"paper"``.

    Returns
    -------
    list of Block
        Empty without a table.
    """
    if found is None:
        return []
    found = found.assign(**{by: found[by].fillna("").astype(str)})
    names = list(dict.fromkeys(found[by]))
    together = [Block(table=_side_by_side(found, by, names))] if len(names) > 1 else []
    return together + [_block(found[found[by] == name], name, source) for name in names]


def verdicts_said(found: pd.DataFrame | None) -> list[str]:
    """Count the verdicts of a table of findings in a sentence; none where nothing could be judged.

    Examples
    --------
    >>> verdicts_said(pd.DataFrame({"verdict": ["holds", "holds", "unclear", "not measured"]}))
    ['Of 3 findings that could be judged, 2 hold and 1 is unclear; 1 could not be judged here.']
    """
    counts: Counter[str] = Counter() if found is None else Counter(found["verdict"].astype(str))
    judged = sum(counts[verdict] for verdict in JUDGED)
    if not judged:
        return []
    said = [
        f"{counts[verdict]} {one if counts[verdict] == 1 else more}"
        for verdict, one, more in zip(
            JUDGED, ("holds", "does not", "is unclear"), ("hold", "do not", "are unclear"), strict=True
        )
        if counts[verdict]
    ]
    rest = f"; {n} could not be judged here" if (n := counts.total() - judged) else ""
    return [
        f"Of {judged} {'finding' if judged == 1 else 'findings'} that could be judged, {listing(said)}{rest}."
    ]


def verdicts_figure(found: pd.DataFrame | None) -> list[dict[str, str]]:
    """Give how many findings hold, as a number for the top of a page; none where nothing could be judged."""
    counts: Counter[str] = Counter() if found is None else Counter(found["verdict"].astype(str))
    judged = sum(counts[verdict] for verdict in JUDGED)
    value = {"label": "Findings that hold", "value": f"{counts['holds']} of {judged}", "note": "of the paper"}
    return [value] if judged else []


def _side_by_side(found: pd.DataFrame, by: str, names: list[str]) -> Table:
    rows = []
    for finding, group in found.groupby("finding", sort=False):
        of = dict(zip(group[by], group["verdict"], strict=True))
        cells = [_verdict(of[name], _SHORT.get(of[name])) if name in of else Cell("") for name in names]
        rows.append([str(finding), *cells])
    return table("Does it hold? All networks side by side", ["Finding", *names], rows)


def _block(found: pd.DataFrame, name: str, source: str) -> Block:
    rows = []
    for row in found.to_dict("records"):
        said = row["finding"]
        if not missing(row.get("criterion")):
            said = Markup("{}<small>Criterion: {}</small>").format(said, row["criterion"])
        rows.append(
            [Cell(said), _verdict(str(row["verdict"])), Cell(str(row["measured"] or "")), str(row["source"])]
        )
    columns = ["Finding", "Verdict", "Measured here", f"Where in the {source}"]
    return Block(setup=name or None, table=table(f"Findings: {name}" if name else "Findings", columns, rows))


def _verdict(verdict: str, text: str | None = None) -> Cell:
    css = str(verdict).replace(" ", "-") if verdict in _SHORT else "unclear"
    return Cell(Markup('<span class="verdict {}">{}</span>').format(css, text or verdict))
