"""Propagation of relevance by intercepting functions: LRP and Excitation Backprop.

Examples
--------
>>> from fusiform.attribution.propagation import COMPOSITES
>>> "epsilon_plus_flat" in COMPOSITES
True
"""

from fusiform.attribution.propagation import _excitation, _functions, _weights  # noqa: F401
from fusiform.attribution.propagation._lrp import lrp_plan
from fusiform.attribution.propagation._rules import COMPOSITES, RULES

__all__ = ["COMPOSITES", "RULES", "lrp_plan"]
