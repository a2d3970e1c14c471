import io
from pathlib import Path

import pytest
from PIL import Image

from cli.demo import trial
from cli.demo.trial import Outcome
from cli.up.guide import curl


def outcome(*, label: str, predicted: str | None, source: str = "model", repeated: bool = False) -> Outcome:
    output = None if predicted is None else {"predicted_class": predicted}
    status = "failed" if predicted is None else "succeeded"
    return Outcome(label, {"status": status, "output": output, "source": source}, 0.01, repeated)


def test_a_stamped_image_is_the_same_picture_in_other_bytes() -> None:
    file = io.BytesIO()
    Image.linear_gradient("L").save(file, "PNG")
    stamped = trial.stamp(file.getvalue(), b"run 1")
    assert stamped != file.getvalue()
    with Image.open(io.BytesIO(stamped)) as image:
        image.load()
        assert image.tobytes() == Image.linear_gradient("L").tobytes()
        assert image.text == {"Comment": "run 1"}  # type: ignore[attr-defined]


def test_accuracy_counts_each_image_once_and_a_failure_as_wrong() -> None:
    outcomes = [
        outcome(label="7", predicted="7"),
        outcome(label="1", predicted="7"),
        outcome(label="2", predicted=None),
        outcome(label="3", predicted="3"),
        outcome(label="7", predicted="7", source="cache", repeated=True),
    ]
    figures = trial.trial_figures(outcomes, seconds=2.0)
    assert figures.accuracy == 0.5
    assert figures.failed == 1
    assert figures.per_second == 2.5
    assert figures.sources == {"model": 4, "cache": 1, "coalesced": 0}


@pytest.mark.parametrize(("percent", "value"), [(50, 50), (99, 99), (100, 100), (1, 1)])
def test_percentiles_are_by_nearest_rank(percent: int, value: int) -> None:
    assert trial.percentile(range(100, 0, -1), percent) == value


def test_percentiles_of_one_value_and_of_none() -> None:
    assert trial.percentile([5.0], 99) == 5.0
    assert trial.percentile([], 50) == 0.0


def test_held_out_images_come_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for name in ("9-0001.png", "0-0003.png", "4-0002.png", "notes.txt"):
        (tmp_path / name).touch()
    assert [path.name for path in trial.held_out_images(tmp_path, count=2)] == ["9-0001.png", "4-0002.png"]


def test_the_curl_command_works_with_any_path() -> None:
    url, image = "http://127.0.0.1:1", Path("/a b/it's/7.png")
    line = curl(url, model="digits", image=image)
    assert line == (
        "curl -s -H 'Prefer: wait' -F model=digits -F 'image=@/a b/it'\"'\"'s/7.png' http://127.0.0.1:1/v1/predictions"
    )
    with_key = curl(url, model="digits", image=image, with_key=True)
    assert with_key == line.replace("-s", '-s -H "Authorization: Bearer $DARKROOM_API_KEY"', 1)
