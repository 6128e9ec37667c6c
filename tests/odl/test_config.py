"""The model file: defaults, and errors that name the key and what was expected."""

from pathlib import Path

import pytest

from odl.config import load_config, parse_config
from odl.errors import Misconfigured

SMALLEST = 'name = "flights"\n[model]\n'


def test_the_smallest_file_has_defaults_for_the_rest():
    config = parse_config(SMALLEST)
    assert (config.name, config.model) == ("flights", {})
    assert (config.serve.policy, config.serve.deadline_s, config.serve.snapshot_every) == (
        "refuse",
        2.0,
        10_000,
    )
    assert config.kafka.topic == "flights-feedback"
    assert config.kafka.dead_letter_topic == "flights-feedback-dead-letters"
    assert config.kafka.group == "odl-flights"


def test_everything_can_be_set(tmp_path: Path):
    path = tmp_path / "model.toml"
    path.write_text(
        'name = "f-2"\n[model]\ntask = "binary"\nclasses = ["on time", "late"]\n'
        '[serve]\npolicy = "stale"\nstale_for_s = 5\n[kafka]\ntopic = "t"\n'
        '[log]\nids_max = 10\nlog_id = "abc"\n'
    )
    config = load_config(path)
    assert config.model == {"task": "binary", "classes": ["on time", "late"]}
    assert (config.serve.policy, config.serve.stale_for_s) == ("stale", 5.0)
    assert (config.kafka.topic, config.kafka.dead_letter_topic) == ("t", "t-dead-letters")
    assert (config.log.ids_max, config.log.log_id) == (10, "abc")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name = ", "not TOML"),
        ("[model]\n", "missing required field `name`"),
        ('name = "flights"\n', "missing required field `model`"),
        ('name = "Flights!"\n[model]\n', "expected a name of a-z, 0-9 and -, received 'Flights!'"),
        ("extra = 1\n" + SMALLEST, "unknown key `extra`; expected some of: name, model, serve, kafka, log"),
        (
            SMALLEST + "[serve]\npolcy = 1\n",
            "unknown key `serve.polcy`; expected some of: policy,",
        ),
        (SMALLEST + '[serve]\npolicy = "hope"\n', "'hope' - at `serve.policy`; expected 'refuse' or 'stale'"),
        (SMALLEST + '[serve]\ndeadline_s = "soon"\n', "Expected `float`, got `str` - at `serve.deadline_s`"),
        (SMALLEST + "[serve]\ndeadline_s = 0\n", "Expected `float` > 0.0 - at `serve.deadline_s`"),
        (SMALLEST + "[log]\nids_max = 0\n", "Expected `int` >= 1 - at `log.ids_max`"),
    ],
)
def test_an_error_names_the_key_and_what_was_expected(text: str, message: str):
    with pytest.raises(Misconfigured) as caught:
        parse_config(text, "model.toml")
    assert str(caught.value).startswith("model.toml: ")
    assert message in str(caught.value)


def test_a_missing_file_is_one_clear_line(tmp_path: Path):
    with pytest.raises(Misconfigured, match="nowhere.toml cannot be read"):
        load_config(tmp_path / "nowhere.toml")
