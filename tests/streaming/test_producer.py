"""Nobody is told that Kafka has an event before it does."""

import contextlib
import logging
import threading

import pytest

from odl.errors import Misconfigured, Unavailable
from odl.event import Event
from odl.feedback import Receipt
from odl.log import Outcome
from streaming.delivery import Delivery
from streaming.producer import DURABILITY, FeedbackProducer, KafkaSink

PATIENT_S = 60.0  # of producers in tests that are not about time
EVENT = Event(id="f-1", x={"a": 1}, y="a", source="rest:shop")


def repeated(sink, event):
    """What a sender does: repeat until there is a receipt."""

    def attempt():
        with contextlib.suppress(Unavailable):
            return sink.submit(event)

    return attempt


def test_a_receipt_means_that_kafka_has_the_event(stream):
    with FeedbackProducer(stream.broker.bootstrap, stream.topic, timeout_s=PATIENT_S) as producer:
        receipt = KafkaSink(producer).submit(EVENT)
    assert receipt == Receipt(Outcome.ACCEPTED, None, DURABILITY)
    stream.start()
    stream.wait_for_version(1)
    assert stream.log.events() == [EVENT], "the event keeps the client that it came from"


def test_an_event_sent_twice_is_learned_once(stream, wait_until):
    with FeedbackProducer(stream.broker.bootstrap, stream.topic, timeout_s=PATIENT_S) as producer:
        for _ in range(2):
            KafkaSink(producer).submit(EVENT)
    running = stream.start()
    wait_until(lambda: running.consumer.stats().duplicates == 1, "the duplicate")
    assert stream.log.head().version == 1


def test_many_senders_share_a_producer(new_stream):
    stream = new_stream(3)
    with FeedbackProducer(stream.broker.bootstrap, stream.topic, timeout_s=PATIENT_S) as producer:
        sink = KafkaSink(producer)

        def send(sender):
            for number in range(20):
                sink.submit(Event(id=f"{sender}-{number}", x={}, y="a"))

        threads = [threading.Thread(target=send, args=(sender,)) for sender in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    stream.start()
    stream.wait_for_version(160)
    assert len(set(stream.log.ids())) == 160


def test_events_of_one_id_go_to_one_partition(new_stream):
    stream = new_stream(4)
    with FeedbackProducer(stream.broker.bootstrap, stream.topic, timeout_s=PATIENT_S) as producer:
        places = [producer.send(EVENT).result() for _ in range(10)]
    assert len({place.partition for place in places}) == 1
    assert [place.offset for place in places] == list(range(10))


def test_without_kafka_there_is_no_receipt_and_no_late_delivery(stream, wait_until):
    with FeedbackProducer(stream.broker.bootstrap, stream.topic, timeout_s=1.0) as producer:
        sink = KafkaSink(producer)
        wait_until(repeated(sink, EVENT), "the first event is delivered")
        stream.broker.set_down()
        lost = Event(id="lost", x={}, y="a")
        with pytest.raises(Unavailable, match=f"topic '{stream.topic}'") as refused:
            sink.submit(lost)
        assert refused.value.retry_after_s >= 1
        stream.broker.set_up()
        wait_until(repeated(sink, Event(id="f-2", x={}, y="a")), "Kafka is back")
    stream.start()
    stream.wait_for_version(2)
    assert stream.log.ids() == ["f-1", "f-2"]


def test_what_is_not_delivered_at_closing_has_failed(stream):
    producer = FeedbackProducer(stream.broker.bootstrap, stream.topic, timeout_s=PATIENT_S)
    stream.broker.set_down()
    future = producer.send(EVENT)
    producer.close()
    with pytest.raises(Unavailable):
        future.result(timeout=30)
    with pytest.raises(Unavailable, match="closed"):
        producer.send(EVENT)
    producer.close()


@pytest.mark.needs("chosen errors")
def test_a_producer_that_failed_for_good_is_replaced(stream, caplog, wait_until):
    with FeedbackProducer(stream.broker.bootstrap, stream.topic, timeout_s=PATIENT_S) as producer:
        sink = KafkaSink(producer)
        sink.submit(EVENT)
        stream.broker.fail(api_key=0, errors=[45])  # Produce: OUT_OF_ORDER_SEQUENCE_NUMBER, which is fatal
        with caplog.at_level(logging.ERROR), pytest.raises(Unavailable):
            sink.submit(Event(id="f-2", x={}, y="a"))
        wait_until(repeated(sink, Event(id="f-2", x={}, y="a")), "the new producer delivers")
    assert "the producer failed for good and is replaced" in caplog.text
    stream.start()
    stream.wait_for_version(2)
    assert stream.log.ids() == ["f-1", "f-2"]


def test_settings_that_kafka_refuses_are_named():
    with pytest.raises(Misconfigured, match=r"no\.such\.setting"):
        Delivery("127.0.0.1:1", "t", timeout_s=1.0, options={"no.such.setting": 1})
