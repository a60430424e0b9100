"""What to try next, as the report and the program say it."""

from evaluate.campaign.calibrate import charts
from evaluate.campaign.calibrate.fitted import BAND, Fitted
from evaluate.campaign.calibrate.trial import (
    HORIZON,
    LONGEST_HOLD,
    WEEK,
    Trial,
    Trials,
    first_date,
)
from evaluate.report.page import Chart, Section, table
from evaluate.report.wording import listed, share, short

TRIAL = "trial.csv"
PARTS = {0.0: "none: the plan", 0.25: "a quarter", 0.5: "half", 1.0: "all"}


def conclusion_of(fitted: Fitted, trials: Trials) -> str:
    """What to do, and why, in a few sentences."""
    best, is_single = trials.best, len(fitted.channels) == 1
    gain = trials.plan.loss - best.loss
    what = (
        f"{best.weeks} weeks in which {PARTS[best.strength]} of the budget follows varied "
        f"{'spends' if is_single else 'splits'}"
    )
    later = (
        f"a plan is expected to earn {best.regret:.2%} less than the best that there is, today "
        f"{trials.regret:.2%}"
    )
    if trials.pays:
        text = (
            f"A trial pays: {what} cost {_cost(best)} of what the plan earns in them. After them "
            f"{later}. Over the next {HORIZON} weeks the trial brings {gain:.2%} more engagement "
            "than the plan alone, whose own days teach something, too."
        )
    else:
        text = (
            "No trial pays: follow the plan, whose own days teach something, too. The best trial, "
            f"{what}, costs {_cost(best)} of what the plan earns in them. After it {later}. Over "
            f"the next {HORIZON} weeks it brings {-gain:.2%} less engagement than the plan alone."
        )
    if is_single:
        text += " With one channel there is no split to try: only the spend of a day varies."
    return text


def trial_section(fitted: Fitted, trials: Trials) -> Section:
    """Trials with their cost and their worth, and the days of the best."""
    best = trials.best
    begin = f" They begin on {first_date(fitted.dates)}." if fitted.dates else ""
    advice = (
        f"The days are in {TRIAL} beside this page, rounded so that they can be spent as they "
        f"stand.{begin} A split stays for 1 to {LONGEST_HOLD} days: that tells carry-over, loyalty "
        "and fatigue apart. Append what was counted to the past days, and calibrate again."
    )
    rows = [
        [
            ("weeks", str(each.weeks)),
            ("budget that varies", PARTS[each.strength]),
            ("cost", _cost(each) if each.strength else "-"),
            ("less than the best: now", f"{trials.regret:.2%}"),
            ("afterwards", f"{each.regret:.2%}"),
            (f"lost over {HORIZON} weeks", f"{each.loss:.2%}"),
        ]
        for each in sorted(trials.trials, key=lambda each: each.loss)
    ]
    caption = (
        "Trials of each length and strength, the best first. Cost: what the days earn less than "
        f"the plan does in them. Less than the best: what a plan of {trials.ahead.days} days, made "
        "from what is known then, is expected to miss of what the best plan would earn; lost over "
        f"{HORIZON} weeks: the same of the trial's days, and of a plan made afterwards for the "
        "rest. Simulated with draws of what these days leave possible, as if the posterior were "
        "normal; differences of a hundredth of today's figure are chance."
    )
    days = best.spend.mean(axis=0).tolist()
    means = [f"{name} {short(mean)}" for name, mean in zip(fitted.channels, days, strict=True)]
    chart = Chart(
        "trial",
        f"What the best of these trials spends on each of its {best.weeks * WEEK} days.",
        f"Stacked bars by day; on average {listed(means)} {fitted.unit} a day.",
        charts.spends(fitted, best.spend),
    )
    text = [conclusion_of(fitted, trials), advice]
    return Section("What to try next", text, [table(caption, rows)], [chart])


def _cost(trial: Trial) -> str:
    low, middle, high = map(float, trial.cost)
    return f"{share(middle)} ({BAND:.0%} interval {share(low)} to {share(high)})"
