"""Which URLs and events are accepted, and when a delivery is tried again."""

from datetime import timedelta
from itertools import pairwise

import pytest

from shared.domain.webhooks import LONGEST_URL, Event, Webhook, check_webhook_url, pause_after, read_events
from shared.settings import Webhooks

GOOD = [
    "https://example.com",
    "https://example.com:8443/hook?token=a%20b#part",
    "http://10.0.0.1/hook",
    "http://[2001:db8::1]:80/",
    "HTTPS://Example.COM/Hook",
    "https://example.com/@team",
]
BAD = [
    ("ftp://example.com", "https:// or http://"),
    ("example.com/hook", "https:// or http://"),
    ("//example.com", "https:// or http://"),
    ("javascript:alert(1)", "https:// or http://"),
    ("https://", "no host"),
    ("https:///hook", "no host"),
    ("https://:443/", "no host"),
    ("https://user:word@example.com/", "password"),
    ("https://user@example.com/", "password"),
    ("https://example.com@10.0.0.1/", "password"),
    ("https://example.com:99999/", "can't be read"),
    ("https://example.com:0/", "no host"),
    ("https://example.com:port/", "can't be read"),
    ("https://[::1/", "can't be read"),
    ("https://example.com/a b", "percent-encode"),
    ("https://example.com/\r\nHost: a", "percent-encode"),
    ("https://example.com\\@10.0.0.1/", "percent-encode"),
    ("https://exämple.com/", "percent-encode"),
    ("https://example.com/\0", "percent-encode"),
    ("https://example.com/" + "a" * LONGEST_URL, "characters"),
]


@pytest.mark.parametrize("url", GOOD)
def test_http_urls_are_accepted(url: str) -> None:
    check_webhook_url(url)


@pytest.mark.parametrize(("url", "words"), BAD)
def test_other_urls_are_refused_with_the_reason(url: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        check_webhook_url(url)


def test_an_event_filter_may_name_events_that_never_fire() -> None:
    url = "https://example.com"
    assert read_events([]) == frozenset({Event.START, Event.COMPLETED})
    assert read_events(["completed", "logs", "completed"]) == frozenset({Event.COMPLETED})
    assert Webhook(url, read_events(["output"])).as_json() == {"url": url, "events": []}
    with pytest.raises(
        ValueError, match="'end' is not an event; the events are start, completed, feedback, logs, output"
    ):
        read_events(["end"])


PAUSES = Webhooks().pauses


def test_pauses_between_attempts_grow_and_end_after_a_day() -> None:
    pauses = [pause_after(attempts, pauses=PAUSES, chance=0.5) for attempts in range(1, len(PAUSES) + 2)]
    assert pauses[:-1] == list(PAUSES)
    assert pauses[-1] is None
    assert timedelta(hours=23) < sum(PAUSES, timedelta(0)) < timedelta(hours=25)
    assert all(later > earlier for earlier, later in pairwise(PAUSES))


def test_a_pause_is_jittered_and_no_shorter_than_retry_after() -> None:
    asked = timedelta(minutes=3)
    assert pause_after(1, pauses=PAUSES, chance=0.0) == timedelta(seconds=4)
    assert pause_after(1, pauses=PAUSES, chance=1.0) == timedelta(seconds=6)
    assert pause_after(1, pauses=PAUSES, chance=0.5, retry_after=asked) == asked
    assert pause_after(4, pauses=PAUSES, chance=0.5, retry_after=asked) == PAUSES[3]
    assert pause_after(len(PAUSES) + 1, pauses=PAUSES, chance=0.5, retry_after=asked) is None
