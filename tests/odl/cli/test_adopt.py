"""A log serves one fold: `odl serve` refuses another, `odl adopt` hands the log over."""

from pathlib import Path

import pytest
import redis

from odl.cli import main
from odl.redis_log import RedisLog

MODEL = '[model]\ntask = "binary"\nclasses = ["stays", "leaves"]\nhidden_layers = 1\nwidth = 4\n'


def test_serve_refuses_the_log_of_another_fold_until_it_is_handed_over(
    redis_client: redis.Redis,
    valkey_url: str,
    model_name: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    log = RedisLog(redis_client, model_name)
    log.create()
    log.claim("0123-k1")
    model = tmp_path / "model.toml"
    model.write_text(f'name = "{model_name}"\n{MODEL}[log]\nrequire_fsync_always = false\n')
    where = ["--model", str(model), "--redis", valkey_url]
    assert main(["serve", *where, "--port", "0"]) == 2
    error = capsys.readouterr().err
    assert f"odl serve: the log of '{model_name}' belongs to fold 0123-k1, this model file" in error
    assert "odl adopt" in error
    assert main(["adopt", *where]) == 0
    adopted = log.head().fold_id
    assert adopted != "0123-k1"
    assert f"went from fold 0123-k1 to {adopted}" in " ".join(capsys.readouterr().out.split())
    assert main(["adopt", *where]) == 0
    assert f"belongs to fold {adopted} already" in " ".join(capsys.readouterr().out.split())
