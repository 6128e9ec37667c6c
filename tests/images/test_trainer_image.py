"""The trainer's image, built and run for real: a network pretrained by Keras becomes a scorer's model.

It takes minutes: only where ODL_TEST_IMAGES=all asks for it, as `make images-test` and the forges' job do.
"""

import base64
import io
import json
import os
import signal
import time
from collections.abc import Iterator

import pytest
import redis
from image import Container, container, missing

from hedge_model.portable import PortableModel
from odl.drift_store import RedisDrifts
from odl.event import Event, encode
from odl.log import Append
from odl.redis_log import RedisLog

SCRIPT = """
import base64, io, json
import numpy as np
from hedge_model.learner import HedgeLearner
from hedge_model.network_exchange import inputs_of, learner_of, network_of
from hedge_model.portable import export
from hedge_model.spec import ModelSpec

learner = HedgeLearner(ModelSpec(task="binary", classes=("no", "yes"), hidden_layers=2, width=8))
events = [{"a": i % 7 - 3.0, "b": i % 5 - 2.0} for i in range(200)]
for x in events:
    learner.learn_one(x, "yes" if x["a"] > x["b"] else "no")
network = network_of(learner)
network.compile(optimizer="adam")
inputs = np.stack([inputs_of(learner, x) for x in events])
network.fit(inputs, np.array([int(x["a"] > x["b"]) for x in events]), epochs=2, verbose=0)
trained = learner_of(network, learner)
file = io.BytesIO()
export(trained, file)
row = {"a": 2.0, "b": -1.0}
answer = trained.predict_proba_one(row)
print(json.dumps({"model": base64.b64encode(file.getvalue()).decode(), "row": row, "answer": answer}))
"""
CSV = "a,b,late\n" + "".join(f"{i % 7},{i % 5},{'yes' if i % 7 > i % 5 else 'no'}\n" for i in range(300))
PYTHON = ["/opt/odl/bin/python", "-c"]
MODEL = """
name = "{name}"
[model]
task = "binary"
classes = ["no", "yes"]
[log]
archive = "/tmp/archive"
"""
DRIFT_S_MAX = 120.0  # river and what it imports, on a busy machine

pytestmark = pytest.mark.xdist_group("images")
if os.environ.get("ODL_TEST_IMAGES") != "all":
    pytest.skip("takes minutes: ODL_TEST_IMAGES=all, or make images-test", allow_module_level=True)
if reason := missing():
    pytest.skip(reason, allow_module_level=True)


@pytest.fixture(scope="module")
def trainer() -> Iterator[Container]:
    with container("trainer") as opened:
        yield opened


def test_a_pretrained_network_is_exported_for_a_scorer(trainer: Container) -> None:
    told = json.loads(trainer.output(SCRIPT, entrypoint=PYTHON, TF_CPP_MIN_LOG_LEVEL="3").splitlines()[-1])
    model = PortableModel.load(io.BytesIO(base64.b64decode(told["model"])))
    assert model.predict_proba_one(told["row"]) == pytest.approx(told["answer"], abs=1e-6)


def test_an_offline_job_runs_as_nobody_on_a_read_only_root(trainer: Container) -> None:
    (trainer.root / "opt/history.csv").write_text(CSV)
    arguments = ("fit", "/opt/history.csv", "--label", "late", "--save", "/tmp/model")
    printed = trainer.output(*arguments, NUMBA_DEBUG_CACHE="1")
    assert "300" in printed
    # The kernel came out of the image; nothing was compiled that would have been saved.
    assert "data loaded from" in printed
    assert "data saved to" not in printed and "index saved to" not in printed


def test_it_archives_a_log_and_watches_it_for_drift(
    trainer: Container, redis_client: redis.Redis, valkey_url: str, model_name: str
) -> None:
    log = RedisLog(redis_client, model_name)
    log.create()
    for i in range(30):
        event = Event(f"e-{i}", {"a": i % 7 - 3.0}, "yes" if i % 7 > 3 else "no", source="rest:test")
        log.append(Append(encode(event), event.id, event.source))
    (trainer.root / "etc/odl").mkdir(exist_ok=True)
    (trainer.root / "etc/odl/model.toml").write_text(MODEL.format(name=model_name))
    settings = {"ODL_MODEL": "/etc/odl/model.toml", "ODL_REDIS": valkey_url}
    assert json.loads(trainer.output("archive", "--json", **settings))["end"] == 30
    with trainer.running("drift", "--watch", **settings) as process:
        deadline = time.monotonic() + DRIFT_S_MAX
        while RedisDrifts(redis_client, model_name).load().seen < 30:
            assert process.poll() is None, "the watcher ended"
            assert time.monotonic() < deadline, "the watcher read nothing"
            time.sleep(0.2)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


def test_archives_and_drift_detectors_have_their_packages(trainer: Container) -> None:
    assert (
        trainer.output("import pyarrow.parquet, s3fs, river.drift; print('there')", entrypoint=PYTHON)
        == "there"
    )


def test_it_says_what_it_is_and_is_nobody(trainer: Container) -> None:
    trainer.check_identity("trainer")


def test_its_bill_of_materials_lists_what_is_in_it(trainer: Container) -> None:
    trainer.check_sbom("trainer")
