import threading

import pytest

from compress.runtime.threads import on_all_cores

HEAVY = 1 << 20


@pytest.mark.parametrize("weight", [1, HEAVY])
def test_results_are_in_the_order_of_the_items(weight):
    numbers = list(range(50))
    assert on_all_cores(lambda number: number**2, numbers, [weight * (number % 7) for number in numbers]) == [
        number**2 for number in numbers
    ]
    assert on_all_cores(lambda number: number, [], []) == []


def test_the_error_of_the_first_item_is_raised_after_all_are_done():
    done = []

    def fail_where_odd(number):
        done.append(number)
        if number % 2:
            raise ValueError(number)

    for _ in range(20):
        with pytest.raises(ValueError, match=r"^1$"):
            on_all_cores(fail_where_odd, range(9), [HEAVY] * 9)
    assert sorted(done) == sorted(list(range(9)) * 20)


def test_light_items_stay_in_this_thread():
    threads = on_all_cores(lambda _: threading.get_ident(), range(30), [9] * 30)
    assert set(threads) == {threading.get_ident()}
