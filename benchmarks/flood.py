"""The face's pictures while its dispatcher is flooded with 400 requests a second.

The face speaks in a meeting in memory; the times are those at which pictures leave its track.
"""

import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from flooded import PER_S, SECONDS, Flooded, flooded

LATE_S: Final = 0.060
"""Half a tick late."""

LIMITS: Final = {
    "another's launch (s)": (0.0, 4.5),
    "answers a second": (PER_S / 2, PER_S + 1.0),
    "pictures a second": (24.8, 25.2),
    "median_ms": (39.0, 41.0),
    "p99_ms": (0.0, 80.0),
    "late": (0.0, 0.02),
}
"""An agent gives up after 5 s; `late` is the share of the pictures that were, on a machine that
does other things."""


def figures_of(seen: Flooded) -> dict[str, Any]:
    """What the flood did to the face and to another's launch."""
    first, last = seen.speaking
    times = np.array([each for each in seen.pictures if first <= each <= last])
    intervals = np.diff(times)
    return {
        "another's launch (s)": round(seen.answered_s, 2),
        "answers a second": round(sum(seen.answers.values()) / SECONDS, 1),
        "pictures a second": round((len(times) - 1) / (times[-1] - times[0]), 2),
        "median_ms": round(1000 * float(np.median(intervals)), 1),
        "p99_ms": round(1000 * float(np.quantile(intervals, 0.99)), 1),
        "late": round(float(np.mean(intervals > LATE_S)), 4),
    }


def wrong_in(figures: Mapping[str, Any]) -> list[str]:
    """The figures that are beyond their limits."""
    return [name for name, (least, most) in LIMITS.items() if not least <= figures[name] <= most]


def main(out: Path) -> int:
    """Print the figures and write flood.json; 0 when all are within their limits."""
    with tempfile.TemporaryDirectory() as folder:
        figures = figures_of(flooded(Path(folder)))
    out.mkdir(parents=True, exist_ok=True)
    (out / "flood.json").write_text(json.dumps(figures, indent=2) + "\n")
    for name, value in figures.items():
        print(f"{name:24} {value}")
    if wrong := wrong_in(figures):
        print(f"BEYOND THEIR LIMITS: {', '.join(wrong)}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else "out")))
