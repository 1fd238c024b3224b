"""Activations streamed within a memory budget into collectors."""

from fusiform.activations._open import open_group
from fusiform.activations._plan import Group, Plan, plan
from fusiform.activations._store import Activations, ActivationStore
from fusiform.activations._stream import Collector, stream
from fusiform.activations._tail import TailSketch

__all__ = [
    "ActivationStore",
    "Activations",
    "Collector",
    "Group",
    "Plan",
    "TailSketch",
    "open_group",
    "plan",
    "stream",
]
