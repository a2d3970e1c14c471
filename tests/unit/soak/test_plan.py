"""A run can be played again: its faults come from the seed alone."""

from tests.soak.plan import QUIET_AT_THE_END, Kind, make_plan


def test_the_same_seed_makes_the_same_faults() -> None:
    plans = [make_plan(seed=seed, seconds=300, mean_gap=3, can_fill=True) for seed in (5, 5, 6)]
    assert plans[0] == plans[1] != plans[2]


def test_without_a_disk_of_its_own_only_the_full_disk_is_left_out() -> None:
    whole = make_plan(seed=5, seconds=600, mean_gap=3, can_fill=True)
    without = make_plan(seed=5, seconds=600, mean_gap=3, can_fill=False)
    assert Kind.FILL in {fault.kind for fault in whole}
    assert without == [fault for fault in whole if fault.kind is not Kind.FILL]


def test_a_long_run_has_every_kind_of_fault_in_order_and_a_quiet_end() -> None:
    plan = make_plan(seed=1, seconds=600, mean_gap=3, can_fill=True)
    assert {fault.kind for fault in plan} == set(Kind)
    assert [fault.at for fault in plan] == sorted(fault.at for fault in plan)
    assert plan[-1].at < 600 - QUIET_AT_THE_END
