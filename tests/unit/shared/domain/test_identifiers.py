import uuid

from shared.domain.identifiers import is_uuid, new_uuid7


def test_ids_are_version_7_and_sort_by_time() -> None:
    ids = [new_uuid7(unix_ms=milliseconds) for milliseconds in (1, 2, 1_700_000_000_000, 1_900_000_000_000)]
    assert ids == sorted(ids)
    for id in ids:
        assert uuid.UUID(id).version == 7
        assert uuid.UUID(id).variant == uuid.RFC_4122


def test_ids_of_one_instant_differ() -> None:
    assert len({new_uuid7(unix_ms=5) for _ in range(1000)}) == 1000


def test_only_the_canonical_form_is_an_id() -> None:
    id = new_uuid7()
    assert is_uuid(id)
    assert not is_uuid(id.upper())
    assert not is_uuid(id.replace("-", ""))
    assert not is_uuid("../etc/passwd")
