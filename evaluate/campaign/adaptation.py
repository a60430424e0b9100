"""Campaigns that differ: where it pays to adapt to what a campaign is like, and three of them day by day."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evaluate import statistics
from evaluate.campaign.sections import CHANNELS, METRICS
from evaluate.report import charts, wording
from evaluate.report.page import Chart, Section, Table
from evaluate.results import BEST_FIXED, CLAIRVOYANT, REPLANNER
from evaluate.rollouts import Results
from evaluate.statistics import FloatArray, Interval, Scores, scores_of
from train.config import EnvConfig, EvaluationConfig
from train.environment import make_env

EXPECTED = "expected_engagement"
QUARTERS = 4
UNUSUAL = 2.0  # standard deviations


class Truth(NamedTuple):
    """How strong the channels of the campaigns played are, as the vector environment's ``truth`` tells it.

    Attributes:
        strength: Over that of the nominal campaign, (campaigns, 3 channels) [1].
        deviation: Its logarithm, from the mean of the prior, (campaigns, 3 channels) [sd].
    """

    strength: FloatArray
    deviation: FloatArray

    @property
    def distance(self) -> FloatArray:
        """How unusual each draw is, (campaigns,) [sd]."""
        return np.asarray(np.sqrt((self.deviation**2).sum(axis=-1)), dtype=np.float64)


class Single(NamedTuple):
    """A campaign to be shown: what is unusual about it, and its place among those played."""

    label: str
    campaign: int


class Quarter(NamedTuple):
    """A quarter of the campaigns by how unusual their draws are.

    Attributes:
        low, high: Least and greatest distance of the draws [sd].
        campaigns: How many.
        gain: By how much policies earn more than the best fixed plan, by name.
        closed: Which part of the gap the leading policy closes on these campaigns; none where there
            is no gap.
    """

    low: float
    high: float
    campaigns: int
    gain: dict[str, Interval]
    closed: Interval | None


class Adaptation(NamedTuple):
    """The sections, and for each policy the numbers behind them; none of both where campaigns do not differ."""

    sections: list[Section]
    numbers: dict[str, dict[str, Any]]


def adaptation(
    results: Results,
    leading: str,
    env: EnvConfig,
    evaluation: EvaluationConfig,
    colours: dict[str, str],
) -> Adaptation:
    """Where adapting pays, and three campaigns day by day.

    Args:
        results: What was played.
        leading: The trained policy that leads the report.
        env: The environment, for what truly holds.
        evaluation: How many campaigns, and the seed that drew them.
        colours: A colour for each policy.
    """
    truth = _truth(env, evaluation)
    if truth is None or not {BEST_FIXED, CLAIRVOYANT} <= set(results.campaigns["policy"]):
        return Adaptation([], {})
    names = [
        leading,
        *([REPLANNER] if REPLANNER in set(results.campaigns["policy"]) else []),
        CLAIRVOYANT,
    ]
    totals = {
        name: _scores(results.campaigns, name, evaluation.n_eval_episodes)
        for name in (*names, BEST_FIXED)
    }
    quarters = _quarters(totals, names, truth.distance)
    numbers = {
        name: {
            "gain_by_draw": [
                {"from": q.low, "to": q.high, "gain": q.gain[name]._asdict()} for q in quarters
            ]
        }
        for name in names
    }
    return Adaptation(
        [_pays(quarters, names, colours), _singles(results.days, totals, names, truth)], numbers
    )


def choose(deviation: FloatArray) -> list[Single]:
    """Three campaigns, by their draws alone: the most usual, and those nearest to one channel alone being unusual.

    Args:
        deviation: Of the log strengths, (campaigns, 3 channels) [sd].
    """
    found = [Single("as usual as it gets", int((deviation**2).sum(axis=-1).argmin()))]
    for word, sign in (("strong", 1.0), ("weak", -1.0)):
        targets = sign * UNUSUAL * np.eye(len(CHANNELS))
        far = ((deviation[:, np.newaxis] - targets) ** 2).sum(axis=-1)  # (campaigns, channels)
        far[[single.campaign for single in found]] = np.inf
        campaign, channel = np.unravel_index(far.argmin(), far.shape)
        if np.isfinite(far[campaign, channel]):
            found.append(Single(f"{CHANNELS[int(channel)]} unusually {word}", int(campaign)))
    return found


def _truth(env: EnvConfig, evaluation: EvaluationConfig) -> Truth | None:
    """What holds in the campaigns that every policy was given; none where they do not differ in strength."""
    envs = make_env(env, evaluation.n_eval_episodes)
    envs.reset(seed=evaluation.seed)
    told = getattr(envs.unwrapped, "latent", None)
    envs.close()
    return Truth(**told) if told is not None and np.any(told["deviation"]) else None


def _scores(campaigns: pd.DataFrame, policy: str, count: int) -> Scores:
    scores = scores_of(campaigns, policy, EXPECTED)
    return scores._replace(values=np.broadcast_to(scores.values, (len(scores.values), count)))


def _quarters(totals: dict[str, Scores], names: list[str], distance: FloatArray) -> list[Quarter]:
    groups = np.array_split(np.argsort(distance, kind="stable"), min(QUARTERS, len(distance)))
    return [_quarter(totals, names, distance, rows) for rows in groups]


def _quarter(
    totals: dict[str, Scores], names: list[str], distance: FloatArray, rows: NDArray[np.intp]
) -> Quarter:
    of = {name: scores._replace(values=scores.values[:, rows]) for name, scores in totals.items()}
    gap = of[CLAIRVOYANT].values.mean() > of[BEST_FIXED].values.mean() * (1.0 + 1e-9)
    return Quarter(
        low=float(distance[rows].min()),
        high=float(distance[rows].max()),
        campaigns=len(rows),
        gain={name: statistics.difference(of[name], of[BEST_FIXED]) for name in names},
        closed=statistics.gap_closed(of[names[0]], of[BEST_FIXED], of[CLAIRVOYANT])
        if gap
        else None,
    )


def _pays(quarters: list[Quarter], names: list[str], colours: dict[str, str]) -> Section:
    """The gain over the best fixed plan against how unusual the draw is."""
    leading, first, last = names[0], quarters[0], quarters[-1]
    text = (
        f"How unusual a campaign is: the distance of its channels' log strengths from what is expected, in standard "
        f"deviations. In the quarter of campaigns nearest to that, {leading} earns {_more(first.gain[leading])} than "
        f"the {BEST_FIXED}, in the furthest {_more(last.gain[leading])}; knowing the draw would be worth "
        f"{first.gain[CLAIRVOYANT].value:,.1f} and {last.gain[CLAIRVOYANT].value:,.1f}."
    )
    head = ["distance [sd]", "campaigns"]
    for name in names[:-1]:
        head += [name, wording.INTERVAL]
    head += [CLAIRVOYANT, f"gap closed by {leading}"]
    rows = []
    for quarter in quarters:
        cells = [f"{quarter.low:.2f} to {quarter.high:.2f}", str(quarter.campaigns)]
        for name in names[:-1]:
            cells += [
                wording.signed(quarter.gain[name].value),
                wording.ends(quarter.gain[name], wording.signed),
            ]
        closed = wording.share(quarter.closed.value) if quarter.closed else "-"
        rows.append([*cells, wording.signed(quarter.gain[CLAIRVOYANT].value), closed])
    caption = (
        f"By how much each policy earns more than the {BEST_FIXED} on the same campaigns, in expected engagement, in "
        "quarters of the campaigns by how unusual their draws are."
    )
    words = "; ".join(
        f"{row[0]} sd: "
        + ", ".join(f"{name} {wording.signed(quarter.gain[name].value)}" for name in names)
        for row, quarter in zip(rows, quarters, strict=True)
    )
    picture = Chart(
        "gain_by_draw",
        f"Where adapting pays: what each policy earns beyond the {BEST_FIXED}, with {wording.INTERVAL}s, in quarters of "
        "the campaigns from the most usual to the most unusual.",
        f"Points with intervals of the gain over the {BEST_FIXED}: {words}.",
        charts.gain_by_group(
            {name: [quarter.gain[name] for quarter in quarters] for name in names},
            [f"{quarter.low:.1f} to {quarter.high:.1f}" for quarter in quarters],
            "distance of the draw from what is expected [sd]",
            f"more than the {BEST_FIXED}",
            colours,
        ),
    )
    return Section(
        "Where adapting pays, and where it does not",
        [text],
        [Table(caption, head, rows)],
        [picture],
    )


def _singles(
    days: pd.DataFrame, totals: dict[str, Scores], names: list[str], truth: Truth
) -> Section:
    """Three campaigns day by day: what the agent did and saw, and what truly held."""
    leading, chosen = names[0], choose(truth.deviation)
    of = days[days["policy"] == leading]
    seed = int(of["seed"].min())
    of = of[of["seed"] == seed]
    best = days[days["policy"] == CLAIRVOYANT]
    shown, words = [], []
    for single in chosen:
        strength = ", ".join(
            f"{name} {value:.2f}"
            for name, value in zip(CHANNELS, truth.strength[single.campaign], strict=True)
        )
        played, known = (frame[frame["campaign"] == single.campaign] for frame in (of, best))
        title = f"{single.label.capitalize()}\ntrue strength: {strength}"
        shown.append(charts.Played(title, {leading: played, CLAIRVOYANT: known}, played))
        words.append(f"{single.label} (true strength {strength}): {_in_words(played)}")
    head = ["campaign", "number", *(f"true {name}" for name in CHANNELS), *names, BEST_FIXED]
    rows = [
        [
            single.label,
            str(single.campaign),
            *(f"{value:.2f}" for value in truth.strength[single.campaign]),
            *(f"{totals[name].values[0, single.campaign]:,.0f}" for name in (*names, BEST_FIXED)),
        ]
        for single in chosen
    ]
    caption = (
        f"The true strength of each channel over the nominal one, which no policy but the {CLAIRVOYANT} is told, and the "
        f"expected engagement that each policy earns; of {leading} that of training seed {seed}. The number is that of "
        "the column campaign in results.csv."
    )
    text = (
        f"Three campaigns, chosen by their draws alone and not by how they went: the one nearest to what is expected, "
        f"and those nearest to one channel being {UNUSUAL:g} standard deviations stronger, or weaker, than expected, "
        f"with the other two as expected."
    )
    picture = Chart(
        "single_campaigns",
        f"Each row is one campaign: what {leading} did, what the {CLAIRVOYANT} did, and what {leading} saw. On the "
        "first day nothing has been seen yet; from then on what was seen may move the budget.",
        f"Stacked bars of spend and lines of metrics by day. {'; '.join(words)}.",
        charts.single_campaigns(shown, CHANNELS, METRICS),
    )
    return Section("Single campaigns day by day", [text], [Table(caption, head, rows)], [picture])


def _in_words(played: pd.DataFrame) -> str:
    return ", ".join(
        f"day {row['day']} spent "
        + "/".join(f"{row[name]:.0f}" for name in CHANNELS)
        + " and saw "
        + "/".join(f"{row[name]:.0f}" for name in METRICS)
        for _, row in played.iterrows()
    )


def _more(gain: Interval) -> str:
    return f"{abs(gain.value):,.1f} {'more' if gain.value >= 0 else 'less'}"
