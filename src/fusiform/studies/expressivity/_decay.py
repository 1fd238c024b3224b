"""What training does to an attribute: its peak, its decay after it, and whether that goes on while the task is learnt."""

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray

from fusiform.studies.expressivity._traces import Traces, difference, estimate, records, widened

DECAY = [
    "network",
    "layer",
    "attribute",
    "encoding",
    "estimator",
    "peak_step",
    "peak",
    "peak_lower",
    "peak_upper",
    "first",
    "last",
    "fall",
    "fall_lower",
    "fall_upper",
    "share",
    "rate",
    "rate_lower",
    "rate_upper",
    "rank",
]
COMPRESSION = [
    "network",
    "layer",
    "attribute",
    "encoding",
    "estimator",
    "task_attribute",
    "correlation",
    "share_concurrent",
    "task_change",
    "task_lower",
    "task_upper",
    "reading",
]
NEVER, KEPT, NOT, WHILE, AFTER = (
    "not expressed",
    "kept",
    "not compressed",
    "compressed while fitting",
    "compressed after fitting",
)


def decay(traces: Traces) -> pd.DataFrame:
    """Find each attribute's peak over training and how it falls after it.

    Returns
    -------
    DataFrame
        A row a watched layer, attribute and encoding: ``network, layer, attribute, encoding, estimator, peak_step, peak, peak_lower,
        peak_upper, first, last, fall, fall_lower, fall_upper, share, rate, rate_lower, rate_upper, rank``. `fall` is the
        peak less the last value, `share` that over the peak (NaN where the peak's interval reaches zero), `rate` how many nats are lost for a tenfold of steps after
        the peak (least squares on the logarithm), 0 where the last step is the peak, NaN where the peak is the only step
        but one that has no logarithm. Intervals are of the draws; as the peak is the highest of all steps, they are widened by
        Bonferroni's correction for so many, lest chance in a flat course be read as a fall. Rank 1 decays slowest; attributes are ranked in their main encoding.

    Examples
    --------
    >>> decay(Traces({})).empty
    True
    """
    found = []
    for (network, layer), rows in _of_training(traces).groupby(["network", "layer"], sort=False):
        courses = [own for _, own in rows.groupby(["attribute", "encoding"], sort=False) if len(own) > 1]
        table = pd.DataFrame(
            [_one(traces, str(network), str(layer), own) for own in courses], columns=DECAY[:-1]
        )
        main = pd.Series([bool(own["main"].iloc[0]) for own in courses], dtype=bool)
        found.append(table.assign(rank=table["rate"].where(main).rank(method="min").astype("Int64")))
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=DECAY)


def _of_training(traces: Traces) -> pd.DataFrame:
    rows = traces.over_training
    return rows[rows["start"] != "pretrained"]


def _one(traces: Traces, network: str, layer: str, course: pd.DataFrame) -> tuple:
    attribute, encoding = str(course["attribute"].iloc[0]), str(course["encoding"].iloc[0])
    steps, values = course["step"].to_numpy(dtype=np.int64), course["value"].to_numpy(dtype=np.float64)
    draws = [traces.draws(network, layer, attribute, encoding, step) for step in steps]
    at = int(np.argmax(values))
    # Any step might have been the peak: intervals hold for all of them together.
    peak = widened(values[at], draws[at], len(steps))
    fall = widened(values[at] - values[-1], difference(draws[at], draws[-1]), len(steps) - 1)
    lost = losses(traces, course.iloc[at:])
    if at == len(steps) - 1:
        rate = (0.0, np.nan, np.nan)
    elif lost is None:
        rate = (np.nan, np.nan, np.nan)
    else:
        slope = widened(*lost, len(steps) - 1)
        rate = (slope.value, slope.lower, slope.upper)
    # A share of what may be nothing means nothing.
    share = fall.value / peak.value if peak.value > 0 and not peak.lower <= 0 else np.nan
    return (
        network,
        layer,
        attribute,
        encoding,
        traces.estimator,
        int(steps[at]),
        peak.value,
        peak.lower,
        peak.upper,
        values[0],
        values[-1],
        fall.value,
        fall.lower,
        fall.upper,
        share,
        *rate,
    )


def losses(traces: Traces, course: pd.DataFrame) -> tuple[float, Float[ndarray, " d"]] | None:
    """Nats lost for a tenfold of the steps of a course, and its draws; None where fewer than two have a logarithm."""
    weights = _slope(course["step"].to_numpy(dtype=np.int64))
    if weights is None:
        return None
    draws = [
        traces.draws(row.network, row.layer, row.attribute, row.encoding, row.step) for row in records(course)
    ]
    n = min(map(len, draws))
    values = course["value"].to_numpy(dtype=np.float64)
    return -float(weights @ values), -(weights @ np.stack([each[:n] for each in draws]))


def _slope(steps: ndarray) -> Float[ndarray, " k"] | None:
    """Weights whose sum of products with values is their slope over the logarithm of the steps; step 0 has none."""
    positive = steps > 0
    if positive.sum() < 2:
        return None
    x = np.log10(steps[positive])
    weights = np.zeros(len(steps))
    weights[positive] = (x - x.mean()) / ((x - x.mean()) ** 2).sum()
    return weights


def compression(traces: Traces, decayed: pd.DataFrame, task: str) -> pd.DataFrame:
    """Read whether what is irrelevant to the task is compressed, and whether that happens while the task is learnt.

    After Saxe and others (2018), as Dhar and others (2020, section V.D) take it up.

    Parameters
    ----------
    traces : Traces
        The tables.
    decayed : DataFrame
        From `decay`.
    task : str
        The attribute that the network is trained to tell.

    Returns
    -------
    DataFrame
        ``network, layer, attribute, encoding, estimator, task_attribute, correlation, share_concurrent, task_change,
        task_lower, task_upper, reading``. `correlation` is that of the changes between checkpoints, `share_concurrent` the share of the
        checkpoints after the peak at which the task's rises while this one falls, `task_change` how far the task's rises
        from this one's peak to the end. `reading`: ``"not expressed"``, the peak's interval reaches zero, so that nothing
        can be lost; ``"not compressed"``, the last step is the peak; ``"kept"``, the fall's interval holds zero; ``"compressed while fitting"``, the task's rises meanwhile with an interval above zero;
        ``"compressed after fitting"`` otherwise.

    Examples
    --------
    >>> compression(Traces({}), decay(Traces({})), "identity").empty
    True
    """
    found = []
    rows = _of_training(traces)
    main = rows[rows["main"].astype(bool)]
    for fallen in records(decayed):
        own = main[(main["network"] == fallen.network) & (main["layer"] == fallen.layer)]
        both = own.pivot_table(index="step", columns="attribute", values="value")
        if fallen.attribute == task or task not in both:
            continue
        if fallen.encoding != own.loc[own["attribute"] == fallen.attribute, "encoding"].iloc[0]:
            continue
        both = both[[fallen.attribute, task]].dropna()
        changes = np.diff(both.to_numpy(dtype=np.float64), axis=0)
        varied = len(changes) > 2 and (changes.std(axis=0) > 0).all()
        after = changes[both.index.to_numpy()[:-1] >= fallen.peak_step]
        concurrent = float(((after[:, 0] < 0) & (after[:, 1] > 0)).mean()) if len(after) else np.nan
        encoding = str(own.loc[own["attribute"] == task, "encoding"].iloc[0])
        at_peak, at_end = (
            traces.draws(fallen.network, fallen.layer, task, encoding, step)
            for step in (fallen.peak_step, both.index[-1])
        )
        rise = estimate(
            float(both[task].iloc[-1] - both[task].loc[fallen.peak_step]), difference(at_end, at_peak)
        )
        if fallen.peak_lower <= 0:
            reading = NEVER
        elif fallen.peak_step == both.index[-1]:
            reading = NOT
        elif not fallen.fall_lower > 0:
            reading = KEPT
        else:
            reading = WHILE if rise.lower > 0 else AFTER
        found.append(
            (
                fallen.network,
                fallen.layer,
                fallen.attribute,
                fallen.encoding,
                fallen.estimator,
                task,
                float(np.corrcoef(changes.T)[0, 1]) if varied else np.nan,
                concurrent,
                rise.value,
                rise.lower,
                rise.upper,
                reading,
            )
        )
    return pd.DataFrame(found, columns=COMPRESSION)
