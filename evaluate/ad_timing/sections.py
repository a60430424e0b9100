"""The sections that belong to ad timing: what policies are worth exactly, when they show ads."""

import numpy as np
import pandas as pd

from envs.ad_timing.optimum import best_value, solve
from envs.ad_timing.params import AdTimingParams
from evaluate import statistics
from evaluate.ad_timing import charts
from evaluate.ad_timing.policies import (
    ADAPTIVE,
    BEST_THRESHOLD,
    CLAIRVOYANT,
    OPTIMAL,
    SAMPLED,
)
from evaluate.ad_timing.schedules import Schedules, mean_value, schedules_of
from evaluate.domain import Evaluation, FamilySections
from evaluate.report import wording
from evaluate.report.page import Chart, Row, Section, table
from evaluate.statistics import Interval, Scores
from train.play import percent

LEAST_VISITS = 30  # to tell a chance
EXACT = (
    "All that a policy sees of a user is that they are still there, so one that draws nothing "
    "treats every session alike until the user leaves. Its decisions are read off the longest "
    "session played, and its value is computed from the chances of leaving, without sampling; "
    "what would come after that session does not count. Intervals are over training seeds alone."
)


def ad_timing_sections(evaluation: Evaluation, params: AdTimingParams) -> FamilySections:
    """The exact values ahead of the sampled ones, then when the policies show ads."""
    schedules = schedules_of(evaluation.results.steps)
    scores = exact_scores(evaluation, params, schedules)
    closed = gaps_closed(scores)
    exact = Section(
        "What a session is worth, exactly",
        [EXACT, *([_about_the_gap(closed, evaluation)] if closed else [])],
        [table("Exact values, the best first.", _rows(evaluation, params, scores, closed))],
        [],
    )
    text = ["Each decision comes before an item; k are the items since the start or the last ad."]
    pictures = [_show_by_k(evaluation, params), _timeline(schedules)]
    numbers = {
        name: {"exact_value": statistics.mean(value)._asdict()}
        | ({"exact_gap_closed": closed[name]._asdict()} if name in closed else {})
        for name, value in scores.items()
    }
    return FamilySections((exact,), (Section("When ads are shown", text, [], pictures),), numbers)


def exact_scores(
    evaluation: Evaluation, params: AdTimingParams, schedules: Schedules
) -> dict[str, Scores]:
    """The exact value of each policy, a row for each training seed; the best policy first."""
    scores = {
        name: Scores(
            np.array([[mean_value(params, schedule)] for schedule in by_seed.values()]),
            is_trained=name in evaluation.trained,
            is_deterministic=True,
        )
        for name, by_seed in schedules.items()
    }
    best = OPTIMAL if params.users == "alike" else CLAIRVOYANT
    scores[best] = Scores(np.array([[best_value(params)]]), False, is_deterministic=True)
    return dict(sorted(scores.items(), key=lambda item: -item[1].values.mean()))


def gaps_closed(scores: dict[str, Scores]) -> dict[str, Interval]:
    """The part of the way from the best threshold to the clairvoyant; empty without that gap."""
    floor, ceiling = scores.get(BEST_THRESHOLD), scores.get(CLAIRVOYANT)
    if floor is None or ceiling is None or ceiling.values - floor.values < 1e-4:
        return {}
    return {name: statistics.gap_closed(value, floor, ceiling) for name, value in scores.items()}


def _rows(
    evaluation: Evaluation,
    params: AdTimingParams,
    scores: dict[str, Scores],
    closed: dict[str, Interval],
) -> list[Row]:
    best, episode = best_value(params), evaluation.domain.episode
    form = wording.totals(best)
    rows = []
    for name, value in scores.items():
        mean = statistics.mean(value)
        row: Row = [("policy", name), ("value", form.number(mean.value))]
        row += [(wording.INTERVAL, wording.ends(mean, form.number, episode))]
        row += [(evaluation.share_name, percent(mean.value / best))]
        row += [("worst seed", percent(float(value.values.min()) / best))]
        if closed:
            row += [("gap closed", wording.share(closed[name].value))]
            row += [(wording.INTERVAL, wording.ends(closed[name], wording.share, episode))]
        rows.append(row)
    return rows


def _about_the_gap(closed: dict[str, Interval], evaluation: Evaluation) -> str:
    """What limits the gap that a policy can close."""
    leading, episode = evaluation.trained[0], evaluation.domain.episode
    text = (
        f"{leading} closes {wording.with_ends(closed[leading], wording.share, episode)} of the gap "
        f"between the {BEST_THRESHOLD}, which treats all users alike, and the {CLAIRVOYANT}, "
        "who knows the type of each."
    )
    if ADAPTIVE not in closed:
        return text
    return (
        f"{text} No policy that does not know it closes more than the {ADAPTIVE}, "
        f"{wording.share(closed[ADAPTIVE].value)}: a user tells their type only by staying, "
        "and whoever has told it by leaving is gone."
    )


def _show_by_k(evaluation: Evaluation, params: AdTimingParams) -> Chart:
    """The chance that each agent shows an ad against k, beside what the best rules do."""
    steps = with_k(evaluation.results.steps)
    sampled = steps[steps["policy"].str.endswith(SAMPLED)]
    visits = sampled.groupby(["policy", "seed", "k"])["ad"].agg(["mean", "size"]).reset_index()
    chances = visits[visits["size"] >= LEAST_VISITS].rename(columns={"mean": "chance"})
    rules = {
        f"best for {name}" if len(params.types) > 1 else OPTIMAL: solve(alike).threshold
        for name, (_, alike) in params.types.items()
    }
    mean = chances.pivot_table(index="policy", columns="k", values="chance")
    words = "; ".join(
        f"{policy}: " + ", ".join(f"{chance:.2f} at {k}" for k, chance in row.dropna().items())
        for policy, row in mean.iterrows()
    )
    return Chart(
        "show_by_k",
        "The chance that a trained policy shows an ad, when it draws its decisions as in training, "
        "against the items since the start or the last ad; a line for each training seed. Dotted: "
        "where the best rule for the first ad begins to show one. Where k alone does not decide, "
        "as the number of items or ads counts too, it is the mean over the visits.",
        f"Lines of the chance to show an ad by k. {words}. "
        + ", ".join(f"{name} from {least} on" for name, least in rules.items()),
        charts.show_by_k(chances, rules, evaluation.colours),
    )


def _timeline(schedules: Schedules) -> Chart:
    """Before which items each policy shows an ad, to a user who stays."""
    rows = {
        name if seed is None else f"{name}, seed {seed}": schedule[: charts.SHOWN_ITEMS]
        for name, by_seed in schedules.items()
        for seed, schedule in by_seed.items()
    }
    words = "; ".join(
        f"{name}: {', '.join(map(str, np.flatnonzero(schedule)[:6] + 1)) or 'never'}"
        for name, schedule in rows.items()
    )
    return Chart(
        "timeline",
        "When each policy shows ads to a user who stays: a mark before each item that comes with "
        "an ad. A line ends with the longest session played.",
        f"Marks of ads by item. The first ads: {words}.",
        charts.timeline(rows),
    )


def with_k(steps: pd.DataFrame) -> pd.DataFrame:
    """The steps with k, the items since the start or the last ad."""
    keys = [steps[name] for name in ("policy", "seed", "episode")]
    shown = steps["step"].where(steps["ad"] == 1)
    last = shown.groupby(keys, dropna=False).transform(lambda part: part.shift().ffill())
    return steps.assign(k=(steps["step"] - last.fillna(1)).astype(int))
