"""Numbers as text."""

import pytest

from compress.evaluation.results import GoalRecord, Interval
from compress.report import formatting

NBSP = "\u00a0"
MINUS = "\u2212"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (formatting.thousands(498213), "498,213"),
        (formatting.short_name("squeezenet1_1"), "squeezenet1_1"),
        (formatting.short_name('birds.networks:resnet18 {"args":{"classes":10}}'), "resnet18"),
        (formatting.network_title("squeezenet1_1"), "SqueezeNet v1.1"),
        (
            formatting.network_title('compress.networks.inverted_residual:inverted_residual_network {"args":{}}'),
            "Inverted residual network",
        ),
        (formatting.network_title("birds.networks:resnet18"), "resnet18"),
        (formatting.network_title(f"birds:{'resnet' * 25}"), "resnetresnetresnetr\u2026etresnetresnetresnet"),
        (formatting.short_path("photos/test/tabby/1.jpg"), "tabby/1.jpg"),
        (formatting.short_path("1.jpg"), "1.jpg"),
        (formatting.kilobytes(999), "999 B"),
        (formatting.kilobytes(498_213), "498.2 kB"),
        (formatting.kilobytes(4_941_984), "4,942.0 kB"),
        (formatting.megabytes(812_000_000), "812 MB"),
        (formatting.percent(0.551), "55.1%"),
        (formatting.percent(1.0), "100.0%"),
        (formatting.percent(0.9999), "99.99%"),
        (formatting.percent(0.0001), "0.01%"),
        (formatting.points(-0.015), f"{MINUS}1.5 points"),
        (formatting.points(0.002), "+0.2 points"),
        (formatting.points(-0.0001), "0.0 points"),
        (formatting.nats(0.0), "0"),
        (formatting.nats(0.03124), "0.0312"),
        (formatting.nats(-0.03124), f"{MINUS}0.0312"),
        (formatting.measured_nats(0.2), "0.200"),
        (formatting.measured_nats(0.0), "0"),
        (formatting.measured_nats(1.06e-05), "0.0000106"),
        (formatting.measured_nats(1e-9), "1.00e-09"),
        (formatting.nats(1e-05), "0.00001"),
        (formatting.aligned_nats(7.84e-06, 0.00632), "0.00001"),
        (formatting.aligned_nats(0.00632, 0.00632), "0.00632"),
        (formatting.aligned_nats(0.0, 0.00632), "0"),
        (formatting.aligned_nats(1234.5, 1234.5), "1,234"),
        (formatting.aligned_nats(0.0, 0.0), "0"),
        (formatting.abbreviate_path("features.12", 11), "features.12"),
        (formatting.abbreviate_path("features.12", 8), "f.12"),
        (formatting.abbreviate_path("blocks.5.conv.bottleneck", 19), "b.5.conv.bottleneck"),
        (formatting.abbreviate_path("blocks.5.conv.bottleneck", 10), "b.5.…eneck"),
        (formatting.abbreviate_path("expand1x1", 7), "exp…1x1"),
        (formatting.abbreviate_path("encoder.stages.0.layers.12.layer.1.convolution"), "e.s.0.l.12.l.1.conv…tion"),
        (formatting.abbreviate_path("resnet.\u200b.convolution"), "resnet.\ufffd.convolution"),
        (formatting.signed_nats(-0.021), f"{MINUS}0.0210"),
        (formatting.breakable("stages.row_block<"), "stages.<wbr>row_<wbr>block&lt;"),
        (formatting.times(9.94), "9.9"),
        (formatting.times(481.9), "482"),
        (formatting.seconds(0.214), "0.21 s"),
        (formatting.seconds(59.96), "60.0 s"),
        (formatting.seconds(312), "5 min 12 s"),
        (formatting.percent_interval(Interval(0.5, 0.45, 0.552)), "45.0 to 55.2"),
        (formatting.nats_interval(Interval(0.01, -0.02, 0.04)), "0 to 0.0400"),
        (formatting.nats_interval(Interval(0.0, 0.0, 0.0)), "0"),
        (formatting.plural(1, "photo"), "1 photo"),
        (formatting.plural(1000, "photo"), "1,000 photos"),
        (formatting.abbreviate("features.3", 10), "features.3"),
        (formatting.abbreviate("features.12.expand3x3", 11), "featu\u2026nd3x3"),
    ],
)
def test_a_number_as_text(text, expected):
    assert text.replace(NBSP, " ") == expected


@pytest.mark.parametrize(
    ("goal", "expected"),
    [
        (GoalRecord("bytes", "bytes", "at most", 500_000, 498_213, True), "1,787 bytes to spare"),
        (GoalRecord("bytes", "bytes", "at most", 500_000, 512_345, False), "missed by 12,345 bytes"),
        (GoalRecord("top-1 drop", "points", "at most", 0.03, 0.034, False), "missed by 0.4 points"),
        (GoalRecord("top-1 drop", "points", "at most", 0.01, 0.81 - 0.8, True), "0.0 points to spare"),
        (GoalRecord("agreement", "fraction", "at least", 0.9, 0.918, True), "1.8 points to spare"),
        (GoalRecord("divergence", "nats", "at most", 0.05, 0.04, True), "0.01 nats to spare"),
    ],
)
def test_the_margin_of_a_goal(goal, expected):
    assert formatting.goal_margin(goal).replace(NBSP, " ") == expected
