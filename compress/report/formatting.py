"""Numbers as text: decimal units, thousands separators, few digits."""

from __future__ import annotations

import math

from markupsafe import Markup, escape

from compress.evaluation.results import GoalRecord, GoalUnit, Interval

NARROW = "\u00a0"
"""No-break space between a number and its unit."""

MINUS = "\u2212"

_NETWORKS = {
    "squeezenet1_0": "SqueezeNet v1.0",
    "squeezenet1_1": "SqueezeNet v1.1",
    "inverted_residual_network": "Inverted residual network",
}
"""The package's own networks in words."""

_TITLE_CHARACTERS = 40
"""Longest name of a network in the large type of a heading."""

_GOAL_DIGITS = 9
"""Rounds the error of float subtraction away: limits are compared with a tolerance of 1e-9."""

_SMALL, _PLAIN = 1e-7, 1e-4
"""Python writes numbers below the second with an exponent; from the first on, readers see decimals."""


def thousands(count: float) -> str:
    """Return `498,213`, rounded to an integer."""
    return f"{count:,.0f}".replace("-", MINUS)


def kilobytes(count: float) -> str:
    """Return bytes as `498.2 kB`; below 1,000 as `498 B`."""
    if abs(count) < 1000:
        return f"{thousands(count)}{NARROW}B"
    return f"{count / 1000:,.1f}{NARROW}kB".replace("-", MINUS)


def megabytes(count: float) -> str:
    """Return bytes as `612 MB`."""
    return f"{thousands(count / 1e6)}{NARROW}MB"


def gigabytes(count: float) -> str:
    """Return bytes as `1.2 GB`."""
    return f"{count / 1e9:.1f}{NARROW}GB"


def short_name(network: str) -> str:
    """Return a network's name; of a user's network `a.b:resnet18 {...}`, `resnet18`."""
    return network.partition(" ")[0].rpartition(":")[2]


def network_title(network: str) -> str:
    """Return a network's name for headings: `SqueezeNet v1.1`; of a user's network as `short_name`, abbreviated."""
    name = short_name(network)
    return _NETWORKS.get(name) or abbreviate(name, _TITLE_CHARACTERS)


def breakable(key: str) -> Markup:
    """Return a dotted key that lines may break after a dot or an underscore."""
    return Markup(escape(key)).replace(".", Markup(".<wbr>")).replace("_", Markup("_<wbr>"))


def short_path(path: str) -> str:
    """Return the last folder of a path and the file: `tabby/1.jpg`."""
    return "/".join(path.split("/")[-2:])


def percent(fraction: float) -> str:
    """Return a fraction as `55.1%`; only 0 and 1 become 0.0% and 100.0%."""
    text = f"{fraction * 100:.1f}"
    if text in ("0.0", "100.0") and fraction not in (0, 1):
        text = f"{fraction * 100:.2f}"
    return f"{text}%".replace("-", MINUS)


def signed_hundred(fraction: float) -> str:
    """Return a fraction times 100 as `+0.9`; zero has no sign."""
    tenths = round(fraction * 100, 1) + 0.0
    return f"{tenths:+.1f}".replace("-", MINUS) if tenths else "0.0"


def points(difference: float) -> str:
    """Return a difference of two fractions as `-1.5 points`."""
    return f"{signed_hundred(difference)}{NARROW}points"


def excess(fraction: float) -> str:
    """Return a relative difference as `+0.9%`."""
    return f"{signed_hundred(fraction)}%"


def nats(divergence: float) -> str:
    """Return a limit or a tick with up to three significant digits: `0.03`."""
    if divergence < 0:
        return f"{MINUS}{nats(-divergence)}"
    if _SMALL <= divergence < _PLAIN:
        return _three_digits(divergence).rstrip("0")
    return "0" if divergence == 0 else f"{divergence:.3g}" if divergence < 1000 else thousands(divergence)


def times(ratio: float) -> str:
    """Return a ratio as `9.9`; from 100 as `482`."""
    return f"{ratio:.1f}" if ratio < 100 else thousands(ratio)


def seconds(duration: float) -> str:
    """Return `0.04 s`, `12.3 s` or `5 min 12 s`."""
    if duration < 60:
        return f"{duration:.{2 if duration < 1 else 1}f}{NARROW}s"
    return whole_seconds(duration)


def whole_seconds(duration: float) -> str:
    """Return `7 s` or `5 min 12 s`."""
    minutes, rest = divmod(round(duration), 60)
    return f"{minutes:,}{NARROW}min {rest}{NARROW}s" if minutes else f"{rest}{NARROW}s"


def percent_interval(interval: Interval) -> str:
    """Return the ends of an interval in percent: `52.0 to 58.2`."""
    return f"{interval.low * 100:.1f} to {interval.high * 100:.1f}"


def nats_interval(interval: Interval) -> str:
    """Return the ends of an interval of a divergence, which is at least 0; one value if they are equal."""
    low = max(interval.low, 0.0)
    return nats(low) if low == interval.high else f"{measured_nats(low)} to {measured_nats(interval.high)}"


def measured_nats(divergence: float) -> str:
    """Return a measured divergence with all of its three significant digits: `0.0500`."""
    return _three_digits(divergence) if 0 < divergence < 100 else nats(divergence)


def _three_digits(divergence: float) -> str:
    if _SMALL <= divergence < _PLAIN:
        return f"{divergence:.{2 - math.floor(math.log10(divergence))}f}"
    return f"{divergence:#.3g}"


def aligned_nats(divergence: float, largest: float) -> str:
    """Return a divergence of a column with as many decimals as give its largest one three significant digits."""
    decimals = 2 - math.floor(math.log10(largest)) if largest > 0 else 0
    return f"{divergence:,.{max(decimals, 0)}f}" if divergence else "0"


def points_interval(interval: Interval) -> str:
    """Return the ends of an interval of a difference in points: `-2.9 to +0.5`."""
    return f"{signed_hundred(interval.low)} to {signed_hundred(interval.high)}"


def signed_nats(difference: float) -> str:
    """Return a difference of two divergences as `+0.0123`; zero has no sign."""
    return f"{MINUS if difference < 0 else '+' if difference else ''}{measured_nats(abs(difference))}"


def signed_nats_interval(interval: Interval) -> str:
    """Return the ends of an interval of a difference of two divergences."""
    return f"{signed_nats(interval.low)} to {signed_nats(interval.high)}"


def plural(count: int, noun: str) -> str:
    """Return `1 photo`, `1,000 photos`."""
    return f"{thousands(count)}{NARROW}{noun}{'' if count == 1 else 's'}"


_MIN_LAST_WORD = 5
"""Minimum number of characters of a cut word: with fewer, a reader does not recognize it."""


def abbreviate(name: str, length: int = 24) -> str:
    """Replace the middle of a long name by an ellipsis, and unprintable characters by U+FFFD."""
    name = printable(name)
    if len(name) <= length:
        return name
    head = (length - 1) // 2
    return f"{name[:head]}\u2026{name[len(name) - (length - 1 - head) :]}"


def printable(text: str) -> str:
    """Replace unprintable characters, which XML cannot hold, by U+FFFD."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text)


def abbreviate_path(name: str, length: int = 24) -> str:
    """Shorten words of a long dotted name to their initials, the first ones first: `f.12.expand1x1`.

    If that does not suffice, the middle is cut; where it has numbers, which tell layers apart, the last word is.
    """
    *words, last = printable(name).split(".")
    for index, word in enumerate(words):
        if len(".".join([*words, last])) > length and not word.isdigit():
            words[index] = word[:1]
    path = ".".join([*words, ""])
    room = length - len(path)
    if room < _MIN_LAST_WORD or room >= length // 2:
        return abbreviate(path + last, length)
    return path + abbreviate(last, room)


def goal_amount(amount: float, unit: GoalUnit) -> str:
    """Return an amount with its unit."""
    match unit:
        case "bytes":
            return f"{thousands(amount)}{NARROW}bytes"
        case "fraction":
            return percent(amount)
        case "points":
            rounded = points(amount).lstrip("+")
            return rounded if amount == 0 or not rounded.startswith("0.0") else f"{amount * 100:.2g}{NARROW}points"
        case "nats":
            return f"{nats(amount)}{NARROW}nats"
        case "ratio":
            return nats(amount)


def goal_margin(goal: GoalRecord) -> str:
    """Return the distance to the limit: `1,787 bytes to spare`, `missed by 0.4 points`."""
    unit: GoalUnit = "points" if goal.unit == "fraction" else goal.unit
    amount = goal_amount(round(abs(goal.limit - goal.reached), _GOAL_DIGITS), unit)
    return f"{amount} to spare" if goal.met else f"missed by {amount}"


def to_ascii(text: str) -> str:
    """Replace this module's special characters, for terminals."""
    return text.replace(NARROW, " ").replace(MINUS, "-")
