"""Alerts fire when they should and else are quiet; each panel asks what can be asked."""

import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from deployed import DEPLOY, ROOT, check_queries, ran, tool
from prometheus_client import Metric

from dispatcher import metrics as dispatcher_metrics
from worker.process.metrics import Metrics as WorkerMetrics

ALERTS = DEPLOY / "prometheus" / "alerts.yaml"
TESTS = DEPLOY / "prometheus" / "alerts_test.yaml"
DASHBOARD = json.loads((DEPLOY / "grafana" / "avatar.json").read_text())

FAMILIES = [*dispatcher_metrics.REGISTRY.collect(), *WorkerMetrics().registry.collect()]
"""All that we tell of ourselves."""


def name_of(family: Metric) -> str:
    return f"{family.name}_total" if family.type == "counter" else family.name


METRICS = {name_of(each): each for each in FAMILIES}


def labels_of(name: str) -> set[str]:
    return {label for sample in METRICS[name].samples for label in sample.labels}


SEEN_BY_PROMETHEUS = {"namespace", "pod", "instance", "le"}

RULES: list[dict[str, Any]] = yaml.safe_load(ALERTS.read_text())["groups"][0]["rules"]


def panel_queries() -> dict[str, str]:
    """The queries of the dashboard by a name of each, with its variables filled in."""
    filled = {"$namespace": ".*", "$__rate_interval": "1m"}
    queries = {}
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", []):
            query = target["expr"]
            for variable, value in filled.items():
                query = query.replace(variable, value)
            queries[f"panel:{panel['id']}:{target['refId']}"] = query
    return queries


def base(name: str) -> str:
    """The histogram of which a series is a part."""
    return re.sub(r"_(bucket|sum|count)$", "", name)


def names(query: str) -> set[str]:
    """The metrics that a query asks for, as we call them."""
    found = re.findall(r"\bavatar_[a-z_]+", query)
    return {base(name) for name in found}


def alert_queries() -> dict[str, str]:
    return {rule["alert"]: rule["expr"] for rule in RULES}


def test_the_rules_can_be_loaded() -> None:
    assert f"{len(RULES)} rules found" in ran(tool("promtool"), "check", "rules", ALERTS)


def test_each_alert_fires_and_is_quiet_as_its_test_says() -> None:
    assert "SUCCESS" in ran(tool("promtool"), "test", "rules", TESTS)


@pytest.mark.parametrize("name", [rule["alert"] for rule in RULES])
def test_each_alert_has_a_test_in_which_it_fires_and_one_in_which_it_does_not(name: str) -> None:
    expectations = [
        bool(each.get("exp_samples"))
        for scene in yaml.safe_load(TESTS.read_text())["tests"]
        for each in scene["promql_expr_test"]
        if f'alertname="{name}"' in each["expr"]
    ]
    assert set(expectations) == {True, False}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_each_alert_says_what_it_means_and_where_is_written_what_to_do(rule: Any) -> None:
    assert rule["labels"]["severity"] in ("page", "ticket")
    notes = rule["annotations"]
    assert set(notes) == {"summary", "description", "runbook_url"}
    path, _, anchor = notes["runbook_url"].partition("#")
    headings = re.findall(r"^#+ (.+)$", (ROOT / path).read_text(), re.MULTILINE)
    assert anchor in {
        re.sub(r"[^a-z0-9 -]", "", each.lower()).replace(" ", "-") for each in headings
    }


def test_few_alerts_wake_somebody() -> None:
    assert sum(rule["labels"]["severity"] == "page" for rule in RULES) <= 7


def test_what_wakes_nobody_for_a_moment_is_waited_for() -> None:
    """Only what is counted over minutes already may fire at once."""
    at_once = {rule["alert"] for rule in RULES if "for" not in rule}
    assert at_once == {"AvatarRedispatchStorm", "AvatarSessionsFenced"}


def test_the_operators_rule_is_made_of_the_alerts() -> None:
    place = DEPLOY / "prometheus" / "rule.py"
    spec = importlib.util.spec_from_file_location("rule", place)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    made = (DEPLOY / "prometheus" / "rule.yaml").read_text()
    assert made == module.rule(ALERTS.read_text()), f"run {place.relative_to(ROOT)} again"
    assert yaml.safe_load(made)["spec"] == yaml.safe_load(ALERTS.read_text())


def test_each_panel_asks_what_prometheus_understands(tmp_path: Path) -> None:
    check_queries(panel_queries(), tmp_path)


def test_a_query_that_prometheus_does_not_understand_is_seen(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="parse error"):
        check_queries({"broken": "sum(rate(avatar_frames_total[5m])"}, tmp_path)


@pytest.mark.parametrize("queries", [alert_queries(), panel_queries()], ids=["alerts", "panels"])
def test_only_metrics_that_there_are_are_asked_for(queries: dict[str, str]) -> None:
    for where, query in queries.items():
        assert names(query), where
        assert names(query) <= set(METRICS), where
        selected = re.findall(r"(avatar_[a-z_]+)\{([^}]*)\}", query)
        for name, selector in selected:
            labels = set(re.findall(r"([a-z_]+)\s*=~?", selector))
            own = labels_of(base(name))
            assert labels <= SEEN_BY_PROMETHEUS | own, where
            for label, values in re.findall(r'([a-z_]+)=~?"([^"$]*)"', selector):
                reports = {each.labels.get(label) for each in METRICS[base(name)].samples}
                assert label in SEEN_BY_PROMETHEUS or set(values.split("|")) <= reports, where


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_a_limit_of_a_quantile_is_the_bound_of_a_bucket_and_not_of_the_last(rule: Any) -> None:
    """Between bounds a quantile is a guess, and above the last one it is that bound."""
    found = re.search(r"(avatar_[a-z_]+)_bucket.*> ([0-9.]+)\s*$", rule["expr"], re.DOTALL)
    if found:
        reports = METRICS[found[1]].samples
        bounds = sorted({float(each.labels["le"]) for each in reports if "le" in each.labels})
        assert float(found[2]) in bounds[:-2], "the last one is infinity"


def test_the_dashboard_shows_every_metric() -> None:
    shown = set().union(*(names(query) for query in panel_queries().values()))
    assert shown == set(METRICS)


def test_histograms_are_asked_for_by_their_buckets() -> None:
    for query in (*alert_queries().values(), *panel_queries().values()):
        for name in re.findall(r"\bavatar_[a-z_]+_seconds\b(?!_)", query):
            pytest.fail(f"{name} is a histogram: {query}")


def test_panels_do_not_lie_on_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert max(x for x, _ in cells) < 24
        assert not cells & taken, panel["title"]
        taken |= cells
    numbers = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(numbers)) == len(numbers)


def test_every_panel_asks_the_chosen_source_for_the_chosen_namespace() -> None:
    assert [each["name"] for each in DASHBOARD["templating"]["list"]] == ["datasource", "namespace"]
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", []):
            assert target["datasource"]["uid"] == "$datasource"
            asked = target["expr"].count("avatar_")
            assert target["expr"].count('namespace=~"$namespace"') == asked, panel["title"]
