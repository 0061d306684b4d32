import threading

import pytest

from compress.runtime.threads import map_heaviest_first, map_on_all_cores

HEAVY = 1 << 20


@pytest.mark.parametrize("weight", [1, HEAVY])
def test_results_are_in_item_order(weight):
    numbers = list(range(50))
    assert map_on_all_cores(lambda number: number**2, numbers, [weight * (number % 7) for number in numbers]) == [
        number**2 for number in numbers
    ]
    assert map_on_all_cores(lambda number: number, [], []) == []


def test_the_first_items_error_is_raised_after_all_items_are_done():
    done = []

    def fail_if_odd(number):
        done.append(number)
        if number % 2:
            raise ValueError(number)

    for _ in range(20):
        with pytest.raises(ValueError, match=r"^1$"):
            map_on_all_cores(fail_if_odd, range(9), [HEAVY] * 9)
    assert sorted(done) == sorted(list(range(9)) * 20)


def test_light_items_stay_in_the_calling_thread():
    threads = map_on_all_cores(lambda _: threading.get_ident(), range(30), [9] * 30)
    assert set(threads) == {threading.get_ident()}


def test_the_heaviest_items_are_begun_first():
    begun = []
    map_heaviest_first(begun.append, [0, 1, 2, 3], weights=[3, 1, 4, 2], threads=1)
    assert begun == [2, 0, 3, 1]
