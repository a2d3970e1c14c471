import orjson

from shared.domain.identifiers import Digest, ModelName, PredictionId, VersionKey, VersionNumber
from shared.domain.job_request import JobRequest, RequestImage
from shared.domain.webhooks import SENT_UNASKED, Event, Webhook

WHOLE = JobRequest(
    model=ModelName("digits"),
    version=VersionNumber("3"),
    version_key=VersionKey("run-1"),
    variant="champion",
    image=RequestImage(Digest("ab" * 32), "PNG", 8, 8, 70, "7.png"),
    metadata={"ward": 3},
    base_url="http://host",
    webhook=Webhook(url="https://host/hook", events=frozenset({Event.COMPLETED})),
    custom_id="one",
    request_id="r-1",
    retry_of=PredictionId("p-1"),
    trace="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01 vendor=1",
)


def test_a_request_is_read_as_it_was_written() -> None:
    assert JobRequest.read(orjson.loads(orjson.dumps(WHOLE.members()))) == WHOLE


def test_the_members_stand_in_the_order_that_is_stored() -> None:
    assert tuple(WHOLE.members()) == JobRequest._fields
    assert tuple(WHOLE.image.members()) == RequestImage._fields


def test_a_trace_is_written_where_there_is_one_and_with_the_webhook_that_carries_it_on() -> None:
    assert "trace" not in WHOLE._replace(trace=None).members()
    assert WHOLE.members()["webhook"]["trace"] == WHOLE.trace
    assert WHOLE._replace(trace=None).members()["webhook"] == WHOLE.webhook.as_json() if WHOLE.webhook else None


def test_a_request_with_missing_or_unknown_members_is_read() -> None:
    read = JobRequest.read({"model": "digits", "image": {"sha256": None}, "colour": "red"})
    assert (read.model, read.version, read.metadata, read.webhook, read.request_id) == ("digits", "", {}, None, None)
    assert read.image == RequestImage()


def test_a_webhook_stored_without_events_receives_all_events() -> None:
    assert JobRequest.read({"webhook": {"url": "https://host"}}).webhook == Webhook("https://host", SENT_UNASKED)
