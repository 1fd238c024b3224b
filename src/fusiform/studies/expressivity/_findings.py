from collections.abc import Mapping

import pandas as pd

from fusiform.studies.expressivity._evidence import Evidence
from fusiform.studies.expressivity._findings_layers import FINDINGS as OVER_LAYERS
from fusiform.studies.expressivity._findings_training import FINDINGS as OVER_TRAINING
from fusiform.studies.expressivity._traces import Traces
from fusiform.studies.layers._evidence import ABSENT, NotMeasured

_COLUMNS = ["finding", "source", "network", "setup", "measured", "verdict", "criterion"]


def findings(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Hold the paper's findings against what was measured.

    Parameters
    ----------
    tables : mapping of str to DataFrame
        The tables of a run by name; whatever is missing leaves its findings not measured. Values are held out, of the
        first estimator and each attribute's first encoding; intervals are of bootstrap draws.

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
    networks = list(dict.fromkeys(traces.over_layers["network"])) or [""]
    setups = _setups(tables.get("layers"))
    records = []
    for network in networks:
        evidence = Evidence(network, traces)
        for each in (*OVER_LAYERS, *OVER_TRAINING):
            try:
                said, verdict = each.judge(evidence)
            except NotMeasured as missing:
                said, verdict = f"Not measured: {missing}.", ABSENT
            about = (
                each.sentence,
                each.source,
                network,
                setups.get(network, network),
                said,
                verdict,
                each.criterion,
            )
            records.append(dict(zip(_COLUMNS, about, strict=True)))
    return pd.DataFrame(records, columns=_COLUMNS)


def _setups(layers: pd.DataFrame | None) -> dict[str, str]:
    if layers is None or "setup" not in layers:
        return {}
    first = layers.drop_duplicates("network")
    return dict(zip(first["network"].astype(str), first["setup"].astype(str), strict=True))
