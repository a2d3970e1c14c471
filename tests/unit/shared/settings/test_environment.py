import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from shared import settings
from shared.queue.connection.clients import connect, connect_async, connect_briefly

ROOT = Path(__file__).parents[4]


@pytest.mark.parametrize("text", ["30", "30s", "30.0", "PT30S", "00:00:30"])
def test_a_duration_is_written_in_seconds_or_longer_forms(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("DARKROOM_QUEUE_LEASE", text)
    assert settings.read(settings.Queue).lease == timedelta(seconds=30)


def test_every_setting_with_two_letters_swapped_is_found_and_no_setting_is_taken_for_one() -> None:
    names = [
        f"{one.model_config.get('env_prefix')}{field}".upper()
        for one in settings.every_class()
        for field in one.model_fields
    ]
    assert len(names) > 100
    assert settings.misspelled(names) == {}
    for name in names:
        wrong = f"{name[:-2]}{name[-1]}{name[-2]}"
        assert wrong in names or wrong == name or settings.misspelled([wrong])[wrong].startswith("DARKROOM_"), name


def test_names_of_compose_and_of_others_are_not_taken_for_misspelled_settings() -> None:
    files = ("docker-compose.yml", "docker-compose.gpu.yml", ".env.example")
    named = {name for file in files for name in re.findall(r"DARKROOM_[A-Z_]+", (ROOT / file).read_text("utf-8"))}
    assert "DARKROOM_DATABASE_PASSWORD" in named
    assert settings.misspelled({*named, "DARKROOM_URL", "DARKROOM_API_KEY", "DARKROOM_CLUSTER", "PATH"}) == {}


def test_an_invalid_setting_stops_the_start_with_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DARKROOM_BATCHING_MAX_BATCH_SIZE", "many")
    with pytest.raises(settings.SettingsError) as caught:
        settings.read(settings.Batching)
    line = str(caught.value)
    assert line.startswith("DARKROOM_BATCHING_MAX_BATCH_SIZE:")
    assert "many" in line
    assert "\n" not in line


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("DARKROOM_WEBHOOKS_ALLOWED_NETWORKS", "10.0.0.0/8", "must be JSON"),
        ("DARKROOM_WEBHOOKS_ALLOWED_NETWORKS", '["10.0.0.0/99"]', "not a valid IPv4 network"),
        ("DARKROOM_WEBHOOKS_LEASE", "15", "longer than DARKROOM_WEBHOOKS_TIMEOUT"),
    ],
)
def test_an_invalid_webhook_setting_is_reported_in_one_line(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, words: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(settings.SettingsError) as caught:
        settings.read(settings.Webhooks)
    assert str(caught.value).startswith(f"{variable}: ")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_empty_retention_means_the_same_as_an_unset_one(monkeypatch: pytest.MonkeyPatch) -> None:
    unset = settings.read(settings.Retention)
    for name in ("PREDICTIONS", "DELIVERIES"):
        monkeypatch.setenv(f"DARKROOM_RETENTION_{name}", "")
    assert settings.read(settings.Retention) == unset
    assert unset.predictions is None
    monkeypatch.setenv("DARKROOM_RETENTION_PREDICTIONS", "P90D")
    assert settings.read(settings.Retention).predictions == timedelta(days=90)


def test_a_retention_under_the_minimum_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DARKROOM_RETENTION_PREDICTIONS", "90")
    with pytest.raises(settings.SettingsError, match=r"DARKROOM_RETENTION_PREDICTIONS: .*a day or more"):
        settings.read(settings.Retention)


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        settings.Queue().max_attempts = 9  # type: ignore[misc]


@pytest.mark.parametrize("url", ["http://me:secret@host/0", "redis://me:secret@host:port/0", "me:secret", ""])
@pytest.mark.parametrize("connecting", [connect, connect_briefly, connect_async])
def test_an_invalid_redis_url_is_reported_in_one_line_without_its_password(
    monkeypatch: pytest.MonkeyPatch, url: str, connecting: Callable[[settings.Redis], object]
) -> None:
    monkeypatch.setenv("DARKROOM_REDIS_URL", url)
    with pytest.raises(settings.SettingsError) as caught:
        connecting(settings.read(settings.Redis))
    line = str(caught.value)
    assert line.startswith("DARKROOM_REDIS_URL")
    assert "secret" not in line
    assert "\n" not in line
