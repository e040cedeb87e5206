"""What has to hold in each cell of the fault matrix.

Our agent speaks version 2 with our worker, where everything is exact. A stock agent's packets
have no numbers, so what they went through shows; see `worker.turns.version1`. What the stock
worker does is not ours to promise.
"""

from typing import Final

from matrix_cell import MatrixCell
from matrix_figures import Figures
from matrix_script import PHASES

from worker.media import SAMPLE_RATE
from worker.turns.version1 import STALE_S

TURNS: Final = sum(len(phase.turns) for phase in PHASES)

IN_ORDER: Final = ("none", "200 ms one way")
"""Faults that neither lose nor overtake: no sample is lost nor out of its place."""


def broken(cell: MatrixCell, its: Figures) -> list[str]:
    """The bounds that the cell does not keep, in words."""
    if cell.worker == "stock":
        return []
    exact = cell.agent == "ours"
    whole = exact or cell.fault in IN_ORDER
    kept = {
        "the version": its.version == (2 if exact else 1),
        "no sound that nobody said": its.foreign == 0,
        "nothing hung": its.hung == 0 or not exact,
        "no more of a dead turn than cannot be known": its.stale <= STALE_S * SAMPLE_RATE,
        "nothing lost": its.lost == 0 or not whole,
        "everything in its place": its.repeated + its.misplaced == 0 or not whole,
        "nothing of a dead turn": its.stale == 0 or not whole,
        "all turns spoken": its.spoken == TURNS or cell.fault != "none",
        "one right ack for each turn": not its.wrong_acks or not (exact or cell.fault == "none"),
    }
    return [f"{name}: no" for name, holds in kept.items() if not holds]
