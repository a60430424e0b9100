"""How the report writes numbers, intervals and failures."""

from collections.abc import Callable

from evaluate.statistics import LEVEL, FailureRate, Interval

INTERVAL = f"{LEVEL:.0%} interval"
NOTHING = "-"  # an empty cell
Form = Callable[[float], str]  # writes a number


def number(value: float) -> str:
    """A total: 4,659.8."""
    return _minus(f"{value:,.1f}")


def signed(value: float) -> str:
    """A difference with its sign; 0 has none."""
    shown = f"{value:+,.1f}"
    return "0.0" if shown in {"+0.0", "-0.0"} else _minus(shown)


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


def _minus(text: str) -> str:
    return text.replace("-", "\N{MINUS SIGN}")
