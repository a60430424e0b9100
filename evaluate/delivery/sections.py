"""The report's parts on deliveries: what a ride is like, unseen pairs, and the map."""

from typing import Any

import pandas as pd

from envs.delivery.city import make_city
from envs.delivery.params import DeliveryParams
from evaluate.delivery import charts
from evaluate.delivery.policies import BLIND, OPTIMUM
from evaluate.domain import Evaluation, FamilySections
from evaluate.report import wording
from evaluate.report.page import Chart, Row, Section, Table, table
from evaluate.report.wording import INTERVAL
from evaluate.results import PolicyResult, policy_results
from evaluate.statistics import scores_of

KINDS = {"pairs trained on": 0.0, "pairs held out": 1.0}  # values of the metric held_out
BLIND_COLOUR, OPTIMUM_COLOUR = "#e08214", "#222222"  # on grey streets


def delivery_sections(evaluation: Evaluation, params: DeliveryParams) -> FamilySections:
    """The table of rides, the pairs held out, and the maps."""
    by_kind = _results_by_kind(evaluation)
    rides = Section("What a ride is like", [], [_rides(evaluation)], [])
    return FamilySections(
        first=(_on_the_map(evaluation, params),),
        rest=(rides, *([_pairs(evaluation, by_kind)] if len(by_kind) > 1 else [])),
        numbers=_numbers(by_kind),
    )


def _results_by_kind(evaluation: Evaluation) -> dict[str, list[PolicyResult]]:
    """The results on the rides of each kind of pair, where there are any."""
    episodes, names = evaluation.results.episodes, evaluation.domain.baselines
    parts = {kind: episodes[episodes["held_out"] == value] for kind, value in KINDS.items()}
    return {
        kind: policy_results(part, evaluation.trained, evaluation.metric, names)
        for kind, part in parts.items()
        if len(part)
    }


def _numbers(by_kind: dict[str, list[PolicyResult]]) -> dict[str, dict[str, Any]]:
    """The gap closed on each kind of pair, by policy."""
    numbers: dict[str, dict[str, Any]] = {}
    for kind, results in by_kind.items():
        for result in results:
            if result.gap_closed:
                part = numbers.setdefault(result.name, {})
                part[f"gap_closed_on_{kind.replace(' ', '_')}"] = result.gap_closed._asdict()
    return numbers


def _rides(evaluation: Evaluation) -> Table:
    """Minutes, lateness and moves of each policy's rides."""
    results = evaluation.results
    moves = results.steps.groupby("policy").size()
    rows: list[Row] = []
    for policy in evaluation.policies:
        means = {
            name: float(scores_of(results.episodes, policy.name, name).values.mean())
            for name in ("minutes", "minutes_late", "on_time")
        }
        count = int((results.episodes["policy"] == policy.name).sum())
        rows.append(
            [
                ("policy", policy.name),
                ("minutes", f"{means['minutes']:.2f}"),
                ("of them late", f"{means['minutes_late']:.2f}"),
                ("on time", f"{means['on_time']:.1%}"),
                ("moves", f"{moves[policy.name] / count:.2f}"),
            ]
        )
    return table("Means over the rides of each policy.", rows)


def _pairs(evaluation: Evaluation, by_kind: dict[str, list[PolicyResult]]) -> Section:
    """The gap closed on pairs that were trained on, and on those that were not."""
    episodes = evaluation.results.episodes
    counts = {
        kind: int((episodes[episodes["policy"] == OPTIMUM]["held_out"] == value).sum())
        for kind, value in KINDS.items()
    }
    rows: list[Row] = []
    for policy in evaluation.policies:
        row: Row = [("policy", policy.name)]
        for kind, results in by_kind.items():
            closed = next(part.gap_closed for part in results if part.name == policy.name)
            value = wording.share(closed.value) if closed else wording.NOTHING
            ends = wording.NOTHING
            if closed:
                ends = wording.ends(closed, wording.share, evaluation.domain.episode)
            row += [(f"gap closed, {kind}", value), (INTERVAL, ends)]
        rows.append(row)
    text = (
        "A share of the pairs of restaurant and customer was never driven in training: "
        f"{counts['pairs held out']:,} of these rides are between such pairs, "
        f"{counts['pairs trained on']:,} between the others. What holds on both was learned about "
        "the city, not about a pair."
    )
    return Section("Pairs that were not trained on", [text], [table("The same gap.", rows)], [])


def _on_the_map(evaluation: Evaluation, params: DeliveryParams) -> Section:
    """Two rides on the map, and the streets that are taken over all rides."""
    agent = evaluation.policies[0]
    colours = {
        BLIND: BLIND_COLOUR,
        OPTIMUM: OPTIMUM_COLOUR,
        agent.name: evaluation.colours[agent.name],
    }
    steps, city = evaluation.results.steps, make_city(params)
    shown = steps[steps["policy"].isin(colours)]
    first = shown["seed"].isna() | (shown["seed"] == agent.seeds[0])
    chosen = _chosen(evaluation.results.episodes)
    rides = {kind: shown[first & (shown["episode"] == ride)] for kind, ride in chosen.items()}
    minutes = "; ".join(
        f"{kind}: " + ", ".join(f"{name} {taken:.0f} min" for name, taken in _minutes(ride).items())
        for kind, ride in rides.items()
    )
    routes = Chart(
        "routes",
        "Routes from the restaurant R to the customer C, on the ride of each kind of pair on which "
        f"the {OPTIMUM} saves most against the {BLIND}: extremes, not typical rides; above "
        "each its minutes in the order of the legend. Wide streets "
        f"are fast when free; arrows are one-way streets. Of {agent.name} the training seed "
        f"{agent.seeds[0]} is shown.",
        f"Maps of the city with routes; {minutes}.",
        charts.routes(city, rides, colours),
    )
    shares = charts.street_shares(shown)
    most = {
        name: "({}, {}) to ({}, {})".format(*max(taken, key=lambda street: taken[street]))
        for name, taken in shares.items()
    }
    streets = Chart(
        "streets",
        "How often each street is taken over all rides, either way: the wider the more often.",
        "Maps of the city; the street that is taken most, by row and column: "
        f"{'; '.join(f'{name} {street}' for name, street in most.items())}.",
        charts.streets(city, shares, colours),
    )
    return Section("On the map", [], [], [routes, streets])


def _minutes(moves: pd.DataFrame) -> dict[str, float]:
    """Minutes of one ride by policy."""
    minutes = moves.groupby("policy")["minutes"].sum()
    return {str(name): float(taken) for name, taken in minutes.items()}


def _chosen(episodes: pd.DataFrame) -> dict[str, int]:
    """The ride of each kind of pair on which the optimum saves most against not looking."""
    optimum, blind = (
        episodes[episodes["policy"] == name].set_index("episode") for name in (OPTIMUM, BLIND)
    )
    gain = optimum["minutes_saved"] - blind["minutes_saved"]
    parts = {kind: gain[optimum["held_out"] == value] for kind, value in KINDS.items()}
    return {
        kind: int(part.index.to_numpy()[part.to_numpy().argmax()])
        for kind, part in parts.items()
        if len(part)
    }
