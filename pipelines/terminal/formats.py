"""Numbers as people type and read them: 1.5M parameters, 2h30m, 94.1 %; and names that files can have."""

import math
import re

from space.errors import UserError

_COUNTS = {"": 1, "k": 1_000, "m": 1_000_000, "g": 1_000_000_000}
LONGEST_SECONDS = 1e8
"""Three years; clocks take no time that is much longer."""
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def parse_count(text: str, flag: str) -> int:
    """1500, 100k, 1.5M -> a whole number."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([kmg]?)", text.strip().lower())
    if match is None or not 0 < (number := float(match[1]) * _COUNTS[match[2]]) < math.inf:
        raise UserError(f"{flag} {text}: a number such as 250000, 250k or 1.5M is wanted")
    return round(number)


def parse_number(text: str, flag: str) -> float:
    """0, 0.5, 100k, 1.5M -> a number."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([kmg]?)", text.strip().lower())
    if match is None or math.isinf(number := float(match[1]) * _COUNTS[match[2]]):
        raise UserError(f"{flag}: a number such as 0.5, 250000, 250k or 1.5M is wanted")
    return number


def parse_duration(text: str, flag: str) -> float:
    """90s, 30m, 2h, 1h30m -> seconds."""
    parts = re.findall(r"(\d+(?:\.\d+)?)([smhd])", text.strip().lower())
    seconds = sum(float(number) * _SECONDS[unit] for number, unit in parts)
    whole = "".join(number + unit for number, unit in parts) == text.strip().lower()
    if not parts or not whole or seconds > LONGEST_SECONDS:
        raise UserError(f"{flag} {text}: a time such as 90s, 30m, 2h or 1h30m is wanted")
    return seconds


def show_duration(seconds: float) -> str:
    """12 s, 7 min 20 s, 2 h 5 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def show_count(count: float) -> str:
    """1000 -> 1k, 2500000 -> 2.5M: the short form that `parse_count` reads."""
    for size, suffix in ((1_000_000, "M"), (1_000, "k")):
        if abs(count) >= size:
            return f"{count / size:.4g}{suffix}"
    return f"{count:.4g}"


def show_percent(share: float) -> str:
    """0.9413 -> 94.1 %."""
    return f"{100 * share:.1f} %"


def show_gain(gain: float) -> str:
    """Percentage points with their sign."""
    return f"{100 * gain:+.1f}" if round(100 * gain, 1) else "0"


def show_interval(mean: float, low: float, high: float) -> str:
    """Percentage points with their signs, and an interval: +2.3 [+1.2, +3.1]."""
    return f"{100 * mean:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"


def score_name(metric: str) -> str:
    """val_balanced_accuracy -> balanced_accuracy."""
    return metric.removeprefix("val_").removeprefix("test_")


def show_metric(name: str) -> str:
    """val_balanced_accuracy -> balanced accuracy."""
    return score_name(name).replace("_", " ")


def file_name(text: str) -> str:
    """The text with dashes for all that is no letter or digit."""
    return "".join(c if c.isalnum() else "-" for c in text)
