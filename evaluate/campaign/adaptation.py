"""Campaigns that differ: where it pays to adapt to each, and three of them day by day."""

from collections.abc import Sequence
from contextlib import closing
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from envs.campaign.params import CampaignParams
from evaluate import statistics
from evaluate.campaign import charts
from evaluate.campaign.domain import EXPECTED
from evaluate.campaign.policies import BEST_FIXED, CLAIRVOYANT, REPLANNER
from evaluate.campaign.sections import days_of
from evaluate.domain import Evaluation, FamilySections
from evaluate.report import wording
from evaluate.report.page import Chart, Section, Table, table
from evaluate.statistics import FloatArray, Interval, Scores, scores_of
from train.config import EnvConfig, EvaluationConfig
from train.environment import make_env

EPISODE = "campaign"
QUARTERS = 4
UNUSUAL = 2.0  # standard deviations
CHOSEN = (
    "Three campaigns, chosen by their draws alone and not by how they went: the one nearest to "
    f"what is expected, and those nearest to one channel being {UNUSUAL:g} standard deviations "
    "stronger, or weaker, than expected, with the others as expected."
)


class Strengths(NamedTuple):
    """How strong the channels of the campaigns played are, each (campaigns, channels)."""

    strength: FloatArray  # over that of the nominal campaign [1]
    deviation: FloatArray  # its logarithm, from the mean of the prior [sd]

    @property
    def distance(self) -> FloatArray:
        """How unusual each draw is, (campaigns,) [sd]."""
        return np.asarray(np.sqrt((self.deviation**2).sum(axis=-1)), dtype=np.float64)


class QuartileGain(NamedTuple):
    """What adapting gains in a quarter of the campaigns, by how unusual their draws are."""

    low: float  # least distance of the draws [sd]
    high: float  # greatest distance [sd]
    campaigns: int
    gain: dict[str, Interval]  # by how much policies earn more than the best fixed plan
    gap_closed: Interval | None  # by the leading policy; none where there is no gap


def adaptation(evaluation: Evaluation, params: CampaignParams) -> FamilySections:
    """Where adapting pays, and three campaigns day by day; nothing where campaigns do not differ.

    The numbers are the gains by how unusual the draws are.
    """
    campaigns, played = evaluation.results.episodes, {item.name for item in evaluation.policies}
    strengths = strengths_of(evaluation.env, evaluation.settings)
    if strengths is None or not {BEST_FIXED, CLAIRVOYANT} <= played:
        return FamilySections()
    names = [name for name in (evaluation.trained[0], REPLANNER, CLAIRVOYANT) if name in played]
    count, distance = evaluation.settings.n_eval_episodes, strengths.distance
    totals = {name: scores_of(campaigns, name, EXPECTED) for name in (*names, BEST_FIXED)}
    for name, scores in totals.items():  # one column stands for all where nothing is drawn
        values = np.broadcast_to(scores.values, (len(scores.values), count))
        totals[name] = scores._replace(values=values)
    groups = np.array_split(np.argsort(distance, kind="stable"), min(QUARTERS, count))
    quarters = [_quarter(totals, names, distance, rows) for rows in groups]
    numbers = {
        name: {
            "gain_by_draw": [
                {"from": part.low, "to": part.high, "gain": part.gain[name]._asdict()}
                for part in quarters
            ]
        }
        for name in names
    }
    form = wording.totals(max(abs(scores.values).mean() for scores in totals.values()))
    where = _gain_section(quarters, names, evaluation.colours, form)
    examples = _examples_section(days_of(evaluation), totals, names, strengths, params)
    return FamilySections(rest=(where, examples), numbers=numbers)


def choose_examples(deviation: FloatArray, channels: Sequence[str]) -> dict[str, int]:
    """Three campaigns by what is unusual about them, from deviations (campaigns, channels) [sd].

    They are the most usual one, and those nearest to one unusual channel.
    """
    examples = {"as usual as it gets": int((deviation**2).sum(axis=-1).argmin())}
    for word, sign in (("strong", 1.0), ("weak", -1.0)):
        targets = sign * UNUSUAL * np.eye(deviation.shape[1])
        far = ((deviation[:, np.newaxis] - targets) ** 2).sum(axis=-1)  # (campaigns, channels)
        far[list(examples.values())] = np.inf
        campaign, channel = np.unravel_index(far.argmin(), far.shape)
        if np.isfinite(far[campaign, channel]):
            examples[f"{channels[int(channel)]} unusually {word}"] = int(campaign)
    return examples


def strengths_of(env: EnvConfig, evaluation: EvaluationConfig) -> Strengths | None:
    """The strengths in the campaigns that every policy was given; none where they do not differ."""
    with closing(make_env(env, evaluation.n_eval_episodes)) as envs:
        envs.reset(seed=evaluation.seed)
        campaigns: Any = envs.unwrapped
        params, latent = campaigns.params, campaigns.latent_params
    if latent is None or not params.counts_log_sd:
        return None
    earned, nominal = latent.counts.sum(axis=-1), params.counts_array.sum(axis=-1)
    strength = np.divide(earned, nominal, out=np.ones_like(earned), where=nominal > 0)
    logs, sd = np.log(np.maximum(strength, np.finfo(np.float64).tiny)), params.counts_log_sd
    return Strengths(strength, (logs + sd**2 / 2) / sd)


def _quarter(
    totals: dict[str, Scores], names: list[str], distance: FloatArray, rows: NDArray[np.intp]
) -> QuartileGain:
    scores = {name: whole._replace(values=whole.values[:, rows]) for name, whole in totals.items()}
    fixed, best = scores[BEST_FIXED], scores[CLAIRVOYANT]
    has_gap = best.values.mean() > fixed.values.mean() * (1.0 + 1e-9)
    return QuartileGain(
        low=float(distance[rows].min()),
        high=float(distance[rows].max()),
        campaigns=len(rows),
        gain={name: statistics.difference(scores[name], fixed) for name in names},
        gap_closed=statistics.gap_closed(scores[names[0]], fixed, best) if has_gap else None,
    )


def _gain_section(
    quarters: list[QuartileGain], names: list[str], colours: dict[str, str], form: wording.Digits
) -> Section:
    """The gain over the best fixed plan against how unusual the draw is."""
    leading, first, last = names[0], quarters[0].gain, quarters[-1].gain
    near, far = (
        f"{form.number(abs(gain.value))} {'more' if gain.value >= 0 else 'less'}"
        for gain in (first[leading], last[leading])
    )
    text = (
        "How unusual a campaign is: the distance of its channels' log strengths from what is "
        "expected, in standard deviations. In the quarter of campaigns nearest to that, "
        f"{leading} earns {near} than the {BEST_FIXED}, in the furthest {far}; knowing the draw "
        f"would be worth {form.number(first[CLAIRVOYANT].value)} and "
        f"{form.number(last[CLAIRVOYANT].value)}."
    )
    words = "; ".join(
        f"{quarter.low:.2f} to {quarter.high:.2f} sd: "
        + ", ".join(f"{name} {form.signed(quarter.gain[name].value)}" for name in names)
        for quarter in quarters
    )
    picture = Chart(
        "gain_by_draw",
        f"Where adapting pays: what each policy earns beyond the {BEST_FIXED}, with "
        f"{wording.INTERVAL}s, in quarters of the campaigns, the most usual first.",
        f"Points with intervals of the gain over the {BEST_FIXED}: {words}.",
        charts.gain_by_group(
            {name: [quarter.gain[name] for quarter in quarters] for name in names},
            [f"{quarter.low:.1f} to {quarter.high:.1f}" for quarter in quarters],
            "distance of the draw from what is expected [sd]",
            f"more than the {BEST_FIXED}",
            colours,
        ),
    )
    title = "Where adapting pays, and where it does not"
    return Section(title, [text], [_gain_table(quarters, names, form)], [picture])


def _gain_table(quarters: list[QuartileGain], names: list[str], form: wording.Digits) -> Table:
    rows = []
    for quarter in quarters:
        row = [("distance [sd]", f"{quarter.low:.2f} to {quarter.high:.2f}")]
        row += [("campaigns", str(quarter.campaigns))]
        for name in names[:-1]:
            gain = quarter.gain[name]
            row += [(name, form.signed(gain.value))]
            row += [(wording.INTERVAL, wording.ends(gain, form.signed, EPISODE))]
        row += [(CLAIRVOYANT, form.signed(quarter.gain[CLAIRVOYANT].value))]
        closed = wording.share(quarter.gap_closed.value) if quarter.gap_closed else wording.NOTHING
        rows.append([*row, (f"gap closed by {names[0]}", closed)])
    caption = (
        f"By how much each policy earns more than the {BEST_FIXED} on the same campaigns, in "
        "expected engagement, in quarters of the campaigns by how unusual their draws are."
    )
    return table(caption, rows)


def _examples_section(
    days: pd.DataFrame,
    totals: dict[str, Scores],
    names: list[str],
    strengths: Strengths,
    params: CampaignParams,
) -> Section:
    """Three campaigns day by day: what the agent did and saw, and how strong the channels were."""
    leading, shown, words, rows = names[0], [], [], []
    agent, best = (days[days["policy"] == name] for name in (leading, CLAIRVOYANT))
    seed = int(agent["seed"].min())
    agent = agent[agent["seed"] == seed]
    earning = [*names, BEST_FIXED]
    form = wording.digits(max(totals[name].values.max() for name in earning))
    for label, campaign in choose_examples(strengths.deviation, params.channels).items():
        true = [f"{value:.2f}" for value in strengths.strength[campaign]]
        strength = ", ".join(map(" ".join, zip(params.channels, true, strict=True)))
        played, known = (frame[frame["campaign"] == campaign] for frame in (agent, best))
        title = f"{label.capitalize()}\ntrue strength: {strength}"
        shown.append(charts.Played(title, {leading: played, CLAIRVOYANT: known}, played))
        words.append(f"{label} (true strength {strength}): {_in_words(played, params)}")
        earned = [form.number(totals[name].values[0, campaign]) for name in earning]
        rows.append([label, str(campaign), *true, *earned])
    picture = Chart(
        "single_campaigns",
        f"Each row is one campaign: what {leading} did, what the {CLAIRVOYANT} did, and what "
        f"{leading} saw. On the first day nothing has been seen yet; from then on what was seen "
        "may move the budget.",
        f"Stacked bars of spend and lines of metrics by day. {'; '.join(words)}.",
        charts.single_campaigns(shown, params),
    )
    caption = (
        "The true strength of each channel over the nominal one, which only the "
        f"{CLAIRVOYANT} knows, and the expected engagement that each policy earns; of {leading} "
        f"that of training seed {seed}. The number is that of the column campaign in results.csv."
    )
    head = ["campaign", "number", *(f"true {name}" for name in params.channels), *earning]
    return Section("Single campaigns day by day", [CHOSEN], [Table(caption, head, rows)], [picture])


def _in_words(played: pd.DataFrame, params: CampaignParams) -> str:
    spend = wording.digits(params.daily_budget).number
    counts = wording.digits(float(played[list(params.metrics)].to_numpy().max())).number
    return ", ".join(
        f"day {day['day']} spent {'/'.join(spend(day[name]) for name in params.channels)} and saw "
        f"{'/'.join(counts(day[name]) for name in params.metrics)}"
        for _, day in played.iterrows()
    )
