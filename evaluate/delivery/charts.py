"""Charts of deliveries: routes on the map of the city, and which streets are taken."""

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from envs.delivery.city import City
from envs.delivery.rendering import draw_map, mark
from evaluate.report.charts import DPI, legend_of, theme

ENDS = ["start_row", "start_column", "end_row", "end_column"]
Shares = dict[tuple[int, ...], float]
"""A street by row and column of its ends, to the share of rides that take it."""

_APART = 0.1  # of a block between two routes on the same street
_MOST_WIDTH = 9.0  # of the street that is taken most [points]


def routes(city: City, rides: dict[str, pd.DataFrame], colours: dict[str, str]) -> Figure:
    """A map for each ride, title to its moves, with a line and the minutes of each policy."""
    with theme():
        figure = Figure(figsize=(4.2 * len(rides), 5.2), dpi=DPI, layout="constrained")
        grid = figure.subplots(1, len(rides), squeeze=False)[0]
        for axes, (title, moves) in zip(grid, rides.items(), strict=True):
            draw_map(axes, city)
            minutes = moves.groupby("policy")["minutes"].sum()
            for place, (policy, colour) in enumerate(colours.items()):
                route = moves[moves["policy"] == policy]
                rows = [*route["start_row"][:1], *route["end_row"]]
                columns = [*route["start_column"][:1], *route["end_column"]]
                aside = _APART * (place - (len(colours) - 1) / 2)
                axes.plot(
                    [column + aside for column in columns],
                    [row + aside for row in rows],
                    color=colour,
                    linewidth=2.5,
                    zorder=3,
                )
            first, last = moves.iloc[0], moves.groupby("policy").tail(1).iloc[0]
            width = int(city.place[-1, 1]) + 1
            mark(
                axes,
                city,
                int(first["start_row"] * width + first["start_column"]),
                int(last["end_row"] * width + last["end_column"]),
            )
            taken = ", ".join(f"{minutes[policy]:.0f}" for policy in colours) + " min"
            axes.set_title(f"{title}\n{taken}", fontsize=10)
        lines = {name: Line2D([], [], color=colour, lw=2.5) for name, colour in colours.items()}
        legend_of(figure, lines)
    return figure


def streets(city: City, shares: dict[str, Shares], colours: dict[str, str]) -> Figure:
    """A map for each policy, from ``street_shares``: the wider a street the more rides take it."""
    most = max(share for of_policy in shares.values() for share in of_policy.values())
    with theme():
        figure = Figure(figsize=(3.0 * len(colours), 3.3), dpi=DPI, layout="constrained")
        grid = figure.subplots(1, len(colours), squeeze=False)[0]
        for axes, (policy, colour) in zip(grid, colours.items(), strict=True):
            draw_map(axes, city, thin=True)
            for (row, column, last_row, last_column), share in shares[policy].items():
                width = _MOST_WIDTH * share / most
                axes.plot([column, last_column], [row, last_row], color=colour, linewidth=width)
            axes.set_title(policy, fontsize=10)
    return figure


def street_shares(moves: pd.DataFrame) -> dict[str, Shares]:
    """Share of the rides of a policy that take a street, either way, by policy and its ends [1]."""
    ridden = moves[(moves[ENDS[:2]].to_numpy() != moves[ENDS[2:]].to_numpy()).any(axis=1)]
    south = (ridden["start_row"] > ridden["end_row"]) | (
        ridden["start_column"] > ridden["end_column"]
    )
    flipped = ridden.loc[south, ENDS].to_numpy()[:, [2, 3, 0, 1]]
    ridden = ridden.copy()
    ridden.loc[south, ENDS] = flipped
    rides = moves.drop_duplicates(["policy", "seed", "episode"]).groupby("policy").size()
    taken = ridden.groupby(["policy", *ENDS]).size().to_dict()
    shares: dict[str, Shares] = {}
    for (policy, *street), count in taken.items():
        shares.setdefault(policy, {})[tuple(map(int, street))] = count / rides[policy]
    return shares
