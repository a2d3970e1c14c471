"""Reads the metrics of every process, all at once, and keeps those that are shown."""

import http.client
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from prometheus_client.parser import text_string_to_metric_families

PATIENCE: Final = timedelta(seconds=1)
"""A process that does not answer within this time is shown with that as its trouble."""
SUBMISSIONS: Final = "darkroom_submissions_total"
IMAGES: Final = "darkroom_images_total"
BATCH_SUM: Final = "darkroom_batch_size_sum"
BATCH_COUNT: Final = "darkroom_batch_size_count"
QUEUE_VISIBLE: Final = "darkroom_queue_visible"
LANE_ENTRIES: Final = "darkroom_lane_entries"
LANE_AGE: Final = "darkroom_lane_oldest_age_seconds"
WORKERS: Final = "darkroom_workers"
UNRECORDED: Final = "darkroom_finished_entries"
RECORDER_LAG: Final = "darkroom_recorder_lag_seconds"
REDIS_USED: Final = "darkroom_redis_memory_used_bytes"
REDIS_LIMIT: Final = "darkroom_redis_memory_limit_bytes"
SHADOW_WAITING: Final = "darkroom_shadow_lane_entries"
SHADOW_RECORDED: Final = "darkroom_shadow_predictions_total"
SHADOW_SKIPPED: Final = "darkroom_shadow_skipped_total"
SHOWN: Final = (
    SUBMISSIONS, IMAGES, BATCH_SUM, BATCH_COUNT, QUEUE_VISIBLE, LANE_ENTRIES, LANE_AGE, WORKERS, UNRECORDED,
    RECORDER_LAG, REDIS_USED, REDIS_LIMIT, SHADOW_WAITING, SHADOW_RECORDED, SHADOW_SKIPPED,
)  # fmt: skip


class Series(NamedTuple):
    """A metric's name, and its labels sorted by name."""

    name: str
    labels: tuple[tuple[str, str], ...] = ()

    @property
    def by(self) -> dict[str, str]:
        """The labels."""
        return dict(self.labels)


@dataclass(frozen=True, slots=True)
class Scrape:
    """The metrics of one process; where it did not answer, none, and why."""

    values: Mapping[Series, float] = field(default_factory=dict)
    trouble: str = ""


def parse_metrics(text: str) -> dict[Series, float]:
    """Parse those metrics of a process that are shown; raises ValueError where the text is not Prometheus' format."""
    # Parsing everything, with the histograms of every route, would take fifty times as long.
    lines = "".join(f"{line}\n" for line in text.splitlines() if line.startswith(SHOWN))
    return {
        Series(sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(lines)
        for sample in family.samples
    }


def scrape(url: str, *, patience: timedelta) -> Scrape:
    """Read the metrics of a process on this machine; never raises, and takes about `patience` at most."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=patience.total_seconds())
    try:
        connection.request("GET", parts.path)
        answer = connection.getresponse()
        text = answer.read().decode()
        if answer.status != http.client.OK:
            return Scrape(trouble=f"answers {answer.status}")
        return Scrape(parse_metrics(text))
    except TimeoutError:
        return Scrape(trouble=f"no answer within {patience.total_seconds():g} s")
    except (OSError, http.client.HTTPException) as error:
        return Scrape(trouble=f"no answer ({type(error).__name__})")
    except ValueError:
        return Scrape(trouble="answers something else")
    finally:
        connection.close()


def scrape_all(urls: Mapping[str, str], *, patience: timedelta = PATIENCE) -> dict[str, Scrape]:
    """Read the metrics of several processes in parallel, by the names given."""
    if not urls:
        return {}
    with ThreadPoolExecutor(len(urls)) as pool:
        return dict(zip(urls, pool.map(lambda url: scrape(url, patience=patience), urls.values()), strict=True))
