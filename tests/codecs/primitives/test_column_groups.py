import numpy as np

from compress.codecs.primitives.column_groups import MAX_GROUPS, groupings, groupings_of, has_columns


def spread_columns(rng, columns, rows=200):
    """Symbols of columns with one of two distributions: mostly zero, or evenly spread."""
    is_spread = rng.random(columns) < 0.5
    symbols = np.where(is_spread, rng.integers(0, 16, (rows, columns)), rng.integers(0, 16, (rows, columns)) // 15)
    return symbols.astype(np.uint16), is_spread


def test_columns_with_the_same_distribution_are_in_one_group():
    symbols, is_spread = spread_columns(np.random.default_rng(0), 60)
    grouping = list(groupings(symbols))[1]
    assert len(set(grouping.group[is_spread])) == len(set(grouping.group[~is_spread])) == 1
    assert grouping.group[is_spread][0] != grouping.group[~is_spread][0]


def test_frequencies_of_a_group_are_those_of_its_columns():
    symbols, _ = spread_columns(np.random.default_rng(1), 30)
    for grouping in groupings(symbols):
        assert len(grouping.counts) <= MAX_GROUPS
        for group, counts in enumerate(grouping.counts):
            columns = symbols[:, grouping.group == group] if len(grouping.counts) > 1 else symbols
            np.testing.assert_array_equal(counts, np.bincount(columns.ravel(), minlength=len(counts)))


def test_the_order_of_columns_changes_no_group():
    symbols, _ = spread_columns(np.random.default_rng(2), 40)
    order = np.random.default_rng(3).permutation(40)
    for grouping, permuted in zip(groupings(symbols), groupings(symbols[:, order]), strict=True):
        if len(grouping.counts) > 1:
            same = grouping.group[order][:, None] == grouping.group[order]
            np.testing.assert_array_equal(same, permuted.group[:, None] == permuted.group)


def test_symbols_of_a_kernel_are_of_its_column():
    kernels = np.arange(2 * 3 * 4, dtype=np.uint16).reshape(2, 3, 2, 2) % 3
    by_rows = [grouping.group.tolist() for grouping in groupings(np.moveaxis(kernels, 1, 3).reshape(8, 3))]
    assert [grouping.group.tolist() for grouping in groupings(kernels)] == by_rows


def test_equal_columns_are_not_divided():
    assert [len(grouping.counts) for grouping in groupings_of(np.full((10, 4), 7))] == [1]


def test_no_symbols_are_one_group():
    for shape in [(0,), (0, 3), (3, 0), (2, 0, 3, 3)]:
        (grouping,) = groupings(np.zeros(shape, np.uint16))
        assert grouping.counts.sum() == 0


def test_frequencies_of_many_symbols_in_many_columns_are_not_counted():
    assert not has_columns(columns=1 << 12, symbols=1 << 16, weights=1 << 20)
    assert has_columns(columns=512, symbols=44, weights=512_000)
    symbols = np.full((2, 5000), 65_535, np.uint16)
    assert len(list(groupings(symbols))) == 1
