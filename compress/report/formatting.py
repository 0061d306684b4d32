"""Figures in words: decimal units, thousands separators, and no digit that the measurement does not carry."""

from __future__ import annotations

from compress.evaluation.results import GoalRecord, GoalUnit, Interval

NARROW = "\u00a0"
"""Keeps a figure and its unit on one line."""

MINUS = "\u2212"
EN_DASH = "\u2013"


def thousands(count: float) -> str:
    """Return `498213` as `498,213`; a fraction is rounded."""
    return f"{count:,.0f}".replace("-", MINUS)


def kilobytes(count: float) -> str:
    """Return bytes as decimal kilobytes: `498.2 kB`; below 1,000, as bytes."""
    if abs(count) < 1000:
        return f"{thousands(count)}{NARROW}B"
    return f"{count / 1000:,.1f}{NARROW}kB".replace("-", MINUS)


def megabytes(count: float) -> str:
    """Return bytes as decimal megabytes without a fraction: `612 MB`."""
    return f"{thousands(count / 1e6)}{NARROW}MB"


def short_name(network: str) -> str:
    """Return a network's name; of a function that makes one, `birds.networks:resnet18 {...}`, its own: `resnet18`."""
    return network.partition(" ")[0].rpartition(":")[2]


def percent(share: float) -> str:
    """Return a share from 0 to 1 as `55.1%`; what is not all never rounds to 100%, what is not none never to 0%."""
    text = f"{share * 100:.1f}"
    if text in ("0.0", "100.0") and share not in (0, 1):
        text = f"{share * 100:.2f}"
    return f"{text}%".replace("-", MINUS)


def points(difference: float) -> str:
    """Return a difference of two shares as signed percentage points: `-1.5 points`."""
    tenths = round(difference * 100, 1) + 0.0
    sign = MINUS if tenths < 0 else "+" if tenths > 0 else ""
    return f"{sign}{abs(tenths):.1f}{NARROW}points"


def excess(share: float) -> str:
    """Return by what share something is larger, as signed percent: `+0.9%`, `-7.0%`."""
    tenths = round(share * 100, 1) + 0.0
    sign = MINUS if tenths < 0 else "+" if tenths > 0 else ""
    return f"{sign}{abs(tenths):.1f}%"


def nats(divergence: float) -> str:
    """Return a divergence to three significant digits: `0.0312`."""
    return "0" if divergence == 0 else f"{divergence:.3g}" if abs(divergence) < 1000 else thousands(divergence)


def times(ratio: float) -> str:
    """Return a ratio as `9.9` below 100 and as `482` above."""
    return f"{ratio:.1f}" if ratio < 100 else thousands(ratio)


def seconds(duration: float) -> str:
    """Return `0.04 s`, `12.3 s` or `5 min 12 s`."""
    if duration < 1:
        return f"{duration:.2f}{NARROW}s"
    if duration < 60:
        return f"{duration:.1f}{NARROW}s"
    minutes, rest = divmod(round(duration), 60)
    return f"{minutes:,}{NARROW}min {rest}{NARROW}s"


def span(interval: Interval) -> str:
    """Return the ends of a share's interval in percent: `52.0-58.2`."""
    return f"{interval.low * 100:.1f}{EN_DASH}{interval.high * 100:.1f}"


def nats_span(interval: Interval) -> str:
    """Return the ends of a divergence's interval, or the one value that they share."""
    if interval.low == interval.high:
        return nats(interval.low)
    return f"{nats(interval.low)}{EN_DASH}{nats(interval.high)}"


def shape(dimensions: tuple[int, ...]) -> str:
    """Return `(64, 16, 3, 3)` as `64 x 16 x 3 x 3`, with the sign for times."""
    return " \u00d7 ".join(map(str, dimensions))


def plural(count: int, noun: str) -> str:
    """Return `1 photo`, `1,000 photos`."""
    return f"{thousands(count)}{NARROW}{noun}{'' if count == 1 else 's'}"


def short(name: str, length: int = 24) -> str:
    """Return a name that fits a chart: its middle gives way to an ellipsis, what cannot be printed to a mark."""
    name = "".join(letter if letter.isprintable() else "\ufffd" for letter in name)
    if len(name) <= length:
        return name
    head = (length - 1) // 2
    return f"{name[:head]}\u2026{name[len(name) - (length - 1 - head) :]}"


def goal_amount(amount: float, unit: GoalUnit) -> str:
    """Return an amount of a goal in its unit."""
    match unit:
        case "bytes":
            return f"{thousands(amount)}{NARROW}bytes"
        case "share":
            return percent(amount)
        case "points":
            tenths = points(amount).lstrip("+")
            return tenths if amount == 0 or not tenths.startswith("0.0") else f"{amount * 100:.2g}{NARROW}points"
        case "nats":
            return f"{nats(amount)}{NARROW}nats"


def goal_margin(goal: GoalRecord) -> str:
    """Return by how much a goal was met or missed: `1,787 bytes to spare`, `missed by 0.4 points`."""
    unit: GoalUnit = "points" if goal.unit == "share" else goal.unit
    amount = goal_amount(abs(goal.limit - goal.reached), unit)
    return f"{amount} to spare" if goal.met else f"missed by {amount}"


def sentence(phrase: str) -> str:
    """Return a phrase with its first letter large."""
    return phrase[:1].upper() + phrase[1:]


def plain(text: str) -> str:
    """Return words as a terminal shows them that knows nothing beyond ASCII."""
    return text.replace(NARROW, " ").replace(MINUS, "-").replace(EN_DASH, "-")
