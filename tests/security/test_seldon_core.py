"""The model class under seldon-core keeps the scopes for REST, and lets no gRPC call in beside them."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from secured_replica import X

from hedge_model import HedgeLearner, ModelSpec
from odl.feedback import DirectSink
from odl.memory import MemoryLog
from odl.replica import Replica
from seldon.access import token_digest
from seldon.guard import Guard
from seldon.plane import DataPlane
from seldon.service import Service

flask = pytest.importorskip("flask", reason="needs the extra seldon")
from seldon.model import OdlModel, Refused  # noqa: E402


@pytest.fixture
def model(model_file: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OdlModel]:
    """As seldon-core has it after `load`, on a log in memory."""
    tokens = model_file.with_name("tokens")
    tokens.write_text(f"predict {token_digest('p')}\nfeedback {token_digest('f')} shop\n")
    monkeypatch.setenv("ODL_TOKENS", str(tokens))
    model = OdlModel(model=str(model_file), redis="redis://127.0.0.1:1")
    spec, log = ModelSpec(task="binary", classes=("on time", "late"), hidden_layers=1, width=16), MemoryLog()
    log.create()
    with Replica(lambda: HedgeLearner(spec), HedgeLearner.from_bytes, log, replica_id="guarded") as replica:
        plane = DataPlane(replica, DirectSink(log, "memory"))
        model._service = Service(
            "guarded", replica, plane, ExitStack(), task="binary", guard=Guard(model._access)
        )
        yield model


def ask(call: Any, message: Any, token: str) -> Any:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    with flask.Flask("test").test_request_context(headers=headers):
        return call(message)


def test_by_rest_a_token_opens_its_scope(model: OdlModel) -> None:
    assert "jsonData" in ask(model.predict_raw, {"jsonData": X}, "p")
    for token, status in (("", 401), ("x", 401), ("f", 403)):
        with pytest.raises(Refused) as caught:
            ask(model.predict_raw, {"jsonData": X}, token)
        assert caught.value.failure.status == status


def test_by_grpc_nobody_can_show_a_token_so_nobody_gets_in(model: OdlModel) -> None:
    answer = model.predict_raw({"jsonData": X})
    assert answer["status"]["reason"] == "UNAUTHORIZED"
