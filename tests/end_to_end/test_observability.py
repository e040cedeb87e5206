"""What docs/observability.md says of metrics is what the programs have."""

import re
from pathlib import Path

from dispatcher import metrics
from worker.process.metrics import Metrics

TEXT = (Path(__file__).parents[2] / "docs" / "observability.md").read_text()
ROW = re.compile(r"\| `(avatar_\w+)(?:\{(\w+)\})?` \| (\w+) \| (.*) \|")
ROWS = {row[1]: row for row in map(ROW.fullmatch, TEXT.splitlines()) if row}
FAMILIES = [*metrics.REGISTRY.collect(), *Metrics().registry.collect()]


def test_every_metric_has_a_row_with_its_type() -> None:
    said = {name: row[3] for name, row in ROWS.items()}
    had = {
        family.name + ("_total" if family.type == "counter" else ""): family.type
        for family in FAMILIES
    }
    assert said == had


def test_every_label_and_each_of_its_values_is_said() -> None:
    for family in FAMILIES:
        name = family.name + ("_total" if family.type == "counter" else "")
        labels = [sample.labels for sample in family.samples]
        values = {(key, value) for each in labels for key, value in each.items() if key != "le"}
        row = ROWS[name]
        assert {key for key, _ in values} == ({row[2]} if row[2] else set())
        said = set(re.findall(r"`(\w+)`", row[4]))
        assert {value for _, value in values} <= said, name
