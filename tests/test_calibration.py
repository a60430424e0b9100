"""Past days to parameters: prior, likelihood, and draws from the posterior."""

from typing import Any, NamedTuple

import numpy as np
import pytest
from scipy import integrate, special, stats

from envs.campaign import calibration as calibration_module
from envs.campaign import model, posterior
from envs.campaign.calibration import PRIORS, Calibration, PastDays, Roles, curvature, mode
from envs.campaign.latent import sample_latent
from envs.campaign.params import FloatArray
from envs.campaign.posterior import Posterior, campaign_fields, fields_at
from tests.benchmarks.calibration import campaign
from tests.tools.histories import BUDGET, ROLES, history, simulated


def small(days: int = 20, metrics: int = 2) -> Calibration:
    rng = np.random.default_rng(0)
    return history(rng, days, channels=1, metrics=metrics, roles=Roles()).calibration


def test_a_point_of_zeros_is_the_prior_median() -> None:
    past = history(np.random.default_rng(1), 30)
    calibration = past.calibration
    found = calibration.parameters(np.zeros(calibration.size))
    spend, counts = calibration.past.usual_spend, calibration.past.usual_metrics
    assert found["half_saturation"] == pytest.approx(0.75 * spend)
    assert found["counts"] == pytest.approx(counts / (3 * spend[:, np.newaxis]))
    assert found["base"] == pytest.approx(0.3 * counts)
    assert found["carry_over"] == pytest.approx(np.full(3, 0.25))
    assert found["loyalty_gain"] == pytest.approx([0.3])
    values = calibration.values(np.ones(calibration.size))
    assert values.nominal.loyalty_lift[1:].tolist() == [0.0, 0.0]
    assert values.nominal.loyalty_lift[0] == pytest.approx(np.exp(PRIORS["loyalty_lift"].sd))
    assert values.nominal.fatigue_rate[[0, 2]].tolist() == [0.0, 0.0]
    assert values.recovery_array[1] == pytest.approx(special.expit(special.logit(0.25) + 1.0))
    assert list(values.building) == [2]
    assert values.weekday.mean() == pytest.approx(1.0)


@pytest.mark.parametrize("roles", [Roles(), ROLES, Roles((0, 2), (1, 2), (0, 1, 2))])
def test_expected_counts_are_those_of_the_campaign_of_the_same_fields(roles: Roles) -> None:
    rng = np.random.default_rng(2)
    past = history(rng, 7, roles=roles)
    point = rng.standard_normal(past.calibration.size)
    params = campaign(3, 3, **fields_at(past.calibration, point))
    played, _ = model.rollout(params, past.calibration.past.spend)
    assert past.calibration.expected(point)[0] == pytest.approx(played, rel=1e-12)


def test_expected_counts_are_those_of_a_second_program() -> None:
    origin, truth = history(np.random.default_rng(0), 20)[1:3]
    again = simulated(origin, truth, lambda share: share / (1.0 + share))
    np.testing.assert_allclose(origin.expected(truth)[0], again, rtol=1e-12)


def test_another_campaign_starts_without_what_the_last_one_left() -> None:
    past = history(np.random.default_rng(3), 10).calibration.past
    parts = past.spend, past.metrics, past.weekday, past.starts
    twice = PastDays(*(np.concatenate([part, part]) for part in parts))
    calibration = Calibration(twice, ROLES, BUDGET)
    mean, _ = calibration.expected(np.full(calibration.size, 0.3))
    weekday = np.concatenate([past.weekday, past.weekday])
    assert twice.weekday.tolist() == weekday.tolist()
    assert mean[10:] == pytest.approx(mean[:10], rel=1e-12)


def chance_of_a_day(counts: FloatArray, rates: FloatArray, r: float, sd: float) -> float:
    """Log-probability of the counts of a day, the shock by SciPy's quadrature."""

    def density(n: float) -> float:
        rate = rates * np.exp(sd * n - sd**2 / 2)
        each = stats.nbinom.logpmf(counts, r, r / (r + rate))
        return float(np.exp(each.sum() + stats.norm.logpdf(n) + 20.0))

    return float(np.log(integrate.quad(density, -8, 8, limit=400)[0]) - 20.0)


def test_the_likelihood_is_that_of_scipys_distributions() -> None:
    calibration = small(days=6)
    points = 0.5 * np.random.default_rng(4).standard_normal((3, calibration.size))
    points[:, -1] = [-1.0, 0.0, 1.5]  # shock_sd .1 to .6
    expected, values = calibration.expected(points)
    counts = calibration.past.metrics
    by_hand = [
        sum(chance_of_a_day(*day, r, sd) for day in zip(counts, mean, strict=True))
        for mean, r, sd in zip(expected, values.dispersion, values.shock_sd, strict=True)
    ]
    prior = -0.5 * np.square(points).sum(axis=1)
    ours = calibration.log_posterior(points) - prior
    constant = special.gammaln(counts + 1).sum() + len(counts) * np.log(2 * np.pi) / 2
    assert ours - constant == pytest.approx(by_hand, abs=0.02)


def test_many_points_have_the_densities_of_each_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    calibration = small()
    points = np.random.default_rng(5).standard_normal((7, calibration.size))
    together = calibration.log_posterior(points)
    monkeypatch.setattr(calibration_module, "MOST_ROWS", 2)
    monkeypatch.setattr(calibration_module, "CHUNK", 5)
    assert calibration.log_posterior(points) == pytest.approx(together, rel=1e-12)


def test_the_mode_is_flat_and_its_curvature_positive() -> None:
    calibration = small()
    center = mode(calibration, [np.zeros(calibration.size)])
    step = 1e-4 * np.eye(calibration.size)
    slope = calibration.log_posterior(center + step) - calibration.log_posterior(center - step)
    assert np.abs(slope / 2e-4).max() < 0.05
    matrix = curvature(calibration, center)
    assert matrix == pytest.approx(matrix.T)
    assert np.linalg.eigvalsh(matrix).min() > 0.5


class Banana(NamedTuple):
    """A density of known moments in place of a posterior.

    The first number is standard normal, and the second bends with its square: x, x^2 / 2 + noise of
    sd .5; the others are normal of mean 1 and sd .3.
    """

    size: int = 6

    def log_posterior(self, points: FloatArray) -> FloatArray:
        first, second, *others = points.T
        bent = -0.5 * first**2 - 0.5 * ((second - first**2 / 2) / 0.5) ** 2
        density: FloatArray = bent - 0.5 * sum(((other - 1.0) / 0.3) ** 2 for other in others)
        return density


def test_draws_have_the_moments_of_a_known_density() -> None:
    known: Any = Banana()
    fitted = posterior.fit(known, np.random.default_rng(0), processes=1)
    assert fitted.is_converged
    draws = fitted.draws
    assert draws.mean(axis=0) == pytest.approx([0.0, 0.5, 1.0, 1.0, 1.0, 1.0], abs=0.12)
    sd = [1.0, np.sqrt(0.5 + 0.25), *(0.3,) * 4]
    assert draws.std(axis=0) == pytest.approx(sd, rel=0.12)
    assert np.corrcoef(draws[:, 0] ** 2, draws[:, 1])[0, 1] == pytest.approx(0.816, abs=0.06)


def test_runs_that_disagree_have_not_converged() -> None:
    calibration = small()
    chains = np.random.default_rng(6).standard_normal((2, 1000, calibration.size))
    assert Posterior(calibration, chains).is_converged
    apart = chains.copy()
    apart[1, :, 3] += 0.7
    assert not Posterior(calibration, apart).is_converged


def test_equal_seeds_give_equal_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(posterior, "DRAWS", 20)
    monkeypatch.setattr(posterior, "FIRST", 512)
    first, second = (
        posterior.fit(small(metrics=1), np.random.default_rng(seed), processes=1) for seed in (3, 3)
    )
    assert first.chains.tolist() == second.chains.tolist()
    assert not np.array_equal(first.chains[0], first.chains[1])


def test_the_campaign_has_the_posterior_mean_and_covariance() -> None:
    past = history(np.random.default_rng(7), 20)
    rng = np.random.default_rng(8)
    chains = 0.3 * rng.standard_normal((2, 4000, past.calibration.size))
    fields = campaign_fields(Posterior(past.calibration, chains))
    params = campaign(3, 3, **fields)
    middle = past.calibration.parameters(np.zeros(past.calibration.size))
    assert fields["counts"] == pytest.approx(middle["counts"], rel=0.02)
    assert params.fatigue[1] == pytest.approx(0.15, rel=0.02)
    sd = np.sqrt(np.diag(params.covariance_array)) / 0.3
    own = {name: PRIORS[name].sd for name in PRIORS}
    names = ["counts"] * 9 + ["half_saturation"] * 3 + ["carry_over"] * 3
    assert sd == pytest.approx(
        [own[name] for name in (*names, "loyalty_lift", "fatigue")], rel=0.05
    )


def test_draws_of_the_campaign_are_those_of_the_posterior() -> None:
    """What the environment draws from its covariance has the posterior's correlations."""
    past = history(np.random.default_rng(9), 20)
    rng = np.random.default_rng(10)
    mix = rng.normal(0, 0.15, (past.calibration.size, past.calibration.size))
    chains = rng.standard_normal((2, 20_000, past.calibration.size)) @ mix
    fitted = Posterior(past.calibration, chains)
    params = campaign(3, 3, **campaign_fields(fitted))
    drawn = sample_latent(params, rng, 40_000)
    values = past.calibration.values(fitted.draws).nominal
    for ours, theirs in zip(drawn, values, strict=True):
        flat, known = (np.log(part.reshape(len(part), -1) + 1e-12) for part in (ours, theirs))
        differs = known.std(axis=0) > 1e-9
        assert flat.std(axis=0)[differs] == pytest.approx(known.std(axis=0)[differs], rel=0.05)
    pair = np.log(drawn.counts[:, 0, 0]), np.log(drawn.inv_half_saturation[:, 2])
    known_pair = np.log(values.counts[:, 0, 0]), np.log(values.inv_half_saturation[:, 2])
    assert np.corrcoef(*pair)[0, 1] == pytest.approx(np.corrcoef(*known_pair)[0, 1], abs=0.03)
