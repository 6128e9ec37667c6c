"""Fuzzed HTTP requests for a running replica: `python tests/security/fuzz.py --seed 1 --count 100000`.

Requests are made of good ones by changes of structure and of bytes, out of a corpus of nasty values, with
nasty headers beside them. Judged is what must hold whatever arrives: no 5xx, no worker that dies, each
refusal one JSON object with one sentence, and a version that grew by exactly the events that were accepted.
One seed makes the same requests again.
"""

import argparse
import contextlib
import http.client
import json
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from secured_replica import MODEL, running

from odl.embedded_redis import EmbeddedRedis

PATHS = (
    "/api/v1.0/predictions",
    "/predict",
    "/api/v1.0/feedback",
    "/send-feedback",
    "/v2/models/fuzzed/infer",
    "/v2/models/x/infer",
    "/metadata",
    "/metrics",
    "/%2e%2e/%2e%2e/etc/passwd",
    "//",
)
TYPES = (
    "application/json",
    "application/x-www-form-urlencoded",
    "text/plain",
    "",
    "multipart/form-data; boundary=x",
)
TEXTS = (
    "",
    "JFK",
    "late",
    "on time",
    "x" * 2_000,
    "\x00",
    "\ud800",
    "’é漢😀",
    "__proto__",
    "${jndi:x}",
    "' OR 1=1",
)
NUMBERS = (0, -0.0, 1, -1, 2**31, 2**53 + 1, 2**63, 10**30, 1e308, 5e-324, 0.1)
TOKENS = (
    b"NaN",
    b"-Infinity",
    b"1e999",
    b"0x1",
    b"1" * 500,
    b"\xff\xfe",
    b"\x00",
    b"[" * 2_000,
    b'{"a":' * 500,
)
TOKENS += (
    b'"\\ud800"',
    b"\\u0000",
    b"null",
    b"true",
    b"//",
    b"]}",
    b'"',
    b",,",
    b"\xef\xbb\xbf",
    b"-",
    b"1e-999999",
)
FIELDS = (
    "data",
    "names",
    "ndarray",
    "tensor",
    "shape",
    "values",
    "jsonData",
    "strData",
    "meta",
    "puid",
    "tags",
)
FIELDS += ("request", "response", "truth", "reward", "min_version", "version", "origin", "distance", "status")
FIELDS += ("inputs", "datatype", "name", "id", "parameters", "binData", "__class__")

Make = Callable[[random.Random, str], Any]


def feature_rows(pick: random.Random, count: int) -> list[list[Any]]:
    return [[pick.choice(("JFK", "LGA")), pick.choice((1, 2.5, 1400))] for _ in range(count)]


def message(pick: random.Random, puid: str) -> dict[str, Any]:
    """A prediction request as a client might send it."""
    rows = feature_rows(pick, pick.randint(1, 3))
    named = [dict(zip(("origin", "distance"), row, strict=True)) for row in rows]
    forms: tuple[dict[str, Any], ...] = (
        {"data": {"names": ["origin", "distance"], "ndarray": rows}},
        {"data": {"ndarray": rows}},
        {"data": {"names": ["distance"], "tensor": {"shape": [2, 1], "values": [1, 2]}}},
        {"jsonData": named[0]},
        {"jsonData": named},
        {"strData": json.dumps(named[0])},
    )
    return {**pick.choice(forms), "meta": {"puid": puid}}


def feedback(pick: random.Random, puid: str) -> dict[str, Any]:
    """A feedback as a client might send it; often good."""
    request = {"jsonData": {"origin": "JFK", "distance": pick.randint(1, 9)}, "meta": {"puid": puid}}
    return {"request": request, "truth": {"strData": pick.choice(("late", "on time"))}, "reward": 1}


def inference(pick: random.Random, puid: str) -> dict[str, Any]:
    """A request of the Open Inference Protocol."""
    origin = {"name": "origin", "shape": [1], "datatype": "BYTES", "data": ["JFK"]}
    distance = {"name": "distance", "shape": [1], "datatype": "FP32", "data": [pick.choice((1, 1400))]}
    return {"id": puid, "inputs": [origin, distance]}


MAKERS: tuple[Make, ...] = (message, feedback, inference)


def leaf(pick: random.Random) -> Any:
    return pick.choice((None, True, False, pick.choice(TEXTS), pick.choice(NUMBERS), [], {}, [[]]))


def disturb(pick: random.Random, value: Any) -> Any:
    """`value` with one part of its structure replaced, removed, doubled, renamed or nested."""
    if isinstance(value, dict) and value:
        key = pick.choice(list(value))
        changed = dict(value)
        match pick.randrange(5):
            case 0:
                del changed[key]
            case 1:
                changed[pick.choice(FIELDS)] = leaf(pick)
            case 2:
                changed[pick.choice(FIELDS)] = changed.pop(key)
            case _:
                changed[key] = disturb(pick, value[key])
        return changed
    if isinstance(value, list) and value:
        at = pick.randrange(len(value))
        match pick.randrange(4):
            case 0:
                return value[:at] + value[at + 1 :]
            case 1:
                return value * pick.choice((2, 50))
            case _:
                return [*value[:at], disturb(pick, value[at]), *value[at + 1 :]]
    return pick.choice((leaf(pick), [value], {pick.choice(FIELDS): value}, [[value]] * 3))


def scramble(pick: random.Random, body: bytes) -> bytes:
    """`body` with some of its bytes replaced, cut, doubled or swapped for a nasty token."""
    for _ in range(pick.randint(1, 4)):
        at = pick.randrange(len(body) + 1)
        match pick.randrange(5):
            case 0:
                body = body[:at] + bytes([pick.randrange(256)]) + body[at + 1 :]
            case 1:
                body = body[:at]
            case 2:
                body = body[:at] + pick.choice(TOKENS) + body[at:]
            case 3:
                body = body[:at] + body[at // 2 : at] + body[at:]
            case _:
                body = body[:at] + pick.choice(TOKENS) + body[at + pick.randint(1, 12) :]
    return body


@dataclass(frozen=True)
class Fuzzed:
    """One request."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


def make(pick: random.Random, number: int) -> Fuzzed:
    """Request `number` of a seed."""
    path = pick.choice(PATHS[:5]) if pick.random() < 0.9 else pick.choice(PATHS)
    fitting = {0: message, 1: message, 2: feedback, 3: feedback, 4: inference}.get(PATHS.index(path), message)
    value: Any = (fitting if pick.random() < 0.9 else pick.choice(MAKERS))(pick, f"p-{number}")
    for _ in range(pick.choice((0, 1, 1, 2, 3))):
        value = disturb(pick, value)
    body = json.dumps(value).encode() if pick.random() < 0.9 else json.dumps(value, indent=9).encode("utf-16")
    if pick.random() < 0.4:
        body = scramble(pick, body)
    headers = {"Content-Type": pick.choice(TYPES) if pick.random() < 0.2 else TYPES[0]}
    if pick.random() < 0.1:
        name = pick.choice(("Idempotency-Key", "X-Client-Id", "Authorization", "Content-Encoding", "Accept"))
        headers[name] = pick.choice(("x" * 300, "a:b", "gzip", "\xff\xfe", "Bearer x", "é", ""))
    method = (
        "POST" if pick.random() < 0.97 else pick.choice(("GET", "PUT", "DELETE", "OPTIONS", "HEAD", "BREW"))
    )
    return Fuzzed(method, path, headers, body)


@dataclass
class Findings:
    """What came of a run."""

    statuses: Counter[int] = field(default_factory=Counter)
    accepted: int = 0  # events
    faults: list[str] = field(default_factory=list)  # what must not be, with the request


def judge(request: Fuzzed, status: int, answer: bytes, found: Findings) -> None:
    """Count one answer, and note it if it must not be."""
    found.statuses[status] += 1
    if status >= 500:
        found.faults.append(f"{status} for {request}: {answer[:300]!r}")
    if b"Traceback" in answer or b'File "' in answer or b".py" in answer:
        found.faults.append(f"a stack trace for {request}")
    if status >= 400 and request.method != "HEAD" and status != 431:
        try:
            told = json.loads(answer)
            sentence = told["error"] if "error" in told else told["status"]["info"]
            if "\n" in sentence or not sentence:
                found.faults.append(f"no sentence for {request}: {answer[:300]!r}")
        except (ValueError, KeyError, TypeError):
            found.faults.append(f"{status} without JSON for {request}: {answer[:300]!r}")
    if status == 200 and request.path.endswith("feedback") and request.method != "HEAD":
        told = json.loads(answer)
        outcomes = told.get("jsonData", {}).get("outcomes", [told["meta"]["tags"]["outcome"]])
        found.accepted += outcomes.count("accepted")


def fuzz(url: str, seed: int, count: int) -> Findings:
    """Send `count` requests of `seed` to the replica at `url`, one after the other."""
    host = url.removeprefix("http://")
    pick, found = random.Random(seed), Findings()
    before = version_at(host)
    connection = http.client.HTTPConnection(host, timeout=60)
    for number in range(count):
        request = make(pick, number)
        try:
            connection.request(request.method, request.path, request.body, request.headers)
            response = connection.getresponse()
            judge(request, response.status, response.read(), found)
        except (http.client.HTTPException, ConnectionError) as error:
            # The server may close after a refusal; that it is still there shows at the next request.
            found.statuses[0] += 1
            connection.close()
            connection = http.client.HTTPConnection(host, timeout=60)
            if found.statuses[0] > count // 20 + 5:
                found.faults.append(f"connections are closed again and again, last for {request}: {error!r}")
                break
    connection.close()
    grown = version_at(host) - before
    if grown != found.accepted:
        found.faults.append(f"the version grew by {grown}, accepted were {found.accepted}")
    return found


def version_at(host: str) -> int:
    connection = http.client.HTTPConnection(host, timeout=60)
    with contextlib.closing(connection):
        connection.request("GET", "/status")
        return int(json.loads(connection.getresponse().read())["version"])


def main(seed: int = 1, count: int = 5_000) -> Findings:
    """Fuzz a replica of its own on a Redis of its own. Raises `AssertionError` with the first faults."""
    with (
        tempfile.TemporaryDirectory() as folder,
        EmbeddedRedis(Path(folder) / "redis", appendfsync="always") as redis,
    ):
        model = Path(folder) / "model.toml"
        model.write_text(f'name = "fuzzed"\n{MODEL}')
        with running(["--model", str(model), "--redis", redis.url], {}) as server:
            found = fuzz(server.url, seed, count)
            assert server.process.poll() is None, f"seed {seed}: the worker died: {server.printed[-20:]}"
    assert not found.faults, f"seed {seed}: {len(found.faults)} faults, the first: {found.faults[:3]}"
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=100_000)
    options = parser.parse_args()
    result = main(options.seed, options.count)
    print(f"seed {options.seed}: {dict(sorted(result.statuses.items()))}, {result.accepted} events accepted")
