"""`darkroom models compare` on a database of a few rows."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from api.schemas import ModelReport
from cli.models.compare import compare
from cli.terminal.refused import Refused
from shared.domain.identifiers import PredictionId
from shared.domain.timestamps import instant, now_us
from shared.storage.recording import record
from shared.storage.shadow_predictions import ShadowPrediction, store_shadow_predictions

Make = Callable[..., dict[bytes, bytes]]


@pytest.fixture
def recorded(
    engine: Engine, database_url: str, finished_record: Make, monkeypatch: pytest.MonkeyPatch
) -> list[PredictionId]:
    """Seven 7s: version 3 takes each for a 1, version 4 as its shadow sees them."""
    monkeypatch.setenv("DARKROOM_DATABASE_URL", database_url)
    ids = []
    with engine.connect() as connection:
        for number in range(7):
            request = {"image": {"sha256": f"{number:064x}"}}
            one = finished_record(request=request, output={"predicted_class": "1"})
            record(connection, [one])
            ids.append(PredictionId(one[b"id"].decode()))
        record(connection, [finished_record(state="failed", code="undecodable_image", output={})])
        shadows = [
            ShadowPrediction(
                prediction_id=id,
                version="4",
                version_key="4-m-1",
                status="succeeded",
                output={"predicted_class": "7", "confidence": 0.9},
                agrees=False,
                predict_ms=3.0,
                created_at=instant(now_us()),
            )
            for id in ids
        ]
        store_shadow_predictions(connection, shadows)
        insert = "INSERT INTO feedback (id, prediction_id, owner, label) SELECT darkroom_uuid7(), id, owner, '7' FROM"
        connection.execute(text(f"{insert} predictions WHERE status = 'succeeded'"))
        connection.commit()
    return ids


def test_versions_are_compared_in_a_table_and_a_sentence(
    recorded: list[PredictionId], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    compare(tmp_path, "digits", ["3", "4"], since="1d", as_json=False)
    printed = capsys.readouterr().out
    lines = printed.splitlines()
    assert lines[0].startswith("digits since ")
    assert lines[3].split()[:4] == ["3", "champion", "8", "12.50%"]
    assert lines[4].split()[:4] == ["4", "shadow", "7", "0.00%"]
    assert lines[3].endswith("0.0% (0.0% to 35.4%, 7 labelled)")
    assert lines[4].endswith("100.0% (64.6% to 100.0%, 7 labelled)")
    assert "  3 champion: errors undecodable_image 1" in lines
    assert "  3 champion: classes 1 100.0%" in lines
    assert "  3 champion: drift from the first week 0.000: stable" in lines
    assert "  3 champion: total from 10 to 25 ms in one bin [█]" in lines
    assert "  4 shadow: predict from 2.5 to 5 ms in one bin [█]" in lines
    assert "  4 shadow: confidence from 0 to 1 in 20 bins [                  █ ]" in lines
    assert f"agrees in 0 of 7 (0.0%, 0.0% to 35.4%); differs in {recorded[-1]}" in printed
    assert lines[-1] == (
        "Version 4 is better: of 7 labelled images that both saw, only version 3 is right on 0, only version 4 on 7, "
        "which is hardly chance (p = 0.016)."
    )


@pytest.mark.usefixtures("recorded")
def test_programs_get_the_object_of_the_http_api(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    compare(tmp_path, "digits", [], since="1h", as_json=True)
    printed = json.loads(capsys.readouterr().out)
    ModelReport.model_validate(printed)
    # 2 / 2⁷, exactly.
    assert printed["comparisons"][0]["p"] == 0.01562


@pytest.mark.usefixtures("recorded")
def test_a_version_without_predictions_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    compare(tmp_path, "digits", ["3", "8", "9"], since="1h", as_json=False)
    said = capsys.readouterr().out.splitlines()
    assert said[-1] == "No prediction of versions 8, 9 of digits was submitted in the last 1h."


@pytest.mark.usefixtures("recorded")
@pytest.mark.parametrize(
    ("name", "since", "said"),
    [
        ("cats", "1d", "No prediction of version 3 of cats was submitted in the last 1d."),
        ("digits", "soon", "--since must be a number above 0 and one of s, m, h, d, w"),
    ],
)
def test_what_can_not_be_compared_is_said(tmp_path: Path, name: str, since: str, said: str) -> None:
    with pytest.raises(Refused, match=said):
        compare(tmp_path, name, ["3"], since=since, as_json=False)


def test_a_postgres_that_is_away_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DARKROOM_DATABASE_URL", "postgresql://127.0.0.1:1/none")
    with pytest.raises(Refused, match="Postgres can't be read"):
        compare(tmp_path, "digits", [], since="1d", as_json=False)
