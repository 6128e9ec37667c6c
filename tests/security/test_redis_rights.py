"""The service's user in Redis, over TLS with client certificates: it can serve, and nothing else."""

import contextlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import redis
from certificates import Certificate
from secured_redis import client_of, secured_redis
from secured_replica import MODEL, X, feedback, running

import odl
from odl.errors import Misconfigured, Unavailable
from odl.lock import Lease
from odl.log import Append
from odl.redis_connection import check_server, complete_url, connect, has_password
from odl.redis_functions import acl_rules, function_name, library, script_names
from odl.redis_lock import RedisLock
from odl.redis_log import RedisLog
from odl.redis_remembered import RedisPredictions
from odl.redis_snapshots import RedisSnapshots
from odl.remembered import Remembered

pytestmark = pytest.mark.xdist_group("redis-rights")  # so that its servers start once
SECRET, ADMIN_SECRET = "s3rvice/pass wörd", "adm1n"
NAME = "guarded"
# Tried first, and done without when refused; the last one by redis-py itself.
DONE_WITHOUT = ("eval", "evalsha", "config|get", "client|setinfo")


@dataclass(frozen=True)
class Secured:
    """A server with the user `odl`, whose functions an administrator has loaded."""

    environment: dict[str, str]  # by which odl reaches it
    admin: redis.Redis
    service: redis.Redis  # the user `odl`, by redis-py alone


def odl_command(
    *arguments: str, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "odl", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=environment)


@pytest.fixture(scope="module")
def secured(
    localhost: Certificate, visitor: Certificate, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Secured]:
    folder = tmp_path_factory.mktemp("secured")
    (folder / "model.toml").write_text(f'name = "{NAME}"\n{MODEL}')
    (folder / "password").write_text(SECRET + "\n")
    line = odl_command(
        *("rights", "--acl", "--model", str(folder / "model.toml")),
        *("--password-file", str(folder / "password")),
    ).stdout
    assert line.startswith("user odl on #") and SECRET not in line
    users = f"user default off\nuser admin on >{ADMIN_SECRET} ~* &* +@all\n{line}"
    with secured_redis(folder, localhost, users) as port, contextlib.ExitStack() as clients:
        admin = client_of(port, visitor, "admin", ADMIN_SECRET)
        service = client_of(port, visitor, "odl", SECRET)
        clients.callback(admin.close)
        clients.callback(service.close)
        admin.execute_command("FUNCTION", "LOAD", odl_command("rights", "--functions").stdout)
        environment = {
            "ODL_MODEL": str(folder / "model.toml"),
            "ODL_REDIS": f"rediss://127.0.0.1:{port}/0",
            "ODL_REDIS_USER": "odl",
            "ODL_REDIS_PASSWORD_FILE": str(folder / "password"),
            "ODL_REDIS_CA": str(visitor.ca),
            "ODL_REDIS_CERT": str(visitor.cert),
            "ODL_REDIS_KEY": str(visitor.key),
        }
        yield Secured(environment, admin, service)


@pytest.fixture
def client(secured: Secured) -> Iterator[redis.Redis]:
    """As the service connects."""
    url = complete_url(secured.environment["ODL_REDIS"], secured.environment)
    with contextlib.closing(connect(url)) as client:
        yield client


def test_a_replica_serves_and_learns_over_tls_by_functions_alone(secured: Secured) -> None:
    with running([], secured.environment) as server:
        for number in range(3):
            receipt = httpx.post(
                f"{server.url}/send-feedback", json=feedback(f"p-{number}"), timeout=30
            ).json()
            assert receipt["meta"]["tags"]["version"] == number + 1
        answer = httpx.post(f"{server.url}/predict", json={"jsonData": X}, timeout=30).json()
        assert answer["meta"]["tags"]["version"] == 3
    told = odl_command("status", "--json", environment=secured.environment)
    assert json.loads(told.stdout)["head"]["version"] == 3, told.stderr
    assert SECRET not in told.stdout + told.stderr + "".join(server.printed)


def test_whatever_the_service_does_its_user_may_do(secured: Secured, client: redis.Redis) -> None:
    """Appends, reads, locks, snapshots, trims and beats; the server logs every right that was missed."""
    secured.admin.execute_command("ACL", "LOG", "RESET")
    check_server(client, require_fsync_always=False)
    log = RedisLog(client, NAME)
    head = log.create()
    log.append_many([Append(b"{}", f"many-{number}", "test") for number in range(120)])
    log.read(0, 10)
    log.positions(), log.position("test"), log.counters(), log.head()
    log.raise_epoch(1)
    lock = RedisLock(client, NAME)
    lease = lock.acquire("test", 60_000)
    assert isinstance(lease, Lease)
    lock.renew(lease, 60_000), lock.holder()
    snapshots = RedisSnapshots(client, NAME)
    snapshots.list()
    lock.release(lease)
    missed = [entry for entry in secured.admin.acl_log() if entry["object"] not in DONE_WITHOUT]
    assert missed == [] and head.log_id


def test_every_command_in_the_sources_is_among_its_rights() -> None:
    """What is sent beside the scripts is written as tuples that begin with the command."""
    rules = set(acl_rules(NAME))
    for path in Path(odl.__file__).parent.glob("*.py"):
        if path.stem != "redis_script":  # which has error codes and EVAL
            for command in re.findall(r"""\("([A-Z]{3,})",""", path.read_text()):
                assert f"+{command.lower()}" in rules, (path.name, command)


@pytest.mark.parametrize(
    "command",
    [
        ("EVAL", "return 1", "0"),
        ("EVALSHA", "0" * 40, "0"),
        ("SCRIPT", "LOAD", "return 1"),
        ("FUNCTION", "LOAD", "#!lua name=x\nredis.register_function('x', function() end)"),
        ("FUNCTION", "FLUSH"),
        ("CONFIG", "GET", "requirepass"),
        ("CONFIG", "SET", "appendfsync", "no"),
        ("FLUSHALL",),
        ("FLUSHDB",),
        ("SHUTDOWN",),
        ("KEYS", "*"),
        ("SCAN", "0"),
        ("MONITOR",),
        ("ACL", "LIST"),
        ("REPLICAOF", "127.0.0.1", "1"),
        ("MIGRATE", "127.0.0.1", "1", "k", "0", "1"),
        ("CLIENT", "KILL", "TYPE", "normal"),
        ("SELECT", "1"),
        ("PUBLISH", "x", "y"),
    ],
    ids=" ".join,
)
def test_it_may_do_nothing_that_an_administrator_may(secured: Secured, command: tuple[str, ...]) -> None:
    with pytest.raises(redis.exceptions.NoPermissionError):
        secured.service.execute_command(*command)


@pytest.mark.parametrize("key", ["other", "{odl:other}:head", f"{{odl:{NAME}x}}:head", f"{{odl:{NAME}}}"])
def test_it_sees_no_keys_of_others(secured: Secured, key: str) -> None:
    secured.admin.hset(key, "version", 1)
    for command in (("HGET", key, "version"), ("HSET", key, "version", "2"), ("UNLINK", key)):
        with pytest.raises(redis.exceptions.NoPermissionError):
            secured.service.execute_command(*command)
    with pytest.raises(redis.exceptions.NoPermissionError):
        secured.service.fcall(function_name("raise_epoch"), 1, key, 9)


def test_a_user_that_may_run_scripts_needs_no_functions(redis_client: redis.Redis, model_name: str) -> None:
    assert RedisLog(redis_client, model_name).create().version == 0


def test_without_its_functions_the_user_is_told_how_to_get_them(
    redis_client: redis.Redis, valkey_url: str
) -> None:
    redis_client.execute_command("ACL", "SETUSER", "bare", "on", ">pw", *acl_rules("bare"))
    try:
        with (
            contextlib.closing(connect(valkey_url.replace("://", "://bare:pw@"))) as bare,
            pytest.raises(Unavailable, match=r"odl rights --functions \| redis-cli -x FUNCTION LOAD"),
        ):
            RedisLog(bare, "bare").create()
    finally:
        redis_client.acl_deluser("bare")


def test_functions_do_what_the_scripts_do_also_in_a_pipeline(
    redis_client: redis.Redis, valkey_url: str, model_name: str
) -> None:
    redis_client.execute_command("FUNCTION", "LOAD", "REPLACE", library())
    redis_client.execute_command("ACL", "SETUSER", "some", "on", ">pw", *acl_rules(model_name))
    try:
        with contextlib.closing(connect(valkey_url.replace("://", "://some:pw@"))) as some:
            events = [Append(f"{number}".encode(), f"id-{number}", "s") for number in range(200)]
            RedisLog(some, model_name).create()
            by_function = RedisLog(some, model_name).append_many(events)
            by_script = RedisLog(redis_client, model_name).append_many(events)
            assert [each.version for each in by_function] == list(range(1, 201))
            assert [each.version for each in by_script] == list(range(1, 201))
            assert {str(each.outcome) for each in by_script} == {"duplicate"}
    finally:
        redis_client.acl_deluser("some")
        redis_client.execute_command("FUNCTION", "FLUSH")


def test_the_library_holds_every_script() -> None:
    for name in script_names():
        assert function_name(name) in library()


def test_without_a_client_certificate_nobody_gets_in(secured: Secured, stranger: Certificate) -> None:
    bare = {
        name: value for name, value in secured.environment.items() if "CERT" not in name and "KEY" not in name
    }
    strange = secured.environment | {"ODL_REDIS_CERT": str(stranger.cert), "ODL_REDIS_KEY": str(stranger.key)}
    untrusting = secured.environment | {"ODL_REDIS_CA": str(stranger.ca)}
    for environment in (bare, strange, untrusting):
        with (
            contextlib.closing(connect(complete_url(environment["ODL_REDIS"], environment))) as client,
            pytest.raises(Unavailable, match="cannot be reached") as caught,
        ):
            check_server(client, require_fsync_always=False)
        assert "s3rvice" not in str(caught.value)


def test_a_password_on_the_command_line_is_refused(secured: Secured) -> None:
    for url in ("redis://:s3cret@127.0.0.1/0", "redis://127.0.0.1/0?password=s3cret"):
        assert has_password(url)
        done = odl_command("status", "--redis", url, environment=secured.environment)
        assert done.returncode == 2 and "ODL_REDIS_PASSWORD_FILE" in done.stderr
        assert "s3cret" not in done.stdout + done.stderr
    assert not has_password("redis://127.0.0.1:6379/0") and has_password("redis://u:p@[::1")


@pytest.mark.parametrize(
    ("url", "environment", "expected"),
    [
        ("redis://h", {}, "redis://h"),
        ("redis://h", {"ODL_REDIS_PASSWORD": "p@"}, "redis://:p%40@h"),
        ("redis://u:p@h", {"ODL_REDIS_PASSWORD": "other"}, "redis://u:p@h"),
        ("rediss://h?ssl_ca_certs=x", {"ODL_REDIS_CA": "y"}, "rediss://h?ssl_ca_certs=x"),
        ("unix:///run/r.sock", {"ODL_REDIS_USER": "u"}, "unix://u:@/run/r.sock"),
    ],
)
def test_a_url_is_completed_by_the_environment(url: str, environment: dict[str, str], expected: str) -> None:
    assert complete_url(url, environment) == expected
    assert complete_url(expected, environment) == expected


def test_settings_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="rediss://"):
        complete_url("redis://h", {"ODL_REDIS_CA": "x"})
    with pytest.raises(Misconfigured, match="ODL_REDIS_PASSWORD_FILE"):
        complete_url("redis://h", {"ODL_REDIS_PASSWORD_FILE": str(tmp_path / "none")})


def test_the_service_user_remembers_and_recalls_predictions(secured: Secured) -> None:
    log = RedisLog(secured.service, NAME)
    log.create()
    store = RedisPredictions(secured.service, NAME, ttl_s=60, records_max=10)
    store.put("remembered-1", Remembered({"n": 1}, {"no": 0.5, "yes": 0.5}, 1))
    RedisLog(secured.service, NAME, predictions=store).read(0, 1)
    assert not store.has_news
    assert store.recall(["remembered-1"])[0] and log.find(["remembered-1"]) == [None]
