from modelpool_local.backoff import BackOff, BackOffPolicy

POLICY = BackOffPolicy(first=0.5, factor=2, longest=4, healthy_after=30)


def test_each_crash_doubles_the_delay_up_to_the_longest() -> None:
    back_off = BackOff(POLICY)
    assert [back_off.crashed(lived=1) for _ in range(6)] == [0.5, 1, 2, 4, 4, 4]


def test_a_process_that_lived_long_enough_starts_again_at_the_first_delay() -> None:
    back_off = BackOff(POLICY)
    for _ in range(4):
        back_off.crashed(lived=1)
    assert back_off.crashed(lived=30) == 0.5
    assert back_off.crashes == 1


def test_days_of_crashes_do_not_overflow() -> None:
    back_off = BackOff(POLICY)
    assert {back_off.crashed(lived=0) for _ in range(5000)} == {0.5, 1, 2, 4}
