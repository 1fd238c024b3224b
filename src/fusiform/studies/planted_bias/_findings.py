"""What the paper says of planted bias (section 4), held against what was measured."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from fusiform.studies._findings import (
    FAILS,
    HOLDS,
    UNCLEAR,
    Estimate,
    Finding,
    NotMeasured,
    every,
    finding,
    findings_table,
)
from fusiform.studies.planted_bias._summary import over_seeds

_PAPER = "Teotia and others (2022), section"
_FEW = "Values of the networks of one seed are taken together; the 95% t interval over the seeds lies on one side"


@dataclass(frozen=True)
class Evidence:
    """The values of one cue, and those of networks with random weights."""

    cue: str
    values: pd.DataFrame
    control: pd.DataFrame
    shares: pd.DataFrame

    def by_seed(self, quantity: str, layer: str | None = None) -> pd.DataFrame:
        """A row a seed, a column a percentage, of seeds that have all."""
        rows = self.values[self.values["quantity"] == quantity]
        if layer is not None:
            rows = rows[rows["layer"] == layer]
        if not len(rows):
            raise NotMeasured(f"there are no values of '{quantity}'")
        table = rows.pivot_table(index="seed", columns="percent", values="value").dropna()
        if {50, 100} - set(table.columns) or not len(table):
            raise NotMeasured("no seed has networks at both P = 50 and P = 100")
        return table

    def layers(self, quantity: str) -> list[str]:
        rows = self.values[self.values["quantity"] == quantity]
        if not len(rows):
            raise NotMeasured(f"there are no values of '{quantity}'")
        return [str(layer) for layer in rows["layer"].unique()]

    def slope(self, quantity: str, layer: str | None = None) -> Estimate:
        """Change for ten more percent, over the seeds."""
        table = self.by_seed(quantity, layer)
        x = np.asarray(table.columns, dtype=np.float64) / 10
        x -= x.mean()
        return over_seeds(table.to_numpy() @ x / (x @ x))

    def ends(self, quantity: str, layer: str | None = None, form: str = "{:.1f}") -> str:
        table = self.by_seed(quantity, layer)
        low, high = (form.format(table[p].mean()) for p in (50, 100))
        said = f"{low} at P = 50 and {high} at P = 100"
        random = self.control[self.control["quantity"] == quantity]
        if layer is not None:
            random = random[random["layer"] == layer]
        return said + (f" (random weights: {form.format(random['value'].mean())})" if len(random) else "")


EYEGLASSES: list[Finding[Evidence]] = []
GREY: list[Finding[Evidence]] = []


def _uses(evidence: Evidence) -> tuple[str, str]:
    gap = evidence.by_seed("accuracy congruent") - evidence.by_seed("accuracy incongruent")
    change = over_seeds((gap[100] - gap[50]).to_numpy())
    return (
        f"Accuracy {evidence.ends('accuracy', form='{:.2f}')}; on men without and women with the cue "
        f"{evidence.ends('accuracy incongruent', form='{:.2f}')}; the gap grows by {change.points()}.",
        change.above(0),
    )


for _into in (EYEGLASSES, GREY):
    finding(
        "A network that is trained on a biased set relies on the cue",
        "The condition on which the rest stands",
        "The gap in accuracy between congruent and incongruent test pictures is greater at P = 100 than at P = 50. "
        + _FEW,
        into=_into,
    )(_uses)


def _exceeds(quantities: tuple[str, ...], per_layer: bool) -> Callable[[Evidence], tuple[str, str]]:
    def judge(evidence: Evidence) -> tuple[str, str]:
        said, verdicts = [], []
        for quantity in quantities:
            for layer in evidence.layers(quantity) if per_layer else [None]:
                table = evidence.by_seed(quantity, layer)
                change = float((table[100] - table[50]).mean())
                name = quantity if layer is None else f"{quantity} in {layer}"
                if len(table) < 2:
                    said.append(f"{name}: {change:+.1f}, one seed")
                    verdicts.append(UNCLEAR)
                    continue
                spread = max(float(np.ptp(table[50])), float(np.ptp(table[100])))
                said.append(
                    f"{name}: {change:+.1f} from P = 50 to P = 100, range over the seeds {spread:.1f}"
                )
                verdicts.append(HOLDS if change > spread else FAILS)
        return "; ".join(said) + ".", every(verdicts)

    return judge


_SPREAD = "The difference of the means at P = 100 and P = 50 is greater than the range over the seeds at either of them."
finding(
    "At P = 100 more units pair with eyeglasses, and with the eye region, than at P = 50, by more than the seeds differ",
    "Planted truth",
    _SPREAD,
    into=EYEGLASSES,
)(_exceeds(("eyeglasses units", "Eye region units"), per_layer=False))
finding(
    "At P = 100 more units are biased towards grey or colour than at P = 50, at every stage, by more than the seeds differ",
    "Planted truth",
    _SPREAD,
    into=GREY,
)(_exceeds(("biased units",), per_layer=True))


@finding(
    "The fully biased model has more than three times as many eyeglasses units as the balanced one",
    f"{_PAPER} 4.1",
    "Units at P = 100 less three times those at P = 50 are above 0. " + _FEW,
    into=EYEGLASSES,
)
def _thrice(evidence: Evidence) -> tuple[str, str]:
    table = evidence.by_seed("eyeglasses units")
    excess = over_seeds((table[100] - 3 * table[50]).to_numpy())
    low = table[50].mean()
    ratio = f", {table[100].mean() / low:.1f} times as many" if low else ""
    return f"Units: {evidence.ends('eyeglasses units')}{ratio}.", excess.above(0)


@finding(
    "Models in between have numbers of eyeglasses units closer to the balanced model's",
    f"{_PAPER} 4.1",
    "Mean over P between 50 and 100: the distance to P = 100 less the distance to P = 50 is above 0. " + _FEW,
    into=EYEGLASSES,
)
def _between(evidence: Evidence) -> tuple[str, str]:
    table = evidence.by_seed("eyeglasses units")
    inner = table.drop(columns=[50, 100])
    if not inner.shape[1]:
        raise NotMeasured("there are no networks between P = 50 and P = 100")
    nearer = inner.sub(table[100], axis=0).abs() - inner.sub(table[50], axis=0).abs()
    listed = ", ".join(f"{table[p].mean():.1f} at {p}" for p in table.columns)
    return f"Units by P: {listed}.", over_seeds(nearer.mean(axis=1).to_numpy()).above(0)


def _trend(quantity: str, sign: int, form: str = "{:.1f}") -> Callable[[Evidence], tuple[str, str]]:
    def judge(evidence: Evidence) -> tuple[str, str]:
        slope = evidence.slope(quantity)
        verdict = slope.above(0) if sign > 0 else slope.below(0)
        return (
            f"{quantity[0].upper()}{quantity[1:]}: {evidence.ends(quantity, form=form)}; {slope.plain()} for ten percent more.",
            verdict,
        )

    return judge


_SLOPE = "The slope over P is {} 0. " + _FEW
for _quantity, _sign, _sentence, _where in (
    ("Eye region units", 1, "More units focus on the eye region as P increases", "4.1, fig. 6"),
    ("Cheek region units", -1, "Fewer units focus on the cheek region as P increases", "4.1, fig. 6"),
    (
        "eyeglasses among top men",
        1,
        "Of the men that activate the network most, more wear eyeglasses",
        "4.1, fig. 5",
    ),
    (
        "eyeglasses among top women",
        -1,
        "Of the women that activate it most, fewer wear eyeglasses",
        "4.1, fig. 5",
    ),
):
    finding(
        _sentence + ("" if "P" in _sentence else " as P increases"),
        f"{_PAPER} {_where}",
        _SLOPE.format("above" if _sign > 0 else "below"),
        into=EYEGLASSES,
    )(_trend(_quantity, _sign, "{:.1f}" if "units" in _quantity else "{:.2f}"))


def _at_each_layer(
    quantity: str, form: str, measure: Callable[[Evidence, str], Estimate]
) -> Callable[[Evidence], tuple[str, str]]:
    def judge(evidence: Evidence) -> tuple[str, str]:
        said, verdicts = [], []
        for layer in evidence.layers(quantity):
            said.append(f"{layer}: {evidence.ends(quantity, layer, form)}")
            verdicts.append(measure(evidence, layer).above(0))
        return "; ".join(said) + ".", every(verdicts)

    return judge


def _change(evidence: Evidence, layer: str) -> Estimate:
    table = evidence.by_seed("biased units", layer)
    return over_seeds((table[100] - table[50]).to_numpy())


finding(
    "All four layers have more biased units at P = 100 than at P = 50",
    f"{_PAPER} 4.2, fig. 8",
    "At every stage the difference is above 0. " + _FEW,
    into=GREY,
)(_at_each_layer("biased units", "{:.1f}", _change))
finding(
    "The slope of the sorted unit probabilities becomes steeper as P increases, at all four layers",
    f"{_PAPER} 4.2, fig. 7",
    "At every stage the standard deviation of P(grey) over the units has a slope over P above 0. " + _FEW,
    into=GREY,
)(
    _at_each_layer(
        "deviation of p_grey", "{:.3f}", lambda evidence, layer: evidence.slope("deviation of p_grey", layer)
    )
)


@finding(
    "The last layer has the greatest share of biased units at all P",
    f"{_PAPER} 4.2, fig. 8",
    "Mean over P: the share at the last stage less the greatest share of the other stages is above 0. "
    + _FEW,
    into=GREY,
)
def _last(evidence: Evidence) -> tuple[str, str]:
    shares = evidence.shares
    if not len(shares):
        raise NotMeasured("there are no shares of biased units")
    table = shares.pivot_table(index=["seed", "percent"], columns="stage", values="share", aggfunc="sum")
    last = table.columns.max()
    lead = (table[last] - table.drop(columns=last).max(axis=1)).groupby("seed").mean()
    listed = ", ".join(f"{100 * table[s].mean():.0f}% at stage {s}" for s in table.columns)
    return f"Mean over P: {listed}.", over_seeds(lead.to_numpy()).above(0)


@finding(
    "At P = 100 very few units have no strong affinity to grey or colour, even in early layers",
    f"{_PAPER} 4.2, fig. 7",
    "At P = 100 the smallest share of biased units of the four stages is above 80%. " + _FEW,
    into=GREY,
)
def _few_unbiased(evidence: Evidence) -> tuple[str, str]:
    shares = evidence.shares
    at = shares[shares["percent"] == 100] if len(shares) else shares
    if not len(at):
        raise NotMeasured("there are no networks at P = 100")
    table = at.pivot_table(index="seed", columns="stage", values="share", aggfunc="sum")
    listed = ", ".join(f"{100 * table[s].mean():.0f}% at stage {s}" for s in table.columns)
    return f"Biased at P = 100: {listed}.", over_seeds(table.min(axis=1).to_numpy()).above(0.8)


def findings(
    values: pd.DataFrame, control: pd.DataFrame, biased: pd.DataFrame | None, cues: list[str], network: str
) -> pd.DataFrame:
    """Hold the paper's section 4 against what was measured.

    Parameters
    ----------
    values : DataFrame
        ``cue, percent, seed, quantity, layer, value`` of the trained networks.
    control : DataFrame
        ``cue, seed, quantity, layer, value`` of networks with random weights.
    biased : DataFrame or None
        The table of biased units.
    cues : list of str
        Which experiments were asked.
    network : str
        What to call the network.

    Returns
    -------
    DataFrame
        A row a cue and finding: ``finding, source, network, setup`` (the cue)``, measured, verdict, criterion``.
    """
    rows = []
    for cue in cues:
        shares = pd.DataFrame() if biased is None else biased[biased["cue"] == cue]
        evidence = Evidence(cue, values[values["cue"] == cue], control[control["cue"] == cue], shares)
        for each in EYEGLASSES if cue == "eyeglasses" else GREY:
            rows.append(each.row(network, cue, *each.judged(evidence)))
    return findings_table(rows)
