"""Findings of a published study: what was measured here, and the verdict."""

import pandas as pd
from markupsafe import Markup

from fusiform.report._format import missing
from fusiform.report._parts import Block, Cell, Table, table

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
