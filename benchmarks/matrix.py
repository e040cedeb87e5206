"""The fault matrix: conversations over the real SDK while the network misbehaves.

{no fault, datagrams lost, messages reordered, doubled, delayed} x {our agent, the stock agent,
and beside them the stock agent with the stock worker}: each cell is one conversation of real
processes in the local room. What is heard is read behind the worker's sound track, to the sample.
"""

import json
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Final

from matrix_bounds import broken
from matrix_cell import FAULTS, Kind, MatrixCell, play_all
from matrix_figures import Figures, figures

from worker.media import SAMPLE_RATE

PAIRS: Final[tuple[tuple[Kind, Kind], ...]] = (
    ("ours", "ours"),
    ("stock", "ours"),
    ("stock", "stock"),
)
STOCK_PYTHON: Final = Path(".venv-interop/bin/python")


def main(out: Path) -> int:
    """Write matrix.json to `out` and print the table; returns 0 when no bound is broken."""
    stock = STOCK_PYTHON if (STOCK_PYTHON.parents[1] / "installed").exists() else None
    pairs = [pair for pair in PAIRS if stock is not None or "stock" not in pair]
    cells = [MatrixCell(agent, worker, fault) for agent, worker in pairs for fault in FAULTS]
    with tempfile.TemporaryDirectory() as folder:
        played = {
            cell: figures(conversation)
            for cell, conversation in play_all(cells, Path(folder), stock).items()
        }
    out.mkdir(exist_ok=True)
    table = [
        {"fault": cell.fault, "agent": cell.agent, "worker": cell.worker, **asdict(result)}
        for cell, result in played.items()
    ]
    (out / "matrix.json").write_text(json.dumps(table, indent=1) + "\n")
    for line in lines(played):
        print(line)
    wrong = [
        f"{cell.agent} agent, {cell.worker} worker, {cell.fault}: {problem}"
        for cell, result in played.items()
        for problem in broken(cell, result)
    ]
    print("\n".join(["", *wrong]) if wrong else "\nNo bound is broken.")
    return 1 if wrong else 0


def lines(played: Mapping[MatrixCell, Figures]) -> list[str]:
    """The table, one row for each cell; speech in milliseconds."""
    rows = [
        "| fault | agent | worker | turns | lost ms | out of place ms | stale ms | foreign ms "
        "| silence ms | interrupt ms | acks, and what is wrong |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for cell in sorted(played, key=lambda cell: list(FAULTS).index(cell.fault)):
        its = played[cell]
        samples = (its.lost, its.repeated + its.misplaced, its.stale, its.foreign, its.inserted)
        latency = "-" if its.interrupt_ms is None else f"{its.interrupt_ms:.0f}"
        fields = [
            cell.fault,
            cell.agent,
            cell.worker,
            str(its.spoken),
            *(f"{1000 * each / SAMPLE_RATE:.0f}" for each in samples),
            latency,
            f"{its.acks}: {', '.join(its.wrong_acks) or 'right'}{', then stuck' * bool(its.hung)}",
        ]
        rows.append(f"| {' | '.join(fields)} |")
    return rows


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
