"""The section that belongs to ad timing: when the policies show ads."""

import numpy as np
import pandas as pd

from envs.ad_timing.optimum import solutions
from envs.ad_timing.params import AdTimingParams
from evaluate.ad_timing import charts
from evaluate.ad_timing.policies import ADAPTIVE, OPTIMAL, SAMPLED
from evaluate.ad_timing.schedules import Schedules, schedules_of
from evaluate.domain import Evaluation, FamilySections
from evaluate.report.page import Chart, Section

LEAST_VISITS = 30  # to tell a chance
ABOUT = (
    "Each decision comes before an item; k are the items since the start or the last ad. All that "
    "a policy sees of a user is that they are still there, so one that draws nothing treats every "
    "session alike until the user leaves."
)
LIMIT = (
    "That is what limits how far a policy that does not know the type of each user can come: users "
    "tell their type only by staying, and who has told it by leaving is gone. No such policy earns "
    f"more than the {ADAPTIVE}, which follows the odds that a user who is still there is impatient."
)


def ad_timing_sections(evaluation: Evaluation, params: AdTimingParams) -> FamilySections:
    """When the policies show ads."""
    schedules = schedules_of(evaluation.results.steps)
    text = [ABOUT, *([LIMIT] if ADAPTIVE in schedules else [])]
    pictures = [_show_by_k(evaluation, params), _timeline(schedules)]
    return FamilySections(rest=(Section("When ads are shown", text, [], pictures),))


def _show_by_k(evaluation: Evaluation, params: AdTimingParams) -> Chart:
    """The chance that each agent shows an ad against k, beside what the best rules do."""
    steps = evaluation.results.steps
    sampled = with_k(steps[steps["policy"].str.endswith(SAMPLED)])
    visits = sampled.groupby(["policy", "seed", "k"])["ad"].agg(["mean", "size"]).reset_index()
    chances = visits[visits["size"] >= LEAST_VISITS].rename(columns={"mean": "chance"})
    rules = {
        f"best for {name} users" if len(params.types) > 1 else OPTIMAL: best.threshold
        for name, best in zip(params.types, solutions(params), strict=True)
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
    before = shown.groupby(keys, dropna=False).shift()
    last = before.groupby(keys, dropna=False).ffill()
    return steps.assign(k=(steps["step"] - last.fillna(1)).astype(int))
