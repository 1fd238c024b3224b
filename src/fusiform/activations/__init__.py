"""Activations streamed within a memory budget into collectors."""

from fusiform.activations._open import open_group
from fusiform.activations._plan import Group, Plan, plan
from fusiform.activations._store import Activations, ActivationStore
from fusiform.activations._stream import Collector, stream

__all__ = ["ActivationStore", "Activations", "Collector", "Group", "Plan", "open_group", "plan", "stream"]
