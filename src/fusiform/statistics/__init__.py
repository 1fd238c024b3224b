"""Statistics and algebra that several packages need: intervals over identities, ROC, dual PLS."""

from fusiform.statistics._bootstrap import cluster_intervals, cluster_weights
from fusiform.statistics._dual_pls import DualPLS, dual_pls
from fusiform.statistics._roc import roc_auc, verification_auc

__all__ = [
    "DualPLS",
    "cluster_intervals",
    "cluster_weights",
    "dual_pls",
    "roc_auc",
    "verification_auc",
]
