from __future__ import annotations

import pytest
from tiny_model import WEIGHTS

from compress.errors import ConfigError
from compress.passes.layer_patterns import options_by_layer


def test_weights_without_a_pattern_take_the_default_and_biases_have_no_options(tiny):
    assert options_by_layer(tiny, "default", {}) == dict.fromkeys(WEIGHTS, "default")


def test_a_kernel_size_matches_all_layers_with_it(tiny):
    assert list(options_by_layer(tiny, None, {"3x3": "a", "1x1": "b"}).values()) == ["a", "a", "b"]


def test_names_may_contain_wildcards(squeezenet):
    options = options_by_layer(squeezenet, None, {"features.*.squeeze.weight": "squeeze", "features.?.expand*": "near"})
    assert {name for name, option in options.items() if option == "squeeze"} == {
        f"features.{i}.squeeze.weight" for i in (3, 4, 6, 7, 9, 10, 11, 12)
    }
    assert sum(option == "near" for option in options.values()) == 2 * 5


def test_the_last_matching_pattern_decides(tiny):
    assert options_by_layer(tiny, None, {"*": "all", "2.weight": "this"})["2.weight"] == "this"
    assert options_by_layer(tiny, None, {"2.weight": "this", "*": "all"})["2.weight"] == "all"
    assert options_by_layer(tiny, None, {"2.weight": "this", "3x3": "size"})["2.weight"] == "size"


def test_a_pattern_without_a_match_is_an_error_with_the_nearest_name(squeezenet):
    with pytest.raises(ConfigError) as caught:
        options_by_layer(squeezenet, None, {"features.3.sqeeze.weight": 1})
    assert "did you mean 'features.3.squeeze.weight'?" in str(caught.value)
    assert caught.value.key == "layers.features.3.sqeeze.weight"


@pytest.mark.parametrize("pattern", ["5x5", "4.bias", "*.bias", ""])
def test_unknown_kernel_sizes_and_biases_match_nothing(tiny, pattern):
    with pytest.raises(ConfigError, match="no weight tensor"):
        options_by_layer(tiny, None, {pattern: 1})
