"""`odl backfill` and `odl dead-letters` on real servers, as somebody types them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from confluent_kafka import Producer

from odl.cli import main
from odl.event import Event
from odl.redis_log import RedisLog
from streaming.dead_letters import DeadLetter, DeadLetters
from streaming.embedded_broker import EmbeddedBroker
from streaming.message import encode_value

MODEL = '[model]\ntask = "binary"\nclasses = ["stays", "leaves"]\nhidden_layers = 1\nwidth = 16\n'


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker() as broker:
        yield broker


@pytest.fixture
def run(
    model_name: str,
    tmp_path: Path,
    valkey_url: str,
    broker: EmbeddedBroker,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Any:
    """A command on an empty model: its exit code, JSON and error."""
    model = tmp_path / "model.toml"
    model.write_text(f'name = "{model_name}"\n{MODEL}')
    monkeypatch.setenv("ODL_MODEL", str(model))
    monkeypatch.setenv("ODL_REDIS", valkey_url)
    monkeypatch.setenv("ODL_KAFKA", broker.bootstrap)

    def run(*arguments: str) -> tuple[int, Any, str]:
        code = main([*arguments, "--json"])
        printed = capsys.readouterr()
        return code, json.loads(printed.out) if printed.out else None, " ".join(printed.err.split())

    return run


def test_a_csv_file_enters_once(run: Any, tmp_path: Path, redis_client: redis.Redis, model_name: str) -> None:
    path = tmp_path / "history.csv"
    rows = [f"{number:03},{number % 7},basic,{'leaves' if number % 3 else 'stays'}" for number in range(800)]
    path.write_text("customer,usage,plan,outcome\n" + "\n".join(rows) + "\n")
    code, found, error = run("backfill", str(path), "--label", "outcome", "--id", "customer")
    assert (code, found["entered"], found["version"]) == (0, 800, 800), error
    code, found, _ = run("backfill", str(path), "--label", "outcome", "--id", "customer")
    assert (code, found["entered"], found["before"], found["version"]) == (0, 0, 800, 800)
    entry = RedisLog(redis_client, model_name).read(7, 1).entries[1]
    assert entry.version == 8
    assert b'"id":"007"' in entry.payload, "an id is what is written, not a number"
    assert run("replay")[1]["version"] == 800


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["a.csv"], "pass `--label COLUMN`"),
        (["a.csv", "--label", "z"], "has no column 'z' (--label); it has n, y"),
        (["a.csv", "--label", "y", "--id", "z"], "has no column 'z' (--id)"),
        (["a.txt", "--label", "y"], "ends in .csv or .parquet"),
        (["none.csv", "--label", "y"], "cannot be read"),
        (["a.csv", "--label", "y"], "row 2: "),
        (["kafka:a@b"], "expected kafka:topic"),
    ],
)
def test_what_cannot_be_meant_is_said_in_one_line(
    run: Any, tmp_path: Path, arguments: list[str], sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a.csv", "a.txt"):
        (tmp_path / name).write_text("n,y\n1,stays\n2,unheard\n")
    code, _, error = run("backfill", *arguments)
    assert code == 2
    assert sentence in error
    assert "Traceback" not in error


def test_a_topic_enters_from_an_offset(run: Any, broker: EmbeddedBroker) -> None:
    broker.create_topic("old", 1)
    producer = Producer({"bootstrap.servers": broker.bootstrap})
    for number in range(30):
        producer.produce("old", encode_value(Event(id=f"e-{number}", x={"n": number}, y="stays")))
    assert producer.flush(60) == 0
    assert run("backfill", "kafka:old@10")[1]["entered"] == 20
    assert run("backfill", "kafka:old@10")[1]["entered"] == 0


def test_dead_letters_are_listed_and_learned_after_the_fix(
    run: Any, broker: EmbeddedBroker, tmp_path: Path, model_name: str
) -> None:
    topic = f"{model_name}-feedback-dead-letters"
    broker.create_topic(topic, 1)
    dead = DeadLetters(broker.bootstrap, topic)
    value = encode_value(Event(id="e-1", x={"n": 1}, y="pauses"))
    dead.write([DeadLetter(None, value, "BAD_LABEL", "no such label", "kafka:c:t:0", 5)])
    dead.write([DeadLetter(None, b"junk", "MALFORMED", "no JSON", "kafka:c:t:0", 6)])
    dead.close()
    code, found, _ = run("dead-letters", "list")
    assert (code, [letter["reason"] for letter in found]) == (0, ["BAD_LABEL", "MALFORMED"])
    assert found[0]["value"] == value.decode()
    assert [letter["offset"] for letter in run("dead-letters", "list", "--reason", "MALFORMED")[1]] == [1]
    assert run("backfill", str(written(tmp_path)), "--label", "y")[1]["entered"] == 1
    code, found, _ = run("dead-letters", "retry", "--offset", "0")
    assert (code, found["accepted"], found["refused"][0]["reason"]) == (1, 0, "BAD_LABEL")
    model = tmp_path / "model.toml"
    model.write_text(
        model.read_text().replace('"leaves"]', '"leaves", "pauses"]').replace("binary", "multiclass")
    )
    code, found, error = run("dead-letters", "retry", "--reason", "BAD_LABEL")
    assert (code, found["accepted"], found["version"]) == (0, 1, 2), error
    code, found, _ = run("dead-letters", "retry", "--reason", "BAD_LABEL")
    assert (code, found["accepted"], found["duplicates"]) == (0, 0, 1)


def written(folder: Path) -> Path:
    path = folder / "one.csv"
    path.write_text("n,y\n1,stays\n")
    return path
