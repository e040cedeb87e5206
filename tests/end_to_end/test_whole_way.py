"""The whole way on one machine: agent, dispatcher, worker and room, each a process of its own."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from dispatching import dispatcher, environ

from localroom.launch import local_room

AGENT = Path(__file__).parents[1] / "support" / "real_agent.py"


def reports(agent: "subprocess.CompletedProcess[str]", log: str) -> dict[str, Any]:
    """What the agent said of its turns."""
    assert agent.returncode == 0, agent.stderr + log
    said: dict[str, Any] = json.loads(agent.stdout.splitlines()[-1])
    return said


def assert_all_was_heard(said: dict[str, Any]) -> None:
    assert said["version"] == 2
    first, second, third = said["ended"]
    assert first == [1.5, False, 1]
    assert second[1:] == [True, 2]
    assert 0.2 < second[0] < 1.5
    assert third == [0.5, False, 3]


def test_an_agents_face_joins_speaks_is_interrupted_and_speaks_again(tmp_path: Path) -> None:
    with local_room() as room:
        settings = {
            "AVATAR_MEETING": "videosdk",
            "AVATAR_SIGNALING_HOSTS": room.signaling_base_url,
            **room.environment,
        }
        with dispatcher(tmp_path / "log", **settings) as running:
            url = str(running.http.base_url.join("/launch"))
            agent = subprocess.run(
                [sys.executable, AGENT, url, room.signaling_base_url],
                env=environ(**room.environment),
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            assert_all_was_heard(reports(agent, running.log()))
            assert running.stop() == 0
            assert "worker-token" not in running.log()


def test_the_printed_lines_are_all_that_an_agents_shell_needs(tmp_path: Path) -> None:
    """`avatar serve --local` in one shell; its lines and an agent in another."""
    with dispatcher(tmp_path / "log", "--local", AVATAR_MEETING="videosdk") as running:
        lines = running.printed()
        start = f'exec "{sys.executable}" "{AGENT}" "$AVATAR_DISPATCHER_URL" "$SIGNALING_BASE_URL"'
        agent = subprocess.run(
            ["/bin/sh", "-ec", lines + start],
            env=environ(),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert_all_was_heard(reports(agent, running.log()))
        assert running.stop() == 0
