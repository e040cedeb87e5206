"""Prints deploy/prometheus/rule.yaml: the alerts as the Prometheus operator takes them.

Run ``.venv/bin/python deploy/prometheus/rule.py > deploy/prometheus/rule.yaml`` after a change.
"""

import sys
from pathlib import Path

HEAD = """\
# Made of alerts.yaml by rule.py.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: avatar
  labels:
    app.kubernetes.io/name: avatar
spec:
"""


def rule(alerts: str) -> str:
    """The text of rule.yaml; comments stay in alerts.yaml."""
    lines = [line for line in alerts.splitlines() if not line.startswith("#")]
    return HEAD + "".join(f"  {line}".rstrip() + "\n" for line in lines)


if __name__ == "__main__":
    sys.stdout.write(rule((Path(__file__).parent / "alerts.yaml").read_text()))
