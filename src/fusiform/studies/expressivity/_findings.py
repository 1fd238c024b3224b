from collections.abc import Mapping

import pandas as pd

from fusiform.studies._findings import ABSENT, Finding, findings_table
from fusiform.studies.expressivity._evidence import Evidence
from fusiform.studies.expressivity._findings_layers import FINDINGS as OVER_LAYERS
from fusiform.studies.expressivity._findings_training import FINDINGS as OVER_TRAINING
from fusiform.studies.expressivity._traces import Traces


def findings(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Hold the paper's findings against what was measured.

    Parameters
    ----------
    tables : mapping of str to DataFrame
        The tables of a run by name; whatever is missing leaves its findings not measured. Values are held out, of the
        first estimator and each attribute's first encoding; intervals are of bootstrap draws. Where another estimator comes to
        another verdict over the layers, `measured` says so.

    Returns
    -------
    DataFrame
        A row a trained network and finding: ``finding, source, network, setup, measured, verdict, criterion``. `verdict`
        is ``"holds"`` or ``"does not hold"`` where the whole 95% interval meets or fails the criterion, ``"unclear"``
        where it does neither, ``"not measured"`` where these networks and faces do not allow a verdict, and why.

    References
    ----------
    Dhar, Bansal, Castillo, Gleason, Phillips, Chellappa (2020), How are attributes expressed in face DCNNs?

    Examples
    --------
    >>> findings({}).verdict.unique().tolist()
    ['not measured']
    """
    traces = Traces(tables)
    over_layers = tables.get("expressivity")
    names = () if over_layers is None else map(str, over_layers["estimator"].unique())
    others = {name: Traces(tables, name) for name in names if name != traces.estimator}
    trained = traces.over_training[traces.over_training["start"] != "pretrained"]
    networks = list(dict.fromkeys([*traces.over_layers["network"], *trained["network"]])) or [""]
    setups = _setups(tables.get("layers"))
    rows = []
    for network in networks:
        evidence = Evidence(network, traces)
        for each in (*OVER_LAYERS, *OVER_TRAINING):
            said, verdict = each.judged(evidence)
            if each in OVER_LAYERS and verdict != ABSENT:
                said += _otherwise(each, network, others, verdict)
            rows.append(each.row(network, setups.get(network, network), said, verdict))
    return findings_table(rows)


def _otherwise(each: Finding[Evidence], network: str, others: Mapping[str, Traces], verdict: str) -> str:
    """Which other estimators come to another verdict."""
    judged = {name: each.judged(Evidence(network, traces))[1] for name, traces in others.items()}
    told = ", ".join(f"{other} by {name}" for name, other in judged.items() if other not in (verdict, ABSENT))
    return f" Another verdict: {told}." if told else ""


def _setups(layers: pd.DataFrame | None) -> dict[str, str]:
    if layers is None or "setup" not in layers:
        return {}
    first = layers.drop_duplicates("network")
    return dict(zip(first["network"].astype(str), first["setup"].astype(str), strict=True))
