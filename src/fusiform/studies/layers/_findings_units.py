"""Findings about single units: tables 5.2 to 5.4 and figure 5.9."""

import numpy as np
import pandas as pd

from fusiform.studies._findings import UNCLEAR, Estimate, Finding, NotMeasured, every, finding
from fusiform.studies.layers._evidence import Evidence, over
from fusiform.studies.layers._rows import correlations
from fusiform.studies.layers._vip import vip_summary

FINDINGS: list[Finding[Evidence]] = []
_NEURONS_NEAR_BASELINE = ("Male", "Eyeglasses", "Wearing_Hat")


@finding(
    "One neuron does nearly as well as a supervised network for Male, Eyeglasses and Wearing_Hat.",
    "table 5.2",
    "For each of the three the best single neuron is less than 4 points of accuracy below the multitask baseline.",
    into=FINDINGS,
)
def _single_neurons(evidence: Evidence) -> tuple[str, str]:
    measures = ["value", "lower", "upper", "baseline"]
    best = evidence.table("best", ["attribute", "unit_kind", "metric", *measures])
    best = best[(best["unit_kind"] == "neuron") & (best["metric"] == "accuracy")].dropna(subset=["baseline"])
    means = best.groupby("attribute")[measures].mean()
    lacking = [name for name in _NEURONS_NEAR_BASELINE if name not in means.index]
    if lacking:
        raise NotMeasured(f"a best neuron and a baseline are not both there for {', '.join(lacking)}")
    below, verdicts = [], []
    for name in _NEURONS_NEAR_BASELINE:
        row = means.loc[name]
        gap = Estimate(*(row["baseline"] - row[["value", "upper", "lower"]]).tolist())
        verdicts.append(gap.below(0.04))
        below.append(f"{name} {gap.points()}, its neuron {100 * row['value']:.1f}%")
    return f"Below the baseline: {'; '.join(below)}.", every(verdicts)


@finding(
    "The best layer is above the best channel, and that above the best neuron.",
    "table 5.3",
    "On average over attributes both differences in accuracy are above zero.",
    into=FINDINGS,
)
def _order_of_units(evidence: Evidence) -> tuple[str, str]:
    channel, neuron = _unit_gaps(evidence)
    second = over(neuron - channel)
    first = over(channel)
    return (
        f"The best channel is {first.points()} below the best layer; the best neuron {second.points()} below the best channel.",
        every([first.above(0.0), second.above(0.0)]),
    )


@finding(
    "The best channel is less than 4 points below the best layer on average, the best neuron about 6.",
    "table 5.3",
    "The best channel is less than 4 points of accuracy below the best layer, the best neuron less than 8.",
    into=FINDINGS,
)
def _size_of_gaps(evidence: Evidence) -> tuple[str, str]:
    channel, neuron = (over(gap) for gap in _unit_gaps(evidence))
    return (
        f"Below the best layer: channel {channel.points()}, neuron {neuron.points()}.",
        every([channel.below(0.04), neuron.below(0.08)]),
    )


@finding(
    "VIP tells which single neurons know an attribute, far better than their mean activation.",
    "figure 5.9",
    "Over all layers and attributes, the correlation with VIP averages above 0.8, and above that with mean activation.",
    into=FINDINGS,
)
def _vip_correlation(evidence: Evidence) -> tuple[str, str]:
    table = evidence.table("vip_correlation", ["network", "layer", "attribute", "r_vip", "r_mean_activation"])
    summary = vip_summary(table.assign(setup=evidence.setup)).set_index("measure")
    vip, activation, gap = (
        Estimate(*summary.loc[name, ["value", "lower", "upper"]].astype(float))
        for name in ("vip", "mean_activation", "difference")
    )
    if not np.isfinite(vip.value):
        raise NotMeasured("no correlation with VIP is known")
    if not np.isfinite(activation.value):
        return f"r = {vip.plain()} with VIP; with mean activation not known.", every(
            [vip.above(0.8), UNCLEAR]
        )
    return (
        f"r = {vip.plain()} with VIP, {activation.plain()} with mean activation (thesis: 0.93 and 0.38).",
        every([vip.above(0.8), gap.above(0.0)]),
    )


@finding(
    "Neurons of high VIP are scarce: their number falls exponentially above 1.",
    "figure 5.9",
    "Above 1, the logarithm of the density falls linearly: the squared correlation, weighted by counts and averaged, exceeds 0.9.",
    into=FINDINGS,
)
def _vip_histogram(evidence: Evidence) -> tuple[str, str]:
    table = evidence.table("vip_histogram", ["network", "layer", "attribute", "low", "high", "count"])
    above = table[(table["low"] >= 0.999) & (table["count"] > 0)]
    middle = ((above["low"] + above["high"]) / 2).to_numpy(dtype=np.float64)
    density = np.log(above["count"] / (above["high"] - above["low"])).to_numpy(dtype=np.float64)
    keys = ["attribute", "layer", "network"]
    r = correlations(
        middle,
        density,
        above.groupby(keys, sort=False).ngroup().to_numpy(),
        above["count"].to_numpy(dtype=np.float64),
    )
    fit = above[keys].drop_duplicates().assign(r2=np.where(r < 0, r**2, 0.0 * r)).dropna(subset=["r2"])
    if not len(fit):
        raise NotMeasured("no histogram has three bins above 1")
    linear = over(fit.groupby("attribute")["r2"].mean())
    share = table.loc[table["low"] >= 0.999, "count"].sum() / max(1, table["count"].sum())
    return (
        f"{100 * share:.1f}% of the neurons have a VIP above 1; squared correlation {linear.plain()} over {len(fit)} histograms.",
        linear.above(0.9),
    )


@finding(
    "Zeroing a layer's best neurons costs later layers little.",
    "table 5.4",
    "With the largest share of a layer's top neurons zeroed, later entire layers lose less than 5 points on average.",
    into=FINDINGS,
)
def _ablation(evidence: Evidence) -> tuple[str, str]:
    table = evidence.table("ablation", ["network", "selection", "share", "attribute", "unit_kind", "drop"])
    table = table[table["share"] == table["share"].max()]
    drops = {
        (selection, unit_kind): over(group.groupby("attribute")["drop"].mean())
        for (selection, unit_kind), group in table.groupby(["selection", "unit_kind"], sort=False)
    }
    if ("top", "layer") not in drops:
        raise NotMeasured("top neurons were not zeroed, or entire layers not probed after it")
    top = drops["top", "layer"]
    units = "".join(
        f", {drops['top', u].alone()} {u}" for u in ("channels", "neurons") if ("top", u) in drops
    )
    others = "".join(
        f", {drops[s, 'layer'].alone()} with as many {s} neurons"
        for s in ("random", "lowest")
        if (s, "layer") in drops
    )
    frozen = (
        ""
        if "refitted" not in table
        else " Refitted probes."
        if table["refitted"].all()
        else " Frozen probes."
    )
    return (
        f"With {100 * table['share'].iloc[0]:.0f}% zeroed, entire layers lose {top.points()}{units}{others}.{frozen}",
        top.below(0.05),
    )


def _unit_gaps(evidence: Evidence) -> tuple[pd.Series, pd.Series]:
    """How far the best channel and the best neuron of each attribute lie below its best layer, on test."""
    best = evidence.table("best", ["attribute", "unit_kind", "metric", "value"])
    best = best[best["metric"] == "accuracy"]
    values = best.pivot_table(index="attribute", columns="unit_kind", values="value", aggfunc="mean")
    if not {"layer", "channel", "neuron"} <= set(values.columns):
        raise NotMeasured("best layers, channels and neurons are not all there")
    values = values.dropna(subset=["layer", "channel", "neuron"])
    return values["layer"] - values["channel"], values["layer"] - values["neuron"]
