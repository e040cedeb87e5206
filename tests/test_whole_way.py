"""The whole way on one machine: agent, dispatcher, worker and room, each a process of its own."""

import json
import subprocess
import sys
from pathlib import Path

from dispatching import dispatcher, environ

from localroom.launch import local_room

AGENT = Path(__file__).parent / "support" / "real_agent.py"


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
                [
                    sys.executable,
                    AGENT,
                    url,
                    room.signaling_base_url,
                ],
                env=environ(**room.environment),
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            assert agent.returncode == 0, agent.stderr + running.log()
            told = json.loads(agent.stdout.splitlines()[-1])
            assert running.stop() == 0
            assert "worker-token" not in running.log()
    assert told["version"] == 2
    first, second, third = told["ended"]
    assert first == [1.5, False, 1]
    assert second[1:] == [True, 2]
    assert 0.2 < second[0] < 1.5
    assert third == [0.5, False, 3]
