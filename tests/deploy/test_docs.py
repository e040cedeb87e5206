"""docs/operations.md names nothing that there is not."""

import re
import textwrap

import pytest
import yaml
from deployed import DEPLOY, ROOT
from prometheus_client import Metric

from avatar_cli import COMMANDS
from avatar_runtime.settings.table import SECRETS
from dispatcher import metrics as dispatcher_metrics
from dispatcher.settings import DispatcherSettings
from worker.process.metrics import Metrics as WorkerMetrics
from worker.settings import Settings as WorkerSettings

PAGE = ROOT / "docs" / "operations.md"
TEXT = PAGE.read_text()

OF_COMPOSE = {"AVATAR_IMAGE"}
"""Variables that only deploy/compose.yaml reads."""

OF_THE_WORKER = {"AVATAR_SIZE"}
"""Read as width and height."""


def anchors() -> set[str]:
    """Of the headings, as a browser of repositories makes them."""
    headings = re.findall(r"^#+ (.+)$", TEXT, re.MULTILINE)
    return {re.sub(r"[^a-z0-9 -]", "", each.lower()).replace(" ", "-") for each in headings}


def test_each_link_leads_somewhere() -> None:
    for target in re.findall(r"\]\(([^)]+)\)", TEXT):
        path, _, anchor = target.partition("#")
        assert not path or (PAGE.parent / path).exists(), target
        assert not anchor or anchor in anchors(), target


@pytest.mark.parametrize("variable", sorted(set(re.findall(r"\bAVATAR_[A-Z_]+[A-Z]", TEXT))))
def test_each_setting_is_one_that_a_program_reads(variable: str) -> None:
    known = {
        f"AVATAR_{name.upper()}"
        for settings in (DispatcherSettings, WorkerSettings)
        for name in settings.__dataclass_fields__
    }
    assert variable in known | {f"{each}_FILE" for each in SECRETS} | OF_COMPOSE | OF_THE_WORKER


@pytest.mark.parametrize("name", sorted(set(re.findall(r"\bavatar_[a-z_]+[a-z]\b", TEXT))))
def test_each_metric_is_one_that_a_program_tells(name: str) -> None:
    def reports(family: Metric) -> str:
        return f"{family.name}_total" if family.type == "counter" else family.name

    families = [*dispatcher_metrics.REGISTRY.collect(), *WorkerMetrics().registry.collect()]
    assert name in {reports(each) for each in families}


def test_each_command_is_one_of_ours() -> None:
    for name in re.findall(r"(?:^|`)(?:[A-Z_]+=\S+ )*avatar ([a-z]+)", TEXT, re.MULTILINE):
        assert name in COMMANDS


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\bdeploy/[a-z./-]+[a-z]", TEXT))))
def test_each_file_is_there(path: str) -> None:
    made = path.startswith("deploy/secrets")
    assert made or (ROOT / path).exists()


def test_each_target_of_make_is_there() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in set(re.findall(r"`make ([a-z-]+)`", TEXT)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_the_route_to_nobody_names_our_disruption_budget() -> None:
    (block,) = re.findall(r"```yaml\n(.+?)```", TEXT, re.DOTALL)
    (route,) = yaml.safe_load(textwrap.dedent(block))["route"]["routes"]
    named = dict(each.split("=") for each in route["matchers"])
    budgets = DEPLOY / "kubernetes" / "overlays" / "pool" / "disruption.yaml"
    names = {each["metadata"]["name"] for each in yaml.safe_load_all(budgets.read_text())}
    assert named["poddisruptionbudget"].strip('"') in names


def test_the_overlay_is_edited_before_it_is_applied() -> None:
    edited = TEXT.index("First, edit the overlay")
    assert edited < TEXT.index("kubectl apply --server-side --kustomize")


def test_nothing_is_applied_on_the_client_side() -> None:
    """A client-side apply of a secret keeps a copy of it in an annotation."""
    script = (DEPLOY / "apply-secrets").read_text()
    applied = re.findall(r"kubectl apply --.*", TEXT + script)
    assert len(applied) == 2
    assert all("--server-side" in each for each in applied)
