"""What make-secrets makes opens Redis to us alone, and apply-secrets hands it to the cluster."""

import asyncio
import base64
import os
import re
import shutil
import socket
import ssl
import stat
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis
import yaml
from cryptography.fernet import Fernet
from deployed import DEPLOY, of_kind, pod_of, ran, rendered, tool
from ledgers import SEAL_KEY, join
from redis_server import WAIT_TIMEOUT_S, has_tls, program
from tls_front import tls_front

from dispatcher.errors import TooMany
from dispatcher.http.rate_limit import RateLimiter
from dispatcher.ledger.command import ServeCommand
from dispatcher.ledger.encryption import Encryption
from dispatcher.ledger.port import Verdict
from dispatcher.ledger.redis import RedisLedger
from dispatcher.ledger.redis_node import RedisNodeLedger
from dispatcher.settings import DispatcherSettings

ASKED_BY_OPERATORS = ["CONFIG GET *", "KEYS *", "FLUSHALL", "ACL LIST", "SHUTDOWN", "MONITOR"]


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tool("openssl")
    folder = tmp_path_factory.mktemp("made") / "secrets"
    ran(DEPLOY / "make-secrets", folder)
    return folder


def test_only_what_nobody_can_make_for_you_is_left_to_you(secrets: Path) -> None:
    asked = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["secrets"].values()
    needed = {Path(each["file"]).name for each in asked}
    assert needed - {each.name for each in secrets.iterdir()} == {"jwt_keys"}
    assert "jwt_keys" in ran(DEPLOY / "make-secrets", secrets)


def test_nobody_else_may_enter_the_folder(secrets: Path) -> None:
    assert stat.S_IMODE(secrets.stat().st_mode) == 0o700


def test_what_is_there_stays(secrets: Path) -> None:
    before = {each.name: each.read_bytes() for each in secrets.iterdir()}
    ran(DEPLOY / "make-secrets", secrets)
    assert {each.name: each.read_bytes() for each in secrets.iterdir()} == before


def test_the_programs_take_them(secrets: Path) -> None:
    settings = DispatcherSettings.from_env(
        {
            "AVATAR_REDIS_URL_FILE": str(secrets / "redis_url"),
            "AVATAR_SEAL_KEYS_FILE": str(secrets / "seal_keys"),
        }
    )
    assert settings.redis_url.startswith("rediss://avatar:")
    assert "ssl_ca_certs=/run/secrets/avatar/redis_ca.crt" in settings.redis_url
    (key,) = settings.seal_keys
    Fernet(key)


@dataclass(frozen=True, slots=True)
class Cluster:
    """A copy of deploy/apply-secrets, and a kubectl that records what would be applied."""

    folder: Path

    @property
    def secrets(self) -> Path:
        return self.folder / "secrets"

    def apply(self, *options: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.folder / "apply-secrets", *options],
            capture_output=True,
            text=True,
            timeout=60,
            env={**os.environ, "PATH": f"{self.folder}:{os.environ['PATH']}"},
        )

    def applied(self) -> dict[str, dict[str, bytes]]:
        """The contents of each secret, by their names."""
        manifests = [each.read_text() for each in self.folder.glob("*.applied")]
        return {
            manifest["metadata"]["name"]: {
                name: base64.b64decode(data) for name, data in manifest["data"].items()
            }
            for manifest in map(yaml.safe_load, manifests)
        }

    def calls(self) -> list[str]:
        return (self.folder / "calls").read_text().splitlines()


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    kubectl = tool("kubectl")
    shutil.copy(DEPLOY / "apply-secrets", tmp_path)
    (tmp_path / "secrets").mkdir()
    fake = tmp_path / "kubectl"
    fake.write_text(
        f"""#!/bin/sh
[ "$1" = apply ] || exec {kubectl} "$@"
echo "$@" >> {tmp_path}/calls
cat > {tmp_path}/$$.applied
"""
    )
    fake.chmod(0o755)
    return Cluster(tmp_path)


def test_all_that_is_made_is_handed_to_the_cluster_as_one_manager(
    secrets: Path, cluster: Cluster
) -> None:
    shutil.copytree(secrets, cluster.secrets, dirs_exist_ok=True)
    (cluster.secrets / "jwt_keys").write_text("key:secret\n")
    done = cluster.apply("--force-conflicts")
    assert (done.returncode, done.stderr) == (0, "")
    made = {each.name: each.read_bytes() for each in cluster.secrets.iterdir()}
    del made["grafana_password"]
    avatar, of_redis = (cluster.applied()[name] for name in ("avatar", "avatar-redis"))
    assert avatar | of_redis == made
    assert not set(avatar) & set(of_redis)
    assert cluster.calls() == ["apply --server-side --filename=- --force-conflicts"] * 2


def test_the_cluster_gets_each_file_that_a_manifest_mounts(secrets: Path, cluster: Cluster) -> None:
    shutil.copytree(secrets, cluster.secrets, dirs_exist_ok=True)
    (cluster.secrets / "jwt_keys").write_text("key:secret\n")
    cluster.apply()
    for deployment in of_kind(rendered("pool"), "Deployment").values():
        for volume in pod_of(deployment)["volumes"]:
            if "secret" in volume:
                handed = cluster.applied()[volume["secret"]["secretName"]]
                assert {each["key"] for each in volume["secret"].get("items", [])} <= set(handed)


def test_one_machine_needs_its_own_files_only(cluster: Cluster) -> None:
    for name in ("jwt_keys", "bearer_keys"):
        (cluster.secrets / name).write_text(name)
    done = cluster.apply()
    assert done.returncode == 0
    assert set(cluster.applied()) == {"avatar"}
    assert "no file for the secret avatar-redis" in done.stderr


def test_without_a_key_at_videosdk_nothing_is_written(cluster: Cluster) -> None:
    done = cluster.apply()
    assert done.returncode == 2
    assert "apikey:secret" in done.stderr
    assert not cluster.applied()


@pytest.fixture(scope="module")
def store(secrets: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a Redis that was started as in deploy/, here on a port of its own; where it was
    built without TLS, another program has that for it."""
    folder = tmp_path_factory.mktemp("redis")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]["redis"]["command"]
    here = {"/run/secrets/redis": str(secrets), "/data": str(folder), "6379": str(port)}
    arguments = [re.sub("|".join(here), lambda found: here[found[0]], each) for each in command]
    log = (folder / "log").open("w")
    with ExitStack() as stack:
        if not has_tls():
            pairs = list(zip(arguments[::2], arguments[1::2], strict=True))
            tls = {name: value for name, value in pairs if name.startswith("--tls-")}
            arguments = [each for pair in pairs if pair[0] not in tls for each in pair]
            arguments += ["--unixsocket", str(folder / "redis.sock")]
            certificate, key = Path(tls["--tls-cert-file"]), Path(tls["--tls-key-file"])
            stack.enter_context(tls_front(folder / "redis.sock", port, certificate, key))
        running = stack.enter_context(
            subprocess.Popen([program(), *arguments], stdout=log, stderr=log)
        )
        try:
            deadline = time.monotonic() + WAIT_TIMEOUT_S
            while "Ready to accept" not in (folder / "log").read_text():
                assert running.poll() is None, (folder / "log").read_text()
                assert time.monotonic() < deadline
                time.sleep(0.02)
            url = (secrets / "redis_url").read_text().strip()
            url = url.replace("/run/secrets/avatar", str(secrets))
            yield url.replace("@redis:6379", f"@localhost:{port}")
        finally:
            running.kill()
            log.close()


def connected(url: str) -> redis.Redis:
    """As the programs do it, but for the host's name, which is not `redis` here."""
    return redis.Redis.from_url(url, ssl_check_hostname=False, socket_timeout=5)


def test_our_keys_are_ours(store: str) -> None:
    with connected(store) as client:
        assert client.hset("{av}:sess:x", "state", "claimed") == 1
        assert client.eval("return redis.call('TIME')[1]", 0)
        assert "run_id" in client.info("server")
        assert client.zadd("{av}:idle", {"node/1": 1.0}) == 1
        assert client.blpop(["{av}:mbox:node"], timeout=0.01) is None
        with pytest.raises(redis.exceptions.NoPermissionError):
            client.get("others")


async def test_the_ledger_may_do_all_that_it_does(store: str) -> None:
    """Each of its scripts, from a claim to the hand-over and the end, on a user with few rights."""

    url = f"{store}&ssl_check_hostname=false"
    seal = Encryption([SEAL_KEY])
    dispatcher = RedisLedger(url, seal, name="dispatcher", lease_s=10.0)
    nodes = [RedisNodeLedger(url, seal, name=name, lease_s=10.0) for name in ("one", "two")]
    hearing = asyncio.create_task(dispatcher.run(), name="replies")
    try:
        async with asyncio.timeout(20):
            claim = None
            while claim is None or claim.record is None:  # an empty Redis waits for its nodes
                await nodes[0].heartbeat([1], 1)
                claim = await dispatcher.claim(join())
                await asyncio.sleep(0.1)
            await nodes[1].heartbeat([1], 1)
            (command,) = await nodes[0].take()
            assert isinstance(command, ServeCommand)
            owned = command.record
            assert await nodes[0].ack(owned) == Verdict.OK
            assert await dispatcher.resolved(claim.record, 5.0) == "acked"
            assert await nodes[0].enter(owned.entered("active", None, 1.0)) == Verdict.OK
            assert await nodes[0].renew([owned]) == {owned.key: Verdict.OK}
            await nodes[0].drain()
            assert await nodes[0].handoff(owned)
            (command,) = await nodes[1].take()
            assert isinstance(command, ServeCommand)
            assert await nodes[1].ack(command.record) == Verdict.OK
            assert await dispatcher.slots()
            assert await dispatcher.reap() == []
            assert await dispatcher.sessions()
            ended = await dispatcher.end(claim.record.session_id, "by a test")
            assert ended is not None
            await nodes[1].finish(command.record, "ended", "by a test")
    finally:
        hearing.cancel()
        for each in (dispatcher, *nodes):
            await each.close()


async def test_launches_are_counted_there_for_all_dispatchers(store: str) -> None:
    """Where Redis refused, they would be counted by each dispatcher alone, without a word."""

    settings = DispatcherSettings(
        rate="2/day", redis_url=f"{store}&ssl_check_hostname=false", seal_keys=(SEAL_KEY,)
    )
    for _ in range(2):
        quota = RateLimiter(settings)
        await quota.launch("somebody")
        await quota.aclose()
    quota = RateLimiter(settings)
    with pytest.raises(TooMany):
        await quota.launch("somebody")
    await quota.aclose()


@pytest.mark.parametrize("command", ASKED_BY_OPERATORS)
def test_what_only_operators_need_is_refused(store: str, command: str) -> None:
    with connected(store) as client, pytest.raises(redis.exceptions.NoPermissionError):
        client.execute_command(*command.split())


def test_without_the_password_nobody_is_let_in(store: str) -> None:
    stranger = re.sub(r"//avatar:\w+@", "//", store)
    with connected(stranger) as client, pytest.raises(redis.exceptions.AuthenticationError):
        client.ping()
    wrong = re.sub(r"//avatar:\w+@", "//avatar:wrong@", store)
    with connected(wrong) as client, pytest.raises(redis.exceptions.AuthenticationError):
        client.ping()


def test_the_probe_gets_an_answer_and_needs_no_password(store: str) -> None:
    manifests = DEPLOY / "kubernetes" / "overlays" / "pool" / "redis.yaml"
    (deployment,) = (
        each for each in yaml.safe_load_all(manifests.read_text()) if each["kind"] == "Deployment"
    )
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]["redis"]
    program, *rest = container["livenessProbe"]["exec"]["command"]
    assert compose["healthcheck"]["test"] == ["CMD", program, *rest]
    port = re.findall(r":(\d+)/", store)[0]
    assert "NOAUTH" in ran(tool(program), "-p", port, *rest)


def test_without_tls_nobody_is_answered(store: str) -> None:
    plain = re.sub(r"\?.*", "", store.replace("rediss://", "redis://"))
    client = redis.Redis.from_url(plain, socket_timeout=5)
    with client, pytest.raises(redis.exceptions.ConnectionError):
        client.ping()


def test_the_certificate_is_for_the_names_that_are_used(secrets: Path, store: str) -> None:
    context = ssl.create_default_context(cafile=secrets / "redis_ca.crt")
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    port = int(re.findall(r":(\d+)/", store)[0])
    for name in ("redis", "redis.avatar.svc"):
        with (
            socket.create_connection(("127.0.0.1", port)) as plain,
            context.wrap_socket(plain, server_hostname=name),
        ):
            pass
    with (
        socket.create_connection(("127.0.0.1", port)) as plain,
        pytest.raises(ssl.SSLCertVerificationError),
    ):
        context.wrap_socket(plain, server_hostname="elsewhere")
