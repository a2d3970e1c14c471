"""What a worker tells of its GPU's memory."""

from worker.models.devices import device_memory


def test_a_gpus_memory_is_told_by_kind() -> None:
    found = device_memory("cuda:0")
    assert 0 <= found["allocated"] <= found["reserved"] <= found["total"] - found["free"]
    assert found["total"] > 1 << 30
