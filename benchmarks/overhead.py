"""CPU time of what nobody asked for by itself: measuring a session, importing AvatarAudioOut.

Each is measured in processes of its own, of which the fastest counts.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
TRIES: Final = 3

MEASURING: Final = """
import os, time
from agent_side.wire import AudioChunk, Face
from worker.turns.conversation import Conversation
from worker.meeting import Received
from worker.process.metrics import Measures, Metrics
from worker.turns.segments import SegmentQueue
from worker.process.shared_numbers import SIZE
speech = SegmentQueue()
speech.open(24_000).append(bytes(960))
conversation = Conversation(
    speech, lambda _: 0, worker="w", face=Face((), (), ()), rate=24_000, agent_id=None
)
event = Received("agent", AudioChunk("stream", 1, 1, 0, 24_000, bytes(960)))
block = os.memfd_create("numbers")
os.ftruncate(block, SIZE)
measures = Measures(Metrics.shared(block))
measures.joined(0.0)
began = time.process_time()
for tick in range(500 * 25):
    now = tick / 25
    measures.published(now, 0.0)
    measures.rendered(1, 0.01)
    measures.look(speech, conversation, None, now)
    measures.listened(event, "agent", speech, now)
    measures.listened(event, "agent", speech, now)
print((time.process_time() - began) / 500)
"""
"""For 500 s of a session; seconds of CPU for each of them."""

IMPORTING: Final = """
import asyncio, time
began = time.process_time()
from agent_side import AvatarAudioOut
print(time.process_time() - began)
"""
"""An agent is an asyncio program, so asyncio is there already."""

LIMITS_MS: Final = {"measuring_ms_per_s": 2.0, "importing_ms": 50.0}


def cost_ms(program: str) -> float:
    """What the program says that it cost, at best."""
    costs = []
    for _ in range(TRIES):
        said = subprocess.check_output([sys.executable, "-c", program], cwd=ROOT)
        costs.append(1000 * float(said))
    return round(min(costs), 3)


def main(out: Path) -> int:
    """Print the figures and write overhead.json; 0 when they are within their limits."""
    figures = {
        "measuring_ms_per_s": cost_ms(MEASURING),
        "importing_ms": cost_ms(IMPORTING),
    }
    out.mkdir(parents=True, exist_ok=True)
    (out / "overhead.json").write_text(json.dumps(figures, indent=2) + "\n")
    for name, value in figures.items():
        print(f"{name:24} {value}")
    wrong = [name for name, most in LIMITS_MS.items() if figures[name] > most]
    if wrong:
        print(f"BEYOND THEIR LIMITS: {', '.join(wrong)}")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else "out")))
