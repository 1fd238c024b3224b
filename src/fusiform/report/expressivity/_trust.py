"""Sections on whether the estimates can be trusted: estimators, calibration, restarts."""

from typing import Any

import pandas as pd

from fusiform.plotting import critic_curves, expressivity_by_estimator, expressivity_calibration
from fusiform.plotting._expressivity_rows import HELD_OUT, MOST_PANELS, TRAIN, by_value
from fusiform.report._build import Figures, absent, interval_cell, plotted, value_cell
from fusiform.report._format import count, missing, signed
from fusiform.report._parts import Block, Section, Table, table
from fusiform.report.expressivity._material import Material


def estimators(material: Material, figures: Figures) -> Section:
    """Every attribute by every estimator: whether a claim hangs on one of them."""
    blocks = []
    if len(material.estimators) > 1:
        for name in material.names:
            layer = material.last(name)
            figure = expressivity_by_estimator(material.tables["expressivity"], network=name, layer=layer)
            label = f"Every attribute at {layer} by every estimator. The numbers are in the table below."
            blocks.append(
                plotted(
                    figures,
                    "estimators",
                    figure,
                    label,
                    setup=name or None,
                    title=name or layer,
                    detail=layer,
                )
            )
            blocks.append(Block(setup=name or None, table=_estimator_table(material, name, layer)))
    return Section(
        "estimators",
        "One estimator against another",
        [
            "The same features and attributes, estimated in other ways. Their values differ, for each is a bound of its own: InfoNCE "
            "cannot exceed the logarithm of the batch, a Gaussian reference sees straight relations only. A claim about order or "
            "direction that only one of them makes is weak."
        ],
        "only one estimator was asked for."
        if material.estimators
        else "the run has no table of expressivity.",
        blocks,
    )


def _estimator_table(material: Material, name: str, layer: str) -> Table:
    values = {e: material.values(name, layer=layer, estimator=e) for e in material.estimators}
    by = {e: dict(zip(rows["series"], rows["value"], strict=True)) for e, rows in values.items()}
    ranks = {e: pd.Series(found, dtype=float).rank(ascending=False, method="min") for e, found in by.items()}
    first = by_value(values[material.estimator])["series"]
    lines = []
    for series in dict.fromkeys([*first, *(s for rows in values.values() for s in rows["series"])]):
        cells: list[Any] = [str(series)]
        for estimator in material.estimators:
            cells.append(value_cell(by[estimator].get(series)))
            rank = ranks[estimator].get(series)
            cells.append((rank, count(rank)))
        lines.append(cells)
    columns = [text for e in material.estimators for text in (e, "Rank")]
    return table(f"Values in nats and ranks at {layer}", ["Attribute", *columns], lines)


def calibration(material: Material, figures: Figures) -> Section:
    """Estimates where the truth is known."""
    blocks = []
    found = material.tables.get("calibration")
    if found is not None:
        # Layers differ in dimension, and so do estimates.
        places = found["layer"] if "layer" in found else pd.Series("", index=found.index)
        for layer, own in found.groupby(places.fillna("").astype(str), sort=False):
            figure = expressivity_calibration(own)
            label = (
                "Estimates where the true mutual information is known. The numbers are in the table below."
            )
            n, dimension = own[["n", "dimension"]].iloc[0]
            title = "Truth and estimate" + (f": {layer}" if layer and not material.features_only else "")
            detail = f"{count(n)} images, {count(dimension)} features"
            blocks += [
                plotted(figures, "calibration", figure, label, title=title, detail=detail),
                Block(table=_calibration_table(own)),
            ]
    return Section(
        "calibration",
        "Where the truth is known",
        [
            "The same estimators on variables whose mutual information with the features is known: planted on these very features, and "
            "Gaussians of the same number and dimension. Solid lines: on images not trained on; dotted: on the training images. What lies below the dashed "
            "diagonal is missed: values of this page may be as much too low. Above it, an estimator sees what is not there."
        ],
        absent(material, "calibration", "no calibration was run."),
        blocks,
    )


def _calibration_table(found: pd.DataFrame) -> Table:
    keys = ["source", "kind", "truth", "estimator"]
    train = found[found["split"] == TRAIN].set_index(keys)["value"].to_dict()
    lines = []
    for row in found[found["split"] == HELD_OUT].to_dict("records"):
        off = row["value"] - row["truth"]
        lines.append(
            [
                str(row["source"]),
                str(row["kind"]),
                value_cell(row["truth"]),
                str(row["estimator"]),
                value_cell(row["value"]),
                interval_cell(row["lower"], row["upper"]),
                (off, signed(off)),
                value_cell(train.get(tuple(row[key] for key in keys))),
            ]
        )
    columns = ["Source", "Kind", "True", "Estimator", "Held out", "95% interval", "Error", "Training images"]
    return table(
        "True and estimated mutual information, nats",
        columns,
        lines,
        folded=f"The {len(lines)} numbers behind this figure",
    )


def convergence(material: Material, figures: Figures) -> Section:
    """Restarts: how many converged, and how far apart they end."""
    blocks = []
    if "expressivity" in material.tables:
        made = _restarts(material)
        blocks = [Block(table=made)] if made is not None else []
    curves = material.tables.get("curves")
    for name in material.networks_of("curves") if curves is not None else []:
        rows = curves[curves["network"] == name]  # type: ignore[index]
        if "step" in rows.columns:
            rows = rows[rows["step"].isna()]
        if not len(rows):
            continue
        layers = list(dict.fromkeys(rows["layer"]))
        known = material.last(name) if name in material.names else ""
        layer = known if known in layers else str(layers[-1])
        figure = critic_curves(rows, network=name, layer=layer)
        panels = len({trace.meta["series"] for trace in figure.data})
        there = rows.loc[rows["layer"] == layer, ["attribute", "encoding"]].drop_duplicates().shape[0]
        detail = f"{layer}; " + (
            f"the {MOST_PANELS} of {there} whose restarts end farthest apart"
            if panels < there
            else "one line a restart"
        )
        label = f"Training of the estimating networks at {layer} of {name}."
        blocks.append(
            plotted(figures, "curves", figure, label, setup=name or None, title=name or layer, detail=detail)
        )
    return Section(
        "convergence",
        "Restarts and convergence",
        [
            "Every value is the mean over restarts: as many networks, trained from other random weights. Where the blue lines fall "
            "while the grey ones still rise, a network learns its training images by heart; the reported value is never the "
            "highest point of a curve. A restart that diverges is done again with a smaller step."
        ],
        absent(material, "curves", "the run has neither restarts nor curves."),
        blocks,
    )


def _restarts(material: Material) -> Table | None:
    rows = trained(material)
    if not len(rows):
        return None
    lines = []
    for (network, estimator, layer), own in rows.groupby(["network", "estimator", "layer"], sort=False):
        worst = own.loc[[own["std"].idxmax()]].iloc[0] if own["std"].notna().any() else None
        lines.append(
            [
                str(network) or "features",
                str(layer),
                str(estimator),
                (own["restarts"].sum(), count(own["restarts"].sum())),
                (own["converged"].sum(), count(own["converged"].sum())),
                (own["retried"].sum(), count(own["retried"].sum())),
                (own["epochs"].mean(), count(round(own["epochs"].mean()))),
                value_cell(own["std"].median(), 3),
                value_cell(None if worst is None else worst["std"], 3),
                "" if worst is None else str(worst["attribute"]),
            ]
        )
    columns = [
        "Network",
        "Layer",
        "Estimator",
        "Restarts",
        "Converged",
        "Done again",
        "Epochs",
        "Median std",
        "Highest std",
    ]
    folded = f"Restarts in {len(lines)} places" if len(lines) > 12 else ""
    return table(
        "Restarts, all attributes together; standard deviations in nats",
        [*columns, "Of"],
        lines,
        folded=folded,
    )


def trained(material: Material) -> pd.DataFrame:
    """Give the held-out rows of estimators that are trained, which have epochs."""
    if "expressivity" not in material.tables:
        return pd.DataFrame()
    rows = material.tables["expressivity"]
    rows = rows[(rows["split"] == HELD_OUT) & rows["epochs"].notna() & rows["converged"].notna()]
    return rows[rows["epochs"].astype(float) > 0]


def agreement(material: Material, name: str, estimator: str) -> float | None:
    """Give Spearman's correlation of another estimator's order in the last layer with the main one's."""
    layer = material.last(name)
    mine, other = (
        material.values(name, layer=layer, estimator=e).set_index("series")["value"]
        for e in (material.estimator, estimator)
    )
    both = pd.concat([mine, other], axis=1, keys=["mine", "other"]).dropna()
    if len(both) < 3 or both.nunique().min() < 2:
        return None
    r = both["mine"].rank().corr(both["other"].rank())
    return None if missing(r) else float(r)
