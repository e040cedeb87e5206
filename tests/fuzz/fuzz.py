"""Fuzz one parser, or all of them, guided by coverage (atheris).

    .venv-audit/bin/python tests/fuzz/fuzz.py wire --seconds 60
    .venv-audit/bin/python tests/fuzz/fuzz.py all --seconds 5

Begins with the texts of ``tests/fuzz/corpus/<target>``, of which `\\xNN` stands for bytes. What it
finds on the way is kept in ``out/fuzz/<target>``, and an input that breaks the parser beside it,
as ``crash-...``: give that file to ``--input`` to see what happens with it.
"""

import argparse
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
CORPUS: Final = Path(__file__).parent / "corpus"
OUT: Final = ROOT / "out" / "fuzz"
OURS: Final = [
    "agent_side",
    "avatar_runtime",
    "dispatcher",
    "localroom",
    "worker",
    "zipfile",
    "json.decoder",
]
"""Of these packages the coverage leads the fuzzer."""

LONGEST: Final = 16_384
"""Of an input (bytes): the longest body and packet."""


def main() -> int:
    """0 where nothing was found; 1 where a parser broke, which is said with the input's file."""
    parser = argparse.ArgumentParser("fuzz.py", description=__doc__.splitlines()[0])
    parser.add_argument("target", help="a target of tests/support/parsers.py, or all")
    parser.add_argument("--seconds", type=int, default=10, help="for each target (10)")
    parser.add_argument("--input", type=Path, help="run this one input only")
    given = parser.parse_args()
    sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]
    if given.target == "all":
        return _all(given.seconds)
    return _fuzz(given.target, given.seconds, given.input)


def _all(seconds: int) -> int:
    """Each in a process of its own: atheris ends with the process."""
    from parsers import TARGETS

    broken = []
    for name, target in TARGETS.items():
        sys.stdout.write(f"{name}: {target.about}\n")
        sys.stdout.flush()
        command = [sys.executable, __file__, name, "--seconds", str(seconds)]
        done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
        lines = done.stderr.splitlines()
        if done.returncode:
            broken.append(name)
            sys.stdout.write("".join(f"    {line}\n" for line in lines[-40:]))
        else:
            reports = [line for line in lines if line.startswith(("Done ", "stat::number"))]
            sys.stdout.write(f"    {' '.join(reports) or 'nothing was run'}\n")
    sys.stdout.write(f"{len(TARGETS)} parsers, broken: {', '.join(broken) or 'none'}\n")
    return 1 if broken else 0


def _fuzz(name: str, seconds: int, single: Path | None) -> int:
    import atheris

    with atheris.instrument_imports(include=OURS):
        from parsers import TARGETS
    run = TARGETS[name].run
    if single is not None:
        run(single.read_bytes())
        return 0
    found = OUT / name
    found.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds(name)):
        (found / f"seed-{number}").write_bytes(seed)
    logging.disable(logging.CRITICAL)
    options = [
        f"-max_total_time={seconds}",
        f"-max_len={LONGEST}",
        "-timeout=10",
        "-rss_limit_mb=2048",
        f"-artifact_prefix={found}{os.sep}",
    ]
    atheris.Setup([sys.argv[0], *options, str(found)], run)
    atheris.Fuzz()
    return 0


def seeds(name: str) -> list[bytes]:
    """The inputs that a target begins with: a line each, of which `\\xNN` stands for bytes."""
    lines = (CORPUS / f"{name}.txt").read_text().splitlines()
    return [line.encode().decode("unicode_escape").encode("latin-1") for line in lines if line]


if __name__ == "__main__":
    sys.exit(main())
