"""Activations streamed within a memory budget into collectors."""

from fusiform.activations._plan import Plan, plan
from fusiform.activations._store import ActivationStore
from fusiform.activations._stream import Collector, stream

__all__ = ["ActivationStore", "Collector", "Plan", "plan", "stream"]
