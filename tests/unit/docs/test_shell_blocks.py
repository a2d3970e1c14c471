import pytest

from tests.support.documents import Block, missing, shell_blocks

PAGE = """# Title

```bash
make up
```

It says:

```text
Up after 3 s
```

```text
Not what a command prints.
```

<!-- not run: it takes an hour -->

```bash
make bench
```

```text
fast
```

```python
run()
```

```bash
make down
```

## Next

```text
a picture
```
"""


def test_blocks_run_in_order_each_with_its_expected_output() -> None:
    assert shell_blocks(PAGE) == [Block("make up\n", "Up after 3 s\n"), Block("make down\n", None)]


@pytest.mark.parametrize(
    ("expected", "printed"),
    [
        ("Up after 3 s", "redis ready\nUp after 12.5 s\n"),
        (
            '{"id":"01a2195f-2645-70bf-aa92-55edc55d7d24",…,\n "ok":true}',
            '{"id":"0193d5a2-7b1c-7c3e-9d55-3f6f2a0c9b11","a":1,"ok":true}',
        ),
        ("logs  /home/you/darkroom/.darkroom/logs", "logs /tmp/x-1/.darkroom/logs"),
        ("first\n…\nlast", "first\nsecond\nlast"),
    ],
)  # fmt: skip
def test_ids_paths_and_numbers_may_differ(expected: str, printed: str) -> None:
    assert missing(expected, printed) is None


@pytest.mark.parametrize(
    ("expected", "printed", "piece"),
    [
        ("Up after 3 s", "Down after 3 s", "Up after 3 s"),
        ("one\ntwo", "two\none", "two"),
        ("succeeded  7", "failed  7", "succeeded  7"),
        ("a … b", "a c", " b"),
    ],
)
def test_words_must_agree_and_come_in_this_order(expected: str, printed: str, piece: str) -> None:
    assert missing(expected, printed) == piece
