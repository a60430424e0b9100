"""Configs: shipped files are good, defaults are SB3's, and every fault is named."""

import inspect
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3 import A2C
from stable_baselines3.common.policies import ActorCriticPolicy

from envs.campaign import baselines, model
from envs.campaign.presets import make_params
from train.agents import a2c
from train.cli import parse_args, parse_resume
from train.config import AgentConfig, dump_config, load_config, parse_config, parse_yaml
from train.environment import make_training_env
from train.errors import InputError, first_line, nearest

MINIMAL = "env: {id: CartPole-v1}\ntotal_timesteps: 10\n"


def check(text: str) -> Any:
    return parse_config(parse_yaml(text, "c.yaml"), "c.yaml")


@pytest.mark.parametrize("path", sorted(Path("configs").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_config_is_good_and_survives_being_written(path: Path) -> None:
    config = load_config(path)
    assert parse_config(parse_yaml(dump_config(config), "dump"), "dump") == config


def test_the_brands_campaign_is_what_its_page_says() -> None:
    params = make_params("dynamic", **load_config(Path("configs/brand.yaml")).env.kwargs)
    text = Path("docs/brand.md").read_text(encoding="utf-8")
    rows = [
        [cell.strip().replace(",", "") for cell in row.split("|")[1:-1]]
        for row in re.findall(r"^\|.*\|$", text, re.MULTILINE)
    ]
    for index, channel in enumerate(params.channels):
        counts, behaviour = (row[1:] for row in rows if row[0] == channel)
        assert tuple(map(float, counts[:4])) == params.counts[index], channel
        assert 1 / params.inv_half_saturation[index] == pytest.approx(float(behaviour[0]), abs=0.5)
        fields = ("carry_over", "fatigue", "fatigue_recovery", "loyalty_lift", "loyalty_gain")
        for name, written in zip(fields, behaviour[1:6], strict=True):
            assert float(written) == getattr(params, name)[index], (channel, name)
    best = baselines.best_found(params)
    plans = {
        "best plan": best,
        "best constant split": baselines.best_constant_split(params),
        "even split": baselines.even_split(params),
        "myopic": baselines.myopic(params),
    }
    for name, plan in plans.items():
        metrics = model.rollout(params, plan)[0]
        (row,) = (row for row in rows if row[0] == name)
        assert float(row[1]) == round(model.engagement(params, metrics).sum()), name
        assert list(map(float, row[3:])) == metrics.sum(axis=0).round().tolist(), name
    days = {int(row[0]) - 1: list(map(float, row[1:])) for row in rows if row[0].isdigit()}
    metrics = model.rollout(params, best)[0]
    table = np.column_stack([best, metrics, model.engagement(params, metrics)])
    np.testing.assert_allclose(table[list(days)], list(days.values()), atol=0.5)


def test_what_a_file_leaves_out_is_sb3s_default() -> None:
    config = AgentConfig()
    learned = dict(inspect.signature(A2C.__init__).parameters) | dict(
        inspect.signature(A2C.learn).parameters
    )
    for name in set(AgentConfig.model_fields) - {"n_envs", "learning_rate_end", "policy_kwargs"}:
        assert getattr(config, name) == learned[name].default, name
    policy = inspect.signature(ActorCriticPolicy.__init__).parameters
    assert config.policy_kwargs.ortho_init == policy["ortho_init"].default
    assert config.policy_kwargs.log_std_init == policy["log_std_init"].default
    assert a2c.ACTIVATIONS[config.policy_kwargs.activation_fn] is policy["activation_fn"].default


@pytest.mark.parametrize("use_rms_prop", [True, False])
def test_the_agent_of_an_empty_part_is_sb3s_own(use_rms_prop: bool) -> None:
    config = check(MINIMAL + "a2c: {}")
    part = config.a2c.model_copy(update={"use_rms_prop": use_rms_prop})
    ours = a2c.build(make_training_env(config.env, 1, 100), part, seed=3)
    theirs = A2C("MlpPolicy", "CartPole-v1", use_rms_prop=use_rms_prop, seed=3, device="cpu")
    assert str(ours.policy) == str(theirs.policy)
    for mine, their in zip(ours.policy.parameters(), theirs.policy.parameters(), strict=True):
        assert torch.equal(mine, their)
    assert (
        ours.policy.optimizer.state_dict()["param_groups"]
        == theirs.policy.optimizer.state_dict()["param_groups"]
    )
    assert type(ours.policy.optimizer) is type(theirs.policy.optimizer)
    for name in (
        "n_steps",
        "gamma",
        "gae_lambda",
        "ent_coef",
        "vf_coef",
        "max_grad_norm",
        "normalize_advantage",
    ):
        assert getattr(ours, name) == getattr(theirs, name)


def test_numbers_may_be_written_as_people_write_them() -> None:
    config = check(
        "env: {id: x}\ntotal_timesteps: 2e5\n"
        "a2c: {learning_rate: 1e-3, max_grad_norm: .inf, n_envs: 1_000}"
    )
    assert config.total_timesteps == 200_000
    assert (config.a2c.learning_rate, config.a2c.max_grad_norm, config.a2c.n_envs) == (
        1e-3,
        float("inf"),
        1000,
    )


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", ["c.yaml: is empty", "env, total_timesteps"]),
        ("- 1", ["c.yaml: holds list"]),
        ("env: {id: x}", ["key 'total_timesteps' is missing", "[steps]"]),
        (MINIMAL, ["no agent", "a2c, reference"]),
        (
            MINIMAL + "a2c: {lerning_rate: 1}",
            ["'a2c.lerning_rate' (did you mean 'learning_rate'?)", "known: n_envs"],
        ),
        (MINIMAL + "a2c: {}\nreferense: {}", ["'referense' (did you mean 'reference'?)"]),
        (MINIMAL + "a2c: {n_envs: 0}", ["a2c.n_envs=0", "greater than or equal to 1"]),
        (MINIMAL + "a2c: {n_envs: true}", ["a2c.n_envs=True", "integer"]),
        (MINIMAL + "a2c: {n_envs: '4'}", ["a2c.n_envs='4'", "integer"]),
        (MINIMAL + "a2c: {gamma: 1.5, gae_lambda: -1}", ["a2c.gamma=1.5", "a2c.gae_lambda=-1"]),
        (MINIMAL + "a2c: {learning_rate: .nan}", ["a2c.learning_rate=nan", "finite"]),
        (MINIMAL + "a2c: {policy_kwargs: {activation_fn: elu}}", ["'elu'", "'tanh' or 'relu'"]),
        (MINIMAL + "a2c: {policy_kwargs: {net_arch: [64, x]}}", ["net_arch.1='x'"]),
        (MINIMAL + "a2c: {n_envs: 2e6}", ["a2c.n_envs=2000000", "less than or equal to 1000000"]),
        (
            MINIMAL + "a2c: {learning_rate: 1e31}",
            ["a2c.learning_rate=1e+31", "less than or equal to"],
        ),
        (
            MINIMAL + "torch_threads: 2000\na2c: {}",
            ["torch_threads=2000", "less than or equal to 1024"],
        ),
        (
            MINIMAL + "a2c: {}\nevaluation: {campaigns: 5}",
            ["evaluation.campaigns: is now called 'n_eval_episodes'"],
        ),
        (MINIMAL + "a2c: 3", ["a2c=3", "mapping with the keys n_envs"]),
        (MINIMAL + "a2c: {normalize_advantage: true, n_steps: 1}", ["rollout of 2 or more"]),
        ("a: 1\na: 2", ["line 2", "'a' stands twice"]),
        ("a: [1", ["line 1"]),
        ("a: !!python/object/apply:os.system [ls]", ["could not determine a constructor"]),
        ("? [1]\n: 2", ["is not a name"]),
        ("\x00", ["is not YAML"]),
    ],
)
def test_every_fault_is_named(text: str, parts: list[str]) -> None:
    with pytest.raises(InputError) as error:
        check(text)
    for part in parts:
        assert part in str(error.value)
    assert "pydantic" not in str(error.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "linear.yaml").write_text(MINIMAL)
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(InputError, match=r"linaer.yaml: no such file \(did you mean .*linear.yaml"):
        load_config(tmp_path / "linaer.yaml")
    with pytest.raises(InputError, match="is not UTF-8 text"):
        load_config(tmp_path / "binary.yaml")
    with pytest.raises(InputError, match="cannot be read"):
        load_config(tmp_path)


def test_a_byte_order_mark_is_accepted(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("\ufeff" + MINIMAL + "a2c: {}", encoding="utf-8")
    assert load_config(tmp_path / "c.yaml").agents == ("a2c",)


def test_every_field_can_be_set_on_the_command_line() -> None:
    args = parse_args(
        [
            *(
                "configs/linear.yaml",
                "--seeds",
                "3",
                "4",
                "3",
                "--agents",
                "a2c",
                "--total-timesteps",
                "500",
            ),
            *(
                "--a2c.learning-rate",
                "1e-4",
                "--a2c.policy-kwargs.net-arch",
                "8",
                "8",
                "--env.kwargs.reward-scale",
                "0.5",
            ),
            *(
                "--a2c.max-grad-norm",
                "inf",
                "--a2c.no-normalize-advantage",
                "--a2c.learning-rate-end",
                "None",
            ),
        ]
    )
    assert (args.seeds, args.agents, args.train.total_timesteps) == ((3, 4), ("a2c",), 500)
    part = args.train.agent("a2c")
    assert (part.learning_rate, part.policy_kwargs.net_arch, part.max_grad_norm) == (
        1e-4,
        (8, 8),
        float("inf"),
    )
    assert (part.normalize_advantage, part.learning_rate_end) == (False, None)
    assert args.train.env.kwargs == {"reward_scale": 0.5}
    assert args.train.reference == load_config(Path("configs/linear.yaml")).reference


def test_the_command_line_reads_numbers_as_a_file_does() -> None:
    args = parse_args(["configs/linear.yaml", "--total-timesteps", "2e5", "--seeds", "1e1"])
    assert (args.train.total_timesteps, args.seeds) == (200_000, (10,))
    resume = parse_resume(["--resume", "run", "--total-timesteps", "1e3"])
    assert resume is not None
    assert resume.total_timesteps == 1000


@pytest.mark.parametrize("number", ["1.5", "inf", "nan", "many"])
def test_other_numbers_are_refused(number: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        parse_args(["configs/linear.yaml", "--total-timesteps", number])
    assert stop.value.code == 2
    assert "--total-timesteps" in capsys.readouterr().err


def test_an_error_without_a_message_is_called_by_its_class() -> None:
    assert first_line(MemoryError()) == "MemoryError"
    assert first_line(ValueError("\nsecond")) == "ValueError"
    assert first_line(ValueError("first:\nsecond")) == "first"


def test_the_nearest_name_is_a_hint_alone() -> None:
    assert nearest("lineer", ["linear", "dynamic"]) == " (did you mean 'linear'?)"
    assert nearest("quite different", ["linear", 3]) == ""


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "no config named"),
        (["--seeds", "1"], "no config named|no such file"),
        (
            ["configs/linear.yaml", "--agents", "a2d"],
            r"a2d: unknown agent \(did you mean 'a2c'\?\)",
        ),
        (["configs/linear.yaml", "--seeds", "-1"], "--seeds -1: must be from 0"),
        (["configs/linear.yaml", "--a2c.n-envs", "-3"], "command line: a2c.n_envs=-3"),
        (["configs/linear.yml"], "no such file"),
        (
            ["configs/linear.yaml", "--evaluation.campaigns", "5"],
            "--evaluation.campaigns: is now called --evaluation.n-eval-episodes",
        ),
    ],
)
def test_a_bad_command_line_is_answered_in_our_words(argv: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_args(argv)


def test_a_mistyped_flag_is_answered_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        parse_args(["configs/linear.yaml", "--a2c.learnin-rate", "3"])
    assert stop.value.code == 2
    printed = capsys.readouterr()
    assert "--a2c.learning-rate" in printed.out + printed.err


def test_help_lists_every_field_with_its_value(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        parse_args(["configs/linear.yaml", "--help"])
    assert stop.value.code == 0
    printed = capsys.readouterr().out
    for name in AgentConfig.model_fields:
        assert f"--a2c.{name.replace('_', '-')}" in printed
    assert "512" in printed
