"""Sections on what networks know at which depth: figures 5.1 to 5.8 of the thesis, and its findings."""

from functools import partial
from typing import Any

import pandas as pd

from fusiform.plotting import (
    families_over_depth,
    sawtooth_dips,
    sawtooth_over_depth,
    setups_over_depth,
    style,
    units_over_depth,
)
from fusiform.plotting._families import drawn_families
from fusiform.plotting._sawtooth import mean_dips
from fusiform.plotting.tables import (
    CONTROL_ENDING,
    METRIC_TITLES,
    PRIMARY,
    curves,
    layer_order,
    value_range,
)
from fusiform.report import _svg
from fusiform.report._build import Figures, one_of, plotted, value_cell
from fusiform.report._format import missing, number
from fusiform.report._parts import Block, Section, table
from fusiform.report._verdicts import findings_blocks
from fusiform.report.layers._material import Material

_KIND_TITLES = {
    "binary": "Yes/no attributes",
    "categorical": "Attributes of several classes",
    "continuous": "Measured quantities",
}
_UNITS = ("layer", "channels", "neurons")
_R2_AXES = (
    "R² has no lower end: on this page its axes end at −1 or above, and what is lower leaves the picture."
)
_IMAGES = {"valid": "balanced validation faces", "test": "test faces"}


def findings(material: Material) -> Section:
    """Say which of the thesis' findings hold here."""
    return Section(
        "findings",
        "Findings of the thesis",
        [
            "What Diniz (2020) found in his networks, put as statements that can fail, and what was measured here. A "
            "verdict is “unclear” where the interval does not settle it."
        ],
        "the run has no table of findings.",
        findings_blocks(material.tables.get("findings"), by="setup", source="thesis"),
    )


def depth(material: Material, figures: Figures) -> Section:
    """Figures 5.1 to 5.3: entire layer, channels and neurons over depth."""
    blocks = []
    for setup in material.setups if "probes" in material.tables else []:
        rows = material.curve_rows
        own = rows[rows["setup"] == setup]
        for kind in [k for k in material.kinds if (own["kind"] == k).any()]:
            blocks += _depth_blocks(material, figures, setup, kind)
    return Section(
        "depth",
        "Accuracy over depth",
        [
            "From the first layer probed (left) to the last (right): what can be told from the entire layer, from its "
            "best channels together, and from its best neurons together (figures 5.1 to 5.3 of the thesis). Where the "
            "lines lie close, few units hold what the layer knows; channels are missing where a layer has none.",
            "Bands are 95% intervals; with several initialisations the line is their mean and the band reaches from the "
            "lowest to the highest.",
            *([_R2_AXES] if "continuous" in material.kinds else []),
        ],
        "the run has no table of probes.",
        blocks,
    )


def _depth_blocks(material: Material, figures: Figures, setup: str, kind: str) -> list[Block]:
    figure = units_over_depth(
        material.curve_rows, setup=setup, kind=kind, split=material.split, selector=False
    )
    names = list(dict.fromkeys(trace.meta["attribute"] for trace in figure.data))
    detail = f"{METRIC_TITLES[PRIMARY[kind]]}, {_IMAGES[material.split]}"
    large = plotted(
        figures,
        f"depth-{kind}",
        figure,
        f"{_KIND_TITLES[kind]} over the layers of {setup}, one at a time; the panels below show all of them.",
        setup=setup,
        title=f"{_KIND_TITLES[kind]}: {setup}",
        detail=detail,
        pick=names,
    )
    found = curves(material.curve_rows, split=material.split, unit_kinds=_UNITS, kind=kind, setup=setup)
    own, control = found[found["setup"] == setup], found[found["setup"] == setup + CONTROL_ENDING]
    layers, limits = layer_order(own), value_range(own)
    control = control[control["unit_kind"] == "layer"]
    by_name = dict(list(own.groupby("attribute", sort=False)))
    of_control = dict(list(control.groupby("attribute", sort=False)))
    panels = [_panel(name, by_name[name], of_control.get(name), layers, limits) for name in names]
    key = [(f"unit-{u}", style.UNIT_NAMES[u]) for u in _UNITS if (own["unit_kind"] == u).any()]
    key += [("control", "random weights")] if len(control) else []
    note = (
        f"Left to right: {layers[0]} to {layers[-1]}, {len(layers)} layers. All panels have the same axis; "
    )
    small = Block(
        setup=setup,
        panels=panels,
        key=[*key, ("chance", "chance")],
        note=note + "the number is the highest value of an entire layer.",
    )
    return [large, small] if len(names) > 1 else [large]


def _panel(
    name: str,
    rows: pd.DataFrame,
    control: pd.DataFrame | None,
    layers: list[str],
    limits: tuple[float, float],
) -> dict[str, Any]:
    units: dict[str, _svg.Curve] = {}
    for unit in _UNITS:
        part = rows[rows["unit_kind"] == unit].set_index("layer")
        if len(part):
            value, lower, upper = (_by_layer(part[column], layers) for column in ("value", "lower", "upper"))
            units[unit] = (value, lower, upper)
    values = [v for v in units.get("layer", next(iter(units.values())))[0] if v is not None]
    random = (
        [None] * len(layers) if control is None else _by_layer(control.set_index("layer")["value"], layers)
    )
    label = (
        f"{name} over {len(layers)} layers: from {number(values[0])} to {number(values[-1])}"
        if values
        else name
    )
    drawing = _svg.unit_panel(units, random, float(rows["chance"].iloc[0]), limits, label)
    return {"name": name, "top": max(values, default=None), "svg": drawing}


def _by_layer(values: pd.Series, layers: list[str]) -> list[float | None]:
    found = values.to_dict()
    return [None if missing(found.get(layer)) else float(found[layer]) for layer in layers]


def compared(material: Material, figures: Figures) -> Section:
    """Figure 5.4: setups and random weights, mean over attributes."""
    blocks = []
    if material.with_units("layer"):
        figure = setups_over_depth(material.curve_rows, split=material.split)
        label = "Mean over attributes, one line a network, over relative depth. The numbers are in the table below."
        blocks = [plotted(figures, "setups", figure, label), Block(table=_ends_table(material))]
    return Section(
        "setups",
        "Networks compared",
        [
            "The mean over all attributes, one line a network; dotted lines are the same architectures with random "
            "weights (figure 5.4). Where a trained network leaves its random twin behind, training made attributes easier "
            "to read; where it falls below another network, its training threw them away.",
        ],
        "the run has no table of probes of entire layers.",
        blocks,
    )


def _ends_table(material: Material) -> Any:
    rows = curves(material.curve_rows, split=material.split)
    shown = []
    for (setup, metric), group in rows.groupby(["setup", "metric"], sort=False):
        mean = group.groupby(["depth", "layer"])["value"].mean().sort_index().reset_index()
        value = mean["value"]
        which = str(mean["layer"].iloc[int(value.to_numpy().argmax())])
        line = [value_cell(value.iloc[0]), value_cell(value.max()), which, value_cell(value.iloc[-1])]
        n = int(group["attribute"].nunique())
        runs = int(group["n_networks"].max())
        shown.append([str(setup), METRIC_TITLES[str(metric)], *line, (n, str(n)), (runs, str(runs))])
    columns = [
        "Network",
        "Measure",
        "First layer",
        "Best layer",
        "Which",
        "Last layer",
        "Attributes",
        "Initialisations",
    ]
    return table("Means over attributes", columns, shown)


def families(material: Material, figures: Figures) -> Section:
    """Figures 5.5 to 5.7: families of attributes."""
    blocks = []
    listed = material.tables.get("families", pd.DataFrame(columns=["family", "attribute"]))
    for setup in material.layer_setups:
        rows = material.curve_rows
        own = rows[(rows["setup"] == setup) & (rows["unit_kind"] == "layer")]
        names = drawn_families(own, listed)
        if not names:
            continue
        draw = partial(families_over_depth, own, listed, setup=setup, split=material.split)
        views = {"all families": draw()} | {name: draw(family=name) for name in names}
        blocks.append(
            plotted(
                figures,
                "families",
                one_of(views),
                f"Attributes of {setup} by family over the layers.",
                setup=setup,
                title=setup,
                detail=f"entire layers, {_IMAGES[material.split]}",
                pick=list(views),
            )
        )
    return Section(
        "families",
        "Families of attributes",
        [
            "Attributes that belong together: hair colours (figure 5.5), primary beside soft biometrics (5.6), and what is "
            "not biometric at all (5.7). Thick lines are means of a family, thin ones its attributes; choose one family to see "
            "them by name."
        ],
        "no family has two attributes that were probed.",
        blocks,
    )


def sawtooth(material: Material, figures: Figures) -> Section:
    """Figure 5.8: what residual branches lose."""
    blocks = []
    dips = material.tables.get("sawtooth")
    for setup in material.setups_of("sawtooth"):
        if dips is None or setup not in material.layer_setups:
            continue
        listed = material.tables.get("families")
        figure = sawtooth_over_depth(material.curve_rows, dips, setup=setup, split=material.split)
        names = [trace.meta["attribute"] for trace in figure.data if trace.meta["role"] == "line"]
        means = mean_dips(dips, setup)
        blocks.append(
            plotted(
                figures,
                "sawtooth",
                figure,
                f"One attribute over the layers of {setup}; ends of residual branches and sums are marked.",
                setup=setup,
                title=setup,
                detail=f"entire layers, {_IMAGES[material.split]}; shaded: residual blocks",
                pick=names,
            )
        )
        n_blocks = dips.loc[dips["setup"] == setup, "block"].nunique()
        blocks.append(
            plotted(
                figures,
                "dips",
                sawtooth_dips(dips, setup=setup, families=listed),
                f"Mean dip of {len(means)} attributes over {n_blocks} residual blocks of {setup}.",
                setup=setup,
                title="Dip of every attribute",
                detail=f"mean over {n_blocks} residual blocks, and each block",
            )
        )
    return Section(
        "sawtooth",
        "Sawtooth in residual blocks",
        [
            "Inside a residual block, the branch's last layer before the sum often knows less than the sums around it "
            "(figure 5.8): what is not needed for identity is left to the skip connection. The dip is the mean of the "
            "neighbouring sums minus the branch; above 0 there is a tooth."
        ],
        "no residual block was found with its branch and its sum probed.",
        blocks,
    )
