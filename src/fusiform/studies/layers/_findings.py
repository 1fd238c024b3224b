from collections.abc import Mapping

import pandas as pd

from fusiform.studies._findings import findings_table
from fusiform.studies.layers._evidence import Evidence
from fusiform.studies.layers._findings_depth import FINDINGS as OVER_DEPTH
from fusiform.studies.layers._findings_depth import other_training
from fusiform.studies.layers._findings_units import FINDINGS as OF_UNITS
from fusiform.studies.layers._rows import validation_rows


def findings(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Hold the thesis' findings against what was measured.

    Parameters
    ----------
    tables : mapping of str to DataFrame
        The tables of a run by name; whatever is missing leaves its findings not measured. Values are averaged
        over the initialisations of a setup. Attributes with classes count, by balanced accuracy on
        validation; intervals draw attributes with replacement.

    Returns
    -------
    DataFrame
        A row a setup and finding: ``finding, source, network, setup, measured, verdict, criterion``.
        `measured` is a sentence with the numbers; `verdict` is ``"holds"`` or ``"does not hold"`` where the
        whole 95% interval meets or fails the criterion, ``"unclear"`` where it does neither, ``"not
        measured"`` where something is missing. A setup that the others are held against has no row about
        that.

    Raises
    ------
    DataError
        If the table of probes lacks columns.

    References
    ----------
    Diniz (2020), chapter 5.

    Examples
    --------
    >>> findings({}).verdict.unique().tolist()
    ['not measured']
    """
    measured, setups = _by_setup(tables.get("probes"))
    reference = next(iter(setups), None)
    rows = []
    for setup, networks in (setups or {"": ()}).items():
        evidence = Evidence(setup, networks, reference, tables, measured)
        for finding in (*OVER_DEPTH, *OF_UNITS):
            if finding.judge is other_training and setup == reference and len(setups) > 1:
                continue
            rows.append(finding.row(", ".join(networks), setup, *finding.judged(evidence)))
    return findings_table(rows)


def _by_setup(probes: pd.DataFrame | None) -> tuple[pd.DataFrame | None, dict[str, tuple[str, ...]]]:
    """Validation rows of attributes with classes, and the trained networks of each setup."""
    if probes is None or not len(probes):
        return None, {}
    rows = validation_rows(probes, ("layer", "channels", "neurons"))
    trained = rows.loc[~rows["control"], ["setup", "network"]].drop_duplicates()
    order = {name: place for place, name in enumerate(dict.fromkeys(probes["network"].astype(str)))}
    trained = trained.sort_values("network", key=lambda names: names.map(order))
    setups = {str(s): tuple(group) for s, group in trained.groupby("setup", sort=False)["network"]}
    return rows[rows["metric"] == "balanced_accuracy"], setups
