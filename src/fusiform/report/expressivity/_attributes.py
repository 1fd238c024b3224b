"""Sections on the attributes: their order, what they are, and the findings of the paper."""

from typing import Any

import pandas as pd

from fusiform.plotting import attribute_histograms, expressivity_order, expressivity_share
from fusiform.plotting._expressivity_order import order_rows
from fusiform.plotting._expressivity_rows import with_series
from fusiform.report._build import Figures, absent, interval_cell, plotted, value_cell
from fusiform.report._format import count, missing, percent
from fusiform.report._parts import Block, Section, Table, table
from fusiform.report._verdicts import findings_blocks
from fusiform.report.expressivity._curves import without_empty
from fusiform.report.expressivity._material import Material


def findings(material: Material) -> Section:
    """Say which of the paper's findings hold here."""
    return Section(
        "findings",
        "Findings of the paper",
        [
            "What Dhar et al. (2020) found in their networks, put as statements that can fail, and what was measured here. A "
            "verdict is “unclear” where the interval does not settle it."
        ],
        absent(material, "findings", "the run has no table of findings."),
        findings_blocks(material.tables.get("findings"), by="network", source="paper"),
    )


def order(material: Material, figures: Figures) -> Section:
    """Which attribute the last layer says most about."""
    blocks = []
    found = material.tables.get("order")
    for name in material.networks_of("order") if found is not None else []:
        own = found[found["network"] == name]  # type: ignore[index]
        estimator = material.estimator if (own["estimator"] == material.estimator).any() else None
        figure = expressivity_order(own, network=name, estimator=estimator)
        layer = order_rows(own, network=name, estimator=estimator)["layer"].iloc[0]
        label = f"Order of the attributes at {layer}. The numbers are in the table below."
        detail = "right: how probable it is that an attribute is above the next"
        if name:
            detail = f"{layer}; {detail}"
        blocks.append(
            plotted(
                figures, "order", figure, label, setup=name or None, title=name or str(layer), detail=detail
            )
        )
        blocks.append(Block(setup=name or None, table=_order_table(own, name, estimator)))
        ranks = _ranks(material, name)
        if ranks is not None:
            blocks.append(Block(setup=name or None, table=ranks))
    return Section(
        "order",
        "Order of the attributes",
        [
            "Which attribute the features say most about, the highest first. Intervals and probabilities come from drawing the "
            "held-out images anew, people together; the same draws serve all attributes, so differences are between like and like. "
            "Values in nats favour attributes of much entropy: the share of it is below."
        ],
        absent(material, "order", "the run has no table of orders."),
        blocks,
    )


def _order_table(own: pd.DataFrame, name: str, estimator: str | None) -> Table:
    rows = order_rows(own, network=name, estimator=estimator)
    lines = [
        [
            (row["rank"], count(row["rank"])),
            str(row["attribute"]),
            str(row["encoding"]),
            value_cell(row["value"]),
            interval_cell(row["lower"], row["upper"]),
            (row.get("p_first"), percent(row.get("p_first"))),
            (row["above_next"], percent(row["above_next"])),
        ]
        for row in rows.to_dict("records")
    ]
    columns = [
        "Rank",
        "Attribute",
        "Encoding",
        "Held out",
        "95% interval",
        "Highest of all",
        "Above the next",
    ]
    return table(f"Order at {rows['layer'].iloc[0]}, nats", *without_empty(columns, lines))


def _ranks(material: Material, name: str) -> Table | None:
    held = material.values(name)
    if held["layer"].nunique() < 2:
        return None
    wide = held.sort_values("depth", kind="stable").pivot_table(
        index="series", columns="layer", values="value", sort=False
    )
    ranks = wide.rank(ascending=False, method="min")
    ranks = ranks.sort_values(str(ranks.columns[-1]), kind="stable")
    lines = [
        [str(series), *((rank, count(rank)) for rank in row)]
        for series, row in zip(ranks.index, ranks.to_numpy().tolist(), strict=True)
    ]
    folded = f"Ranks in all {len(ranks.columns)} layers"
    return table(f"Ranks by layer, {name}", ["Attribute", *map(str, ranks.columns)], lines, folded=folded)


def described(material: Material, figures: Figures) -> Section:
    """The paper's three reasons for a high value, attribute by attribute."""
    blocks = []
    found = material.tables.get("described")
    if found is not None:
        blocks.append(Block(table=_described_table(found)))
    relative = material.tables.get("relative")
    for name in material.networks_of("relative") if relative is not None else []:
        layer = material.layers_of("relative", name)[-1]
        if "expressivity" in material.tables and name in material.names:
            layer = material.last(name)
        rows = relative[(relative["network"] == name) & (relative["layer"] == layer)]  # type: ignore[index]
        if rows["share"].notna().any():
            estimator = material.estimator if (rows["estimator"] == material.estimator).any() else None
            figure = expressivity_share(rows, network=name, estimator=estimator)
            label = f"Share of every attribute's entropy that {layer} gives away."
            more: dict[str, Any] = {
                "title": f"Share of the entropy: {name or layer}",
                "detail": layer if name else "",
            }
            blocks.append(plotted(figures, "share", figure, label, setup=name or None, **more))
    if "histograms" in material.tables:
        figure = attribute_histograms(material.tables["histograms"])
        label = "How the values of every attribute are spread over the images."
        blocks.append(
            plotted(figures, "histograms", figure, label, title="How the values are spread", detail="images")
        )
    return Section(
        "described",
        "Why a value may be high",
        [
            "The paper gives three reasons for its high value of age, which may hold for any attribute: it goes along with identity "
            "in these images; it was predicted by a network from the same pixels, so that its errors can be read too; and its "
            "entropy is high, which leaves room for a high value. No value can exceed the entropy of classes; that of a histogram "
            "is a yardstick only.",
        ],
        absent(material, "described", "the run has no table that describes the attributes."),
        blocks,
    )


def _described_table(found: pd.DataFrame) -> Table:
    lines = []
    for row in with_series(found).to_dict("records"):
        unit = "" if missing(row["unit"]) or not row["unit"] else f", {row['unit']}"
        classes = "" if missing(row["classes"]) else f", {count(row['classes'])} classes"
        by = "" if missing(row["predicted_by"]) or not row["predicted_by"] else f"by {row['predicted_by']}"
        lines.append(
            [
                str(row["series"]),
                f"{row['kind']}{unit}{classes}",
                "" if missing(row["encoding"]) else str(row["encoding"]),
                (row["n"], count(row["n"])),
                (row["n_missing"], count(row["n_missing"])),
                value_cell(row["entropy"]),
                "" if missing(row["entropy_kind"]) else str(row["entropy_kind"]),
                value_cell(row["association"]),
                "" if missing(row["association_measure"]) else str(row["association_measure"]),
                by or ("yes" if row["predicted"] else "no"),
                "" if missing(row["note"]) else str(row["note"]),
            ]
        )
    columns = [
        "Attribute",
        "Kind",
        "Encoding",
        "Images",
        "Missing",
        "Entropy",
        "Entropy of",
        "With identity",
        "Measure",
    ]
    return table(
        "What is known about the attributes; entropy in nats",
        *without_empty([*columns, "Predicted", "Note"], lines),
    )
