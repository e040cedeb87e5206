"""Forked workers share what a character needs, also the one that a join request names."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

ROOT = Path(__file__).parents[2]

FORK = """
import gc, json, os, sys
from dataclasses import replace
import numpy as np
from worker.characters.folder import Character
from worker.process.loading import load_renderer, preload
from worker.renderer import GestureCue
from worker.renderers import character
from worker.settings import Settings

from worker.process.zygote import warm_up

settings = Settings(width={width}, height={height}, characters={folder!r})
warm_up(load_renderer(settings))
preload(settings)
gc.collect()
gc.freeze()
pcm = (3000 * np.sin(np.arange(960) / 20)).astype(np.int16)

def private():
    lines = open("/proc/self/smaps_rollup").read().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) * 1024

if os.fork():
    os._exit(os.waitstatus_to_exitcode(os.wait()[1]))
before = private()
face = load_renderer(replace(settings, character={name!r}))
for segment in range(1, 60):
    face.cue(GestureCue("nod"))
    face.push(segment, pcm)
    face.finish(segment)
    face.drain()
    face.idle()
used = private() - before
print(json.dumps({{"used": used, "atlas": face._compositor._atlas.nbytes}}))
"""


def forked(width: int, height: int, name: str, folder: str = "") -> dict[str, Any]:
    """Private memory (bytes) that a forked worker takes for its face, and the atlas's size."""
    script = FORK.format(width=width, height=height, name=name, folder=folder)
    done = subprocess.run(
        [sys.executable, "-P", "-c", script],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures


MOST: Final = 40_000_000
"""What a character may take (bytes), shared by all workers."""
PRIVATE: Final = 13_000_000
"""What drawing at 1280x720 takes for each worker: a canvas, room to work in, two pictures, lips."""


@pytest.mark.parametrize(("width", "height"), [(512, 512), (1280, 720)])
def test_a_worker_shares_the_atlas_with_its_parent(width: int, height: int) -> None:
    figures = forked(width, height, "ada")
    assert figures["atlas"] < MOST
    assert figures["used"] < PRIVATE


def test_so_does_one_whose_join_request_names_another_character(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "worker" / "characters" / "ada", tmp_path / "eve")
    figures = forked(1280, 720, "eve", str(tmp_path))
    assert figures["atlas"] > PRIVATE
    assert figures["used"] < PRIVATE
