"""What all sessions have in common, checked."""

import dataclasses
import difflib
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

USERS = ("alike", "mixed")


def _number(default: float, low: float, high: float) -> Any:
    return dataclasses.field(default=default, metadata={"low": low, "high": high})


@dataclasses.dataclass(frozen=True)
class AdTimingParams:
    """Parameters of a session; those of impatient users count where users are mixed.

    Attributes:
        h: Chance to leave after an item [1/item].
        u: What a watched item is worth [1/item].
        r: What an ad earns [1/ad].
        b1: Chance to leave at an ad because another was only just shown [1/ad].
        tau: Items in which that chance falls to 1/e [items].
        b0: Chance to leave at any ad [1/ad].
        f: By what part of itself b0 grows with each ad so far [1/ad].
        users: ``alike``, or ``mixed``: each is patient or impatient, which is hidden.
        impatient_share: Part of mixed users that is impatient [1].
        impatient_h: ``h`` of an impatient user [1/item].
        impatient_b1: ``b1`` of an impatient user [1/ad].
        max_items: Steps after which a session is cut off [items].
    """

    h: float = _number(0.04, 0.005, 1.0)
    u: float = _number(0.05, 0.0, 1000.0)
    r: float = _number(1.0, 0.0, 1000.0)
    b1: float = _number(0.5, 0.0, 1.0)
    tau: float = _number(4.0, 0.1, 1000.0)
    b0: float = _number(0.02, 0.0, 1.0)
    f: float = _number(0.0, 0.0, 100.0)
    users: str = "alike"
    impatient_share: float = _number(0.7, 0.0, 1.0)
    impatient_h: float = _number(0.3, 0.005, 1.0)
    impatient_b1: float = _number(0.9, 0.0, 1.0)
    max_items: int = _number(200, 1, 1000)

    def __post_init__(self) -> None:
        """Raises ``ValueError`` that names every bad value and what is allowed."""
        faults = []
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name == "users":
                allowed, is_good = " or ".join(map(repr, USERS)), value in USERS
            else:
                low, high = field.metadata["low"], field.metadata["high"]
                is_whole = field.type is int
                allowed = f"a {'whole ' * is_whole}number from {low:g} to {high:g}"
                is_number = isinstance(value, int if is_whole else (int, float))
                is_good = is_number and not isinstance(value, bool) and low <= value <= high
            if not is_good:
                faults.append(f"{field.name}={value!r}: must be {allowed}")
        if not faults and self.u == self.r == 0.0:
            faults.append("u=0, r=0: nothing can be earned")
        if faults:
            raise ValueError("ad timing: " + "; ".join(faults))

    @property
    def types(self) -> dict[str, tuple[float, "AdTimingParams"]]:
        """Each type of user: its share [1], and parameters of users who are all like that."""
        if self.users == "alike":
            return {"every user": (1.0, self)}
        patient = dataclasses.replace(self, users="alike")
        impatient = dataclasses.replace(patient, h=self.impatient_h, b1=self.impatient_b1)
        share = self.impatient_share
        return {"patient": (1.0 - share, patient), "impatient": (share, impatient)}

    @cached_property
    def freshness(self) -> NDArray[np.float64]:
        """exp(-k / tau) for k from 0 to ``max_items``: how fresh the last ad still is [1]."""
        return np.exp(-np.arange(self.max_items + 1) / self.tau)


def make_params(known: tuple[str, ...], changes: dict[str, Any]) -> AdTimingParams:
    """The default parameters with some changed; ``known`` are other arguments of the caller.

    Raises:
        ValueError: An unknown name, with the nearest that is known, or a bad value.
    """
    names = [*(field.name for field in dataclasses.fields(AdTimingParams)), *known]
    for name in changes:
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            known_names = ", ".join(sorted(names))
            raise ValueError(f"ad timing: unknown parameter {name!r}; {hint}known: {known_names}")
    return AdTimingParams(**changes)
