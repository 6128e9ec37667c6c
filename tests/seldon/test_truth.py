"""Labels and event ids out of Seldon's feedback."""

import pytest

from odl.errors import InvalidEvent
from seldon.message import Feedback, decode_feedback
from seldon.truth import read_id, read_truth


def feedback(truth: str, *, request: str = "", response: str = "") -> Feedback:
    meta = [f'"meta":{{"puid":"{puid}"}}' if puid else '"meta":{}' for puid in (request, response)]
    text = f'{{"request":{{"jsonData":{{"a":1}},{meta[0]}}},"response":{{{meta[1]}}},"truth":{truth}}}'
    return decode_feedback(text.encode())


@pytest.mark.parametrize(
    ("truth", "labels"),
    [
        ('{"data":{"ndarray":["late"]}}', ["late"]),
        ('{"data":{"ndarray":[["late"]]}}', ["late"]),
        ('{"data":{"ndarray":[["late"],["on time"]]}}', ["late", "on time"]),
        ('{"data":{"tensor":{"shape":[1],"values":[2.5]}}}', [2.5]),
        ('{"data":{"tensor":{"shape":[2,1],"values":[1,0]}}}', [1, 0]),
        ('{"strData":"late"}', ["late"]),
        ('{"jsonData":"late"}', ["late"]),
        ('{"jsonData":["late","on time"]}', ["late", "on time"]),
        ('{"jsonData":3}', [3]),
        ('{"jsonData":true}', [True]),
        ('{"data":{"names":["y"],"ndarray":[[1.0]]}}', [1]),
    ],
)
def test_the_label_reads_the_same_from_every_form(truth: str, labels: list[object]) -> None:
    assert read_truth(feedback(truth)) == labels


def test_a_whole_number_is_the_same_label_however_it_was_sent() -> None:
    label = read_truth(feedback('{"data":{"tensor":{"shape":[1,1],"values":[1.0]}}}'))[0]
    assert isinstance(label, int)


@pytest.mark.parametrize(
    ("truth", "reason"),
    [
        ("{}", "NO_TRUTH"),
        ('{"data":{"ndarray":[]}}', "NO_TRUTH"),
        ('{"jsonData":[]}', "NO_TRUTH"),
        ('{"jsonData":null}', "MALFORMED"),
        ('{"jsonData":{"late":1}}', "MALFORMED"),
        ('{"data":{"ndarray":[["late","on time"]]}}', "BAD_TRUTH"),
        ('{"data":{"tensor":{"shape":[3],"values":[1]}}}', "BAD_SHAPE"),
        ('{"data":{"tensor":{"shape":[1,2],"values":[0,1]}}}', "BAD_TRUTH"),
        ('{"strData":"late","jsonData":"late"}', "MALFORMED"),
        ('{"data":{}}', "MALFORMED"),
    ],
)
def test_a_truth_that_is_no_label_is_refused(truth: str, reason: str) -> None:
    with pytest.raises(InvalidEvent) as caught:
        read_truth(feedback(truth))
    assert caught.value.reason == reason


def test_a_reward_alone_teaches_nothing() -> None:
    with pytest.raises(InvalidEvent, match="a reward alone teaches nothing"):
        read_truth(decode_feedback(b'{"request":{"jsonData":{"a":1}},"reward":1}'))


@pytest.mark.parametrize(
    ("request_puid", "response_puid", "key"),
    [("p", "", ""), ("", "p", ""), ("", "", "p"), ("p", "p", "p")],
)
def test_the_id_comes_from_request_response_or_header(
    request_puid: str, response_puid: str, key: str
) -> None:
    sent = feedback('{"strData":"late"}', request=request_puid, response=response_puid)
    assert read_id(sent, key) == "p"


def test_a_missing_id_is_refused() -> None:
    with pytest.raises(InvalidEvent) as caught:
        read_id(feedback('{"strData":"late"}'), "")
    assert caught.value.reason == "NO_ID"


@pytest.mark.parametrize(("response_puid", "key"), [("q", ""), ("", "q")])
def test_conflicting_ids_are_refused(response_puid: str, key: str) -> None:
    with pytest.raises(InvalidEvent) as caught:
        read_id(feedback('{"strData":"late"}', request="p", response=response_puid), key)
    assert caught.value.reason == "CONFLICTING_IDS"


def test_a_header_that_is_too_long_is_refused() -> None:
    with pytest.raises(InvalidEvent) as caught:
        read_id(feedback('{"strData":"late"}'), "k" * 201)
    assert caught.value.reason == "BAD_ID"
