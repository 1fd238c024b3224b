"""Statistics and algebra that several packages need: intervals over identities, ROC, dual PLS."""

from fusiform.statistics._bootstrap import (
    batched_cluster_intervals,
    cluster_intervals,
    cluster_weights,
    weighted_auc_interval,
)
from fusiform.statistics._dual_pls import DualPLS, GramProduct, dual_pls
from fusiform.statistics._roc import Verification, roc_auc, verification_auc

__all__ = [
    "DualPLS",
    "GramProduct",
    "Verification",
    "batched_cluster_intervals",
    "cluster_intervals",
    "cluster_weights",
    "dual_pls",
    "roc_auc",
    "verification_auc",
    "weighted_auc_interval",
]
