"""What stands in the supply chain: a bill of materials, and what is known against it.

    .venv-audit/bin/python benchmarks/audit.py out

Writes ``sbom.cdx.json`` (CycloneDX) from ``requirements.lock``. It names packages by their purl and
hashes and no place to get them from. Then pip-audit asks the vulnerability service about each.

0 where every package was looked up and nothing is known against it; 1 where something is; 2 where
the service did not know or could not be reached, as then nothing is known of anything.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[1]
LOCK: Final = ROOT / "requirements.lock"
TOOLS: Final = Path(sys.executable).parent
VULNERABLE: Final = 1
UNKNOWN: Final = 2


def main() -> int:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    bill = bill_of_materials()
    target = folder / "sbom.cdx.json"
    target.write_text(json.dumps(bill, indent=1) + "\n")
    print(f"{target}: {len(bill['components'])} components")
    return audit()


def bill_of_materials() -> dict[str, Any]:
    """Of the lock file. Where a package was found is left out: it may be anybody's mirror."""
    made = _run(
        "cyclonedx-py", "requirements", str(LOCK), "--pyproject", str(ROOT / "pyproject.toml"),
        "--of", "JSON", "--output-reproducible",
    )  # fmt: skip
    if made.returncode:
        raise SystemExit(f"cyclonedx-py failed: {made.stderr.strip()}")
    bill: dict[str, Any] = json.loads(made.stdout)
    bill["metadata"].pop("tools", None)
    for component in bill["components"]:
        component.pop("description", None)
        for reference in component.get("externalReferences", []):
            reference.pop("comment", None)
            reference["url"] = component["purl"]
    return bill


def audit() -> int:
    """What is known against the packages of the lock file; says it and returns the exit status."""
    asked = _run(
        "pip-audit", "--require-hashes", "--disable-pip", "--requirement", str(LOCK),
        "--format", "json", "--progress-spinner", "off",
    )  # fmt: skip
    try:
        packages: list[dict[str, Any]] = json.loads(asked.stdout)["dependencies"]
    except ValueError:
        last = (asked.stderr.strip().splitlines() or ["it said nothing"])[-1]
        print(f"NOT AUDITED: pip-audit could not do its work ({last}).")
        return UNKNOWN
    unknown = [each["name"] for each in packages if "skip_reason" in each]
    for each in packages:
        for found in each.get("vulns", []):
            fixed = ", ".join(found["fix_versions"]) or "none"
            print(f"{each['name']} {each['version']}: {found['id']}, mended in {fixed}")
    vulnerable = [each["name"] for each in packages if each.get("vulns")]
    print(
        f"{len(packages)} packages: {len(packages) - len(unknown)} looked up, "
        f"something is known against {len(vulnerable)}."
    )
    if unknown:
        print(
            f"NOT AUDITED: the vulnerability service said nothing of {len(unknown)} of them; it "
            "cannot be reached from here, or they are no public packages. Ask again where it can."
        )
    return VULNERABLE if vulnerable else UNKNOWN if unknown else 0


def _run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(TOOLS / program), *arguments], capture_output=True, text=True, check=False
    )


if __name__ == "__main__":
    sys.exit(main())
