"""The report of a campaign fitted to past days: each section opens with its conclusion."""

from pathlib import Path

import numpy as np
from scipy import special

from envs.campaign.calibration import PRIORS
from envs.campaign.params import FloatArray
from evaluate.campaign.calibrate import charts
from evaluate.campaign.calibrate.fit_check import FitCheck, check_fit
from evaluate.campaign.calibrate.fitted import (
    BAND,
    BASE,
    QUANTILES,
    Fitted,
    Parameter,
    Range,
    parameters_of,
    range_of,
)
from evaluate.campaign.calibrate.trial import Trials
from evaluate.campaign.calibrate.trial_report import trial_section
from evaluate.campaign.calibrate.untold import BLOCKS, Caveat, warnings_of
from evaluate.report import wording
from evaluate.report.page import Chart, Report, Section, Table, html, pictures_of, table
from evaluate.report.wording import listed, one_of, short
from train.storage.files import write_text

RANGE = f"{BAND:.0%} interval"
GROUPS = {
    "What a channel earns": ("counts", "half_saturation", "carry_over"),
    "What a channel does to the audience": (
        "loyalty_lift",
        "loyalty_gain",
        "loyalty_decay",
        "fatigue",
        "fatigue_recovery",
    ),
    "What comes without spend, and chance": ("base", "weekday", "dispersion", "shock_sd"),
}
MEANINGS = {
    "counts": "counts that the first {one} on a channel earns",
    "half_saturation": "the steady spend at which a channel earns half of the most that it can "
    "[{unit}/day]",
    "carry_over": "the share of an effect that is still there a day later",
    "loyalty_lift": "how many times its strength full loyalty adds to a channel",
    "loyalty_gain": "the share of the disloyal that a full day wins at the most",
    "loyalty_decay": "the share of loyalty lost each day",
    "fatigue": "how fast a day of full spend wears a channel out (minus the logarithm of what is "
    "left)",
    "fatigue_recovery": "the share of the wear that mends each day",
    "base": "counts a day without any spend",
    "weekday": "a weekday against the mean day",
    "dispersion": "the larger, the less each metric varies by chance (size of the negative "
    "binomial)",
    "shock_sd": "how much days vary by what all metrics share (standard deviation of a logarithm)",
}


def write_report(
    fitted: Fitted,
    path: Path,
    title: str = "What the past days tell",
    seed: int = 0,
    trials: Trials | None = None,
) -> None:
    """Writes the page, its pictures inside, to a file.

    Args:
        fitted: What is reported.
        path: The HTML file; what it held before stays until all of the new is there.
        title: Heading of the page.
        seed: Of the counts that the fitted campaign is made to bring.
        trials: What could be tried next, if the page is to say so.
    """
    report = report_of(fitted, title, np.random.default_rng(seed), trials)
    write_text(path, html(report, pictures_of(report)))


def report_of(
    fitted: Fitted, title: str, rng: np.random.Generator, trials: Trials | None = None
) -> Report:
    """Everything that the page shows."""
    check, caveats = check_fit(fitted, rng), warnings_of(fitted)
    sections = [
        _outcome(fitted, check),
        _learned(fitted, parameters_of(fitted, rng)),
        _responses(fitted),
        _contributions(fitted),
        _observed(fitted, check),
        _marginal(fitted),
        _untold(caveats),
    ]
    if trials is not None:
        sections.append(trial_section(fitted, trials))
    return Report(title, None, _result(fitted, caveats), sections, _provenance(fitted))


def _result(fitted: Fitted, caveats: tuple[Caveat, ...]) -> str:
    first, best = _most(fitted.shares[:, :-1]), _most(fitted.marginal)
    sentence = (
        f"After {len(fitted.past.spend):,} days, {fitted.channels[first]} "
        f"{'earns' if len(fitted.channels) == 1 else 'earned most of all channels:'} "
        f"{_with_band(fitted.shares[:, first], _percent)} of the engagement."
    )
    if len(fitted.channels) > 1:
        sentence += f" {_best_next(fitted, best)}"
    if not fitted.posterior.is_converged:
        sentence = f"The computation did not converge: trust none of these figures. {sentence}"
    if any(caveat.kind == "split" for caveat in caveats):
        sentence += " But these days do not tell how to split the budget."
    return sentence


def _outcome(fitted: Fitted, check: FitCheck) -> Section:
    """Days, campaigns, how sure the computation is, how the counts lie."""
    past, posterior = fitted.past, fitted.posterior
    is_converged = posterior.is_converged
    conclusion = (
        f"The computation {'converged' if is_converged else 'did not converge'}, and "
        f"{check.share:.0%} of the {past.metrics.size:,} counts lie where the fitted campaign "
        f"expects {BAND:.0%} of them."
    )
    if not is_converged:
        conclusion += " Without convergence the figures below must not be used: fit again."
    campaigns = int(past.starts.sum())
    when = f", {fitted.dates[0]} to {fitted.dates[-1]}" if fitted.dates else ""
    counted = past.metrics @ np.array(fitted.weights)
    weighted = " + ".join(
        name if weight == 1 else f"{short(weight)} {name}"
        for weight, name in zip(fitted.weights, fitted.metrics, strict=True)
        if weight
    )
    rows = [
        ("days", f"{len(past.spend):,}{when}"),
        ("campaigns", f"{campaigns:,}"),
        (
            "spent in all",
            f"{wording.digits(past.spend.sum()).number(past.spend.sum())} {fitted.unit}",
        ),
        (
            "engagement in all",
            f"{wording.digits(counted.sum()).number(counted.sum())} ({weighted})",
        ),
        (
            "computation",
            f"R-hat at most {posterior.r_hat.max():.3f}, at least "
            f"{posterior.effective.min():,.0f} effective draws of {len(posterior.draws):,}",
        ),
    ]
    facts = table(
        "The days, and how sure the computation is: independent runs of it agree where R-hat is "
        "close to 1.",
        [[("what", label), ("value", text)] for label, text in rows],
    )
    return Section("What came out", [conclusion, *fitted.notices], [facts], [])


def _learned(fitted: Fitted, parameters: list[Parameter]) -> Section:
    """Each number before and after."""
    halved = sum(parameter.narrowed >= 0.5 for parameter in parameters)
    of_channels = [each for each in parameters if each.block in GROUPS["What a channel earns"]]
    most = max(of_channels, key=lambda parameter: parameter.narrowed)
    conclusion = (
        f"Of the {len(parameters)} numbers of the campaign, {halved or 'none'} became at least "
        f"twice as sure as before; of what channels earn, most was learned of {_name(most)}."
    )
    groups = {
        title: chosen
        for title, blocks in GROUPS.items()
        if (chosen := [parameter for parameter in parameters if parameter.block in blocks])
    }
    tables = [_parameters(fitted, title, chosen) for title, chosen in groups.items()]
    points = range_of(fitted.posterior.draws)
    rows = {
        title: [charts.interval(_name(each), points, each.position) for each in chosen]
        for title, chosen in groups.items()
    }
    low, _, high = special.ndtri(QUANTILES)
    chart = Chart(
        "learned",
        f"Each number before and after these days: the grey band holds {BAND:.0%} of what was "
        "believed before, a line as much of what is left. A line as wide as the band: nothing was "
        "learned. A line away from the middle: it differs from what was expected.",
        "Intervals, by how much each is narrower than before: "
        + "; ".join(f"{_name(each)} {_percent(each.narrowed)}" for each in parameters)
        + ".",
        charts.learned(rows, (low, high)),
    )
    return Section("What was learned of each number", [conclusion], tables, [chart])


def _name(parameter: Parameter) -> str:
    title = BLOCKS[parameter.block]
    return f"{title}: {', '.join(parameter.places)}" if parameter.places else title


def _parameters(fitted: Fitted, title: str, parameters: list[Parameter]) -> Table:
    rows = [
        [
            ("number", _name(each)),
            ("before", short(float(each.before.middle))),
            (RANGE, _ends(each.before)),
            ("after", short(float(each.after.middle))),
            (f"{RANGE} ", _ends(each.after)),
            ("narrower by", _percent(each.narrowed)),
        ]
        for each in parameters
    ]
    blocks = dict.fromkeys(parameter.block for parameter in parameters)
    meanings = "; ".join(f"{BLOCKS[block]}: {MEANINGS[block]}" for block in blocks)
    meanings = meanings.format(one=one_of(fitted.unit), unit=fitted.unit)
    caption = (
        f"{title}, median and {RANGE} before and after; narrower by: the standard deviation "
        f"of the logarithm (of shares: the logit). {meanings[0].upper()}{meanings[1:]}."
    )
    return table(caption, rows)


def _responses(fitted: Fitted) -> Section:
    """What steady spend on each channel earns."""
    slopes = range_of(fitted.slope).middle
    flat, usual = int(slopes.argmin()), fitted.past.usual_spend
    conclusion = (
        f"Closest to its ceiling is {fitted.channels[flat]}: at its usual "
        f"{_money(fitted, usual[flat])} a day, one more {one_of(fitted.unit)} earns "
        f"{_with_band(fitted.slope[:, flat], _percent)} of what the first one earned."
    )
    limits = zip(
        fitted.channels, fitted.past.spend.min(axis=0), fitted.past.spend.max(axis=0), strict=True
    )
    ever = "; ".join(f"{name} {short(low)} to {short(high)}" for name, low, high in limits)
    names = [fitted.channels[channel] for channel in fitted.calibration.roles.building]
    loyal = (
        f" What {listed(names)} earns later, through loyalty, is not in its curve."
        if names and fitted.calibration.roles.lifted
        else ""
    )
    chart = Chart(
        "response_curves",
        f"Engagement of an average day with a steady spend on each channel, median and {BAND:.0%} "
        "band, without loyalty and fatigue. A mark for each day's spend; where it is shaded "
        f"nothing was ever spent, and the curve rests on its form alone.{loyal}",
        f"Response curves. Spent so far, in {fitted.unit} a day: {ever}.",
        charts.responses(fitted),
    )
    return Section("What spend on each channel earns", [conclusion], [], [chart])


def _contributions(fitted: Fitted) -> Section:
    """What each day's engagement came from."""
    first = _most(fitted.shares[:, :-1])
    conclusion = (
        f"{_with_band(fitted.shares[:, -1], _percent)} of the engagement would have come without "
        f"any spend; {'of the channels ' * (len(fitted.channels) > 1)}{fitted.channels[first]} "
        f"brought {'most, ' * (len(fitted.channels) > 1)}"
        f"{_with_band(fitted.shares[:, first], _percent)}."
    )
    totals, spent = fitted.contributions.sum(axis=1), fitted.past.spend.sum(axis=0)
    form = wording.digits(float(np.median(totals.sum(axis=1)))).number
    rows = []
    for i, name in enumerate(fitted.sources):
        total, share = range_of(totals[:, i]), range_of(fitted.shares[:, i])
        each = "-" if name == BASE else short(float(total.middle) / spent[i])
        rows.append(
            [
                ("from", name),
                ("engagement", form(float(total.middle))),
                (RANGE, f"{form(float(total.low))} to {form(float(total.high))}"),
                ("share of all", _percent(float(share.middle))),
                (f"{RANGE} ", f"{_percent(float(share.low))} to {_percent(float(share.high))}"),
                (f"spent [{fitted.unit}]", "-" if name == BASE else short(spent[i], 4)),
                (f"engagement per {one_of(fitted.unit)}", each),
            ]
        )
    shares = table(
        "What engagement came from over all days, median and interval. A channel has what its own "
        "effect earned on each day, carry-over included: a lift by loyalty counts for the channel "
        "that is lifted, and fatigue is taken off the channel that tires.",
        rows,
        copy_as="contributions.csv",
    )
    words = "; ".join(f"{row[0][1]} {row[3][1]}" for row in rows)
    campaigns = " A dotted line marks the start of another campaign."
    stacked = Chart(
        "contributions",
        "Day by day: mean expected engagement by what it comes from, and what was counted."
        f"{campaigns * bool(fitted.past.starts.sum() > 1)}",
        f"Stacked bars of engagement by day. Shares of all: {words}.",
        charts.contributions(fitted),
    )
    bands = Chart(
        "contribution_bands",
        f"The same apart, each with its {BAND:.0%} band: where bands are wide, these days do not "
        "tell which of them earned it.",
        f"Lines of engagement by day for {listed(fitted.sources)}.",
        charts.contribution_bands(fitted),
    )
    return Section("What engagement came from", [conclusion], [shares], [stacked, bands])


def _observed(fitted: Fitted, check: FitCheck) -> Section:
    """Counts against what the fitted campaign brings."""
    if check.is_good:
        verdict = "Nothing speaks against the fit:"
    elif check.few:
        verdict = f"The fit does not hold for {listed(check.few)}:"
    else:
        verdict = "The fit misses something:"
    conclusion = (
        f"{verdict} {check.share:.0%} of all counts lie in the band in which {BAND:.0%} were to be "
        "expected."
    )
    few = []
    if check.few:
        few.append(
            f"Of {listed(check.few)} clearly fewer counts than chance allows lie in the band: "
            "these days vary by more than the model knows, and all intervals of this page are too "
            "narrow."
        )
    rows = [
        [("metric", name), ("days", f"{len(within):,}"), ("in the band", f"{within.mean():.0%}")]
        for name, within in zip(fitted.metrics, check.is_within.T, strict=True)
    ]
    chart = Chart(
        "observed_and_predicted",
        f"What was counted on each day, over the median and the {BAND:.0%} band of what the "
        "fitted campaign brings for the same spends, chance included.",
        "Counts by day over their bands; in the band are "
        + "; ".join(f"{name} {share}" for (_, name), _, (_, share) in rows)
        + ".",
        charts.observed(fitted, check),
    )
    inside = table(f"How many days lie in the {BAND:.0%} band.", rows)
    text = [conclusion, *few, *check.patterns]
    return Section("Does the fit explain the days?", text, [inside], [chart])


def _marginal(fitted: Fitted) -> Section:
    """What one more unit on each channel earns."""
    middle = range_of(fitted.marginal).middle
    order = np.argsort(-middle)
    one, usual, best = one_of(fitted.unit), fitted.past.usual_spend, _most(fitted.marginal)
    conclusion = _best_next(fitted, best)
    chances = np.bincount(fitted.marginal.argmax(axis=1), minlength=len(usual)) / len(fitted.points)
    rows = [
        [
            ("channel", fitted.channels[i]),
            (f"usual spend [{fitted.unit}/day]", short(usual[i])),
            (f"engagement of one more {one}", short(middle[i])),
            (RANGE, _ends(range_of(fitted.marginal[:, i]))),
            ("earns most with probability", f"{chances[i]:.0%}"),
        ]
        for i in order
    ]
    caption = (
        f"What one more {one} a day on a channel earns at its usual spend (the median of the days "
        "with spend), best first; without what it does through loyalty and fatigue."
    )
    chart = Chart(
        "marginal_return",
        f"The same as a picture: median and {RANGE}. Where intervals overlap much, these days do "
        "not settle which channel should get the next unit.",
        "Points with intervals: " + "; ".join(f"{row[0][1]} {row[2][1]}" for row in rows) + ".",
        charts.marginal(fitted, order.tolist()),
    )
    return Section(f"What one more {one} earns", [conclusion], [table(caption, rows)], [chart])


def _best_next(fitted: Fitted, best: int) -> str:
    """Which channel's next unit earns most, and how sure that is."""
    amount = _with_band(fitted.marginal[:, best], short)
    name, one = fitted.channels[best], one_of(fitted.unit)
    if len(fitted.channels) == 1:
        return f"One more {one} on {name} earns {amount} engagement."
    sure = np.mean(fitted.marginal.argmax(axis=1) == best)
    return (
        f"One more {one} a day earns most on {name}, {amount} engagement; with a probability of "
        f"{sure:.0%} it is the best place for it."
    )


def _untold(caveats: tuple[Caveat, ...]) -> Section:
    """What the days do not tell."""
    serious = [caveat for caveat in caveats if caveat.kind != "prior"]
    conclusion = "The days varied enough to tell the channels apart."
    if serious:
        count = "One thing" if len(serious) == 1 else f"{len(serious)} things"
        conclusion = f"{count} these days cannot tell, however they are computed."
    return Section(
        "What these days cannot tell", [conclusion, *(caveat.text for caveat in caveats)], [], []
    )


def _provenance(fitted: Fitted) -> dict[str, str]:
    blocks = [block.name for block in fitted.calibration.blocks]
    sources = "\n".join(f"{BLOCKS[name]}: {PRIORS[name].source}" for name in blocks)
    return {
        "model": "adstock, saturation, loyalty and fatigue, weekdays, negative binomial counts "
        "with a shock that the metrics of a day share",
        "computation": f"{len(fitted.posterior.chains)} independent runs of sequential Monte "
        f"Carlo, {len(fitted.posterior.draws):,} draws from the posterior; intervals leave out 5% "
        "of them at either end",
        "priors": sources,
    }


def _most(draws: FloatArray) -> int:
    """The column (draws, columns) with the highest median."""
    return int(range_of(draws).middle.argmax())


def _with_band(draws: FloatArray, form: wording.Form) -> str:
    low, middle, high = map(float, range_of(draws))
    return f"{form(middle)} ({RANGE} {form(low)} to {form(high)})"


def _ends(band: Range) -> str:
    return f"{short(float(band.low))} to {short(float(band.high))}"


def _percent(share: float) -> str:
    return f"{share:.0%}"


def _money(fitted: Fitted, amount: float) -> str:
    return f"{short(amount)} {fitted.unit}"
