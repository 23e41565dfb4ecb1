"""Tools for testing with Stem, and for testing Stem: a clock to move by hand, faults, contract suites.

Nothing here needs pytest or Hypothesis; only `stem.testing.contracts` does (extra ``test``).
"""

from __future__ import annotations

from stem.testing.clock import ManualClock
from stem.testing.faults import Fault, Faults, Injected
from stem.testing.proxy import FaultProxy

__all__ = ["Fault", "FaultProxy", "Faults", "Injected", "ManualClock"]
