"""How the report writes numbers, intervals and failures."""

import math
import re
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from evaluate.statistics import LEVEL, FailureRate, Interval

INTERVAL = f"{LEVEL:.0%} interval"
NOTHING = "-"  # an empty cell
SIZES = ((1e9, "B"), (1e6, "M"), (1e3, "k"))
Form = Callable[[float], str]  # writes a number


class Digits(NamedTuple):
    """How the numbers of one kind are written."""

    after_point: int  # digits; below 0 so many before the point are rounded off

    def number(self, value: float) -> str:
        """A number with thousands separators: 4,659.8; never minus zero."""
        return _minus(f"{round(value, self.after_point) + 0.0:,.{max(self.after_point, 0)}f}")

    def signed(self, value: float) -> str:
        """A difference with its sign; 0 has none."""
        sign = "+" if round(value, self.after_point) > 0 else ""
        return sign + self.number(value)


def digits(scale: float) -> Digits:
    """For numbers up to ``scale``: whole ones where it has three or four digits, as 88 of 100.

    0.0088 of 0.01; 1,459,000 of 5,000,000.
    """
    return Digits(_after_point(abs(scale), 3) or _rounded_off(scale, 4))


def totals(scale: float) -> Digits:
    """For totals up to ``scale``, five digits of a large one: 4,659.8, 27,996, 976,120,000."""
    least = 1 if abs(scale) < 10_000 else 0
    return Digits(max(least, _after_point(abs(scale), 3)) or _rounded_off(scale, 5))


def short(value: float, significant: int = 3, exact_below: float = 1e5) -> str:
    """A number where there is little room: 0.0034, 2,000, 200k, 1.5M."""
    rounded = abs(float(f"{value:.{significant}g}"))
    size, letter = next((step for step in SIZES if rounded >= max(step[0], exact_below)), (1.0, ""))
    shown = f"{value / size:,.{_after_point(rounded / size, significant)}f}"
    if "." in shown:
        shown = shown.rstrip("0").rstrip(".")
    return _minus(shown) + letter


def in_text(value: float, significant: int = 4) -> str:
    """A number as it stands in a sentence: 0.05, 33.3, 1,234,567."""
    return short(value, significant, exact_below=math.inf)


def column(values: Iterable[float]) -> list[str]:
    """Numbers that stand below one another: with as many digits as the largest needs for four."""
    numbers = list(values)
    return list(map(Digits(_after_point(float(f"{max(numbers):.4g}"), 4)).number, numbers))


def one_of(unit: str) -> str:
    """One of what money is counted in: budget unit, penny, EUR; bus and Swiss are no plurals."""
    return re.sub("(?<![su])s$", "", re.sub("ies$", "y", unit))


def listed(names: Sequence[str]) -> str:
    """Names as a sentence lists them: posts, ads and rewards."""
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def share(value: float) -> str:
    """A part of a gap in percent."""
    return _minus(f"{round(value, 3) + 0.0:.1%}")  # never -0.0%


def ends(interval: Interval, form: Form, episode: str) -> str:
    """The two ends alone, for a cell of a table, or why there are none."""
    low, high = _shown_ends(interval, form)
    if low is None or high is None:
        without = {
            "one seed": "one training seed",
            "one episode": f"one {episode}",
            "one seed on one episode": f"one training seed and one {episode}",
        }
        return without.get(interval.kind, interval.kind)
    return f"{low} to {high}" if low != high else "spread smaller than the last digit"


def spread(interval: Interval, form: Form, episode: str, over: str = "") -> str:
    """The interval as it stands in brackets; ``over`` says what it is taken over."""
    low, high = _shown_ends(interval, form)
    title = f"{INTERVAL} " if low != high else ""
    after = over if interval.low is not None else ", spread unknown"
    return f"{title}{ends(interval, form, episode)}{after}"


def with_ends(interval: Interval, form: Form, episode: str, over: str = "") -> str:
    """The estimate with its interval in brackets behind it."""
    return f"{form(interval.value)} ({spread(interval, form, episode, over)})"


def over(interval: Interval, seeds: int, episodes: int, episode: str) -> str:
    """What an interval is taken over, in words that follow it."""
    together = f" and {episodes:,} {episode}s" if episodes > 1 else ""
    return {
        "seeds": f" over {seeds} training seeds{together}",
        "seeds on one episode": f" over {seeds} training seeds, on this one {episode}",
        "one seed": f" over {episodes:,} {episode}s, with this one training seed",
        "episodes": f" over {episodes:,} {episode}s",
    }.get(interval.kind, "")


def condition(interval: Interval, episode: str) -> str:
    """What a comparison holds for, where that is less than other seeds and episodes."""
    here = f"on these {episode}s, " if interval.low is not None else ""
    return {
        "one seed": f"{here}with this one training seed",
        "one seed on one episode": f"on this one {episode}, with this one training seed",
        "one episode": f"on this one {episode}",
        "seeds on one episode": f"on this one {episode}",
    }.get(interval.kind, "")


def failures(rate: FailureRate, with_chance: bool = False) -> str:
    """How many seeds failed, and what became of those that did not finish."""
    parts = [f"seed {seed} {what}" for seed, what in sorted(rate.unfinished.items())]
    if with_chance:
        parts.append(f"chance to fail {rate.low:.0%} to {rate.high:.0%} at {LEVEL:.0%}")
    return f"{rate.failed} of {rate.seeds}" + (f" ({', '.join(parts)})" if parts else "")


def _shown_ends(interval: Interval, form: Form) -> tuple[str | None, str | None]:
    """The ends as text; none where there are none or nothing varies."""
    if interval.kind == "exact" or interval.low is None or interval.high is None:
        return None, None
    return form(interval.low), form(interval.high)


def _after_point(scale: float, significant: int) -> int:
    """Digits after the point that leave so many that count in a number as large as ``scale``."""
    if not 0 < scale < math.inf:
        return 0
    return max(0, significant - 1 - math.floor(math.log10(scale)))


def _rounded_off(scale: float, significant: int) -> int:
    """Minus the digits before the point that so many that count leave out."""
    return min(0, significant - len(f"{abs(scale):.0f}"))


def _minus(text: str) -> str:
    return text.replace("-", "\N{MINUS SIGN}")
