"""The cyclic collector, set up for a server that lives long.

What the start has made (modules, classes, settings) lives as long as the process: it is put out of the collector's sight, or every full
collection would walk through it while all calls wait. Calls leave no cycles behind (tests/simulation/test_garbage.py counts them), so
the collector has little to find and is asked seldom.
"""

from __future__ import annotations

import gc

# Objects that were made and not freed before the young are looked at; how often that, and then the next older generation, makes a
# round of the one above. A call in the middle of its life is some thousand objects: the young are a few calls' worth, and a full
# round comes when the live ones have grown by a quarter (which is CPython's own rule on top of these).
THRESHOLDS = (10_000, 20, 50)


def settle() -> None:
    """Once, when the server is up and before it takes calls."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
