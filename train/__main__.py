"""``python -m train CONFIG``: trains the agents of a config, each seed into a folder of its own."""

import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from train.cli import TrainArgs, parse_args
from train.config import AgentConfig, AgentName, InputError, TrainConfig

if TYPE_CHECKING:
    from train.callbacks import TrainingLog


class Outcome(NamedTuple):
    """How a run ended."""

    folder: Path
    state: Literal["interrupted", "finished"]
    score: dict[str, float]
    seconds: float


def main(argv: list[str] | None = None) -> int:
    """Runs the program; returns its exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    try:
        args = parse_args(arguments)
        return _train_all(args, "python -m train " + shlex.join(arguments))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted before anything was learned", file=sys.stderr)
        return 130


def _train_all(args: TrainArgs, command: str) -> int:
    agents = args.agents or args.train.agents
    parts = {agent: args.train.agent(agent) for agent in agents}
    outcomes = []
    for seed in args.seeds:
        for agent, part in parts.items():
            outcome = _train(agent, part, seed, args, command)
            outcomes.append(outcome)
            print(_summary(agent, seed, outcome), flush=True)
            if outcome.state == "interrupted":
                print(
                    f"interrupted: what was learned is saved in {outcome.folder}; look at it with\n"
                    f"  python -m evaluate {outcome.folder}\nor train anew with\n  {command}",
                    file=sys.stderr,
                )
                return 130
    print("look further:\n  " + "\n  ".join(_next_commands(args)))
    return 0


def _next_commands(args: TrainArgs) -> tuple[str, str]:
    """The two commands to look further: those of the Makefile, or of Python where the runs are elsewhere."""
    if args.runs_dir == Path("runs"):
        return f"make evaluate CONFIG={args.config}", "make tensorboard"
    return (
        f"python -m evaluate {args.config} --runs-dir {args.runs_dir}",
        f"python -m tensorboard.main --logdir {args.runs_dir}",
    )


def _train(agent: AgentName, part: AgentConfig, seed: int, args: TrainArgs, command: str) -> Outcome:
    """One agent, one seed, one folder."""
    import torch
    import torch._dynamo  # the first optimiser step would load it, and its two seconds would count as training

    from train import run_dir
    from train.callbacks import TrainingLog
    from train.learners import LEARNERS
    from train.make_env import flat_observation_space, make_env, make_training_env
    from train.play import mean_score

    config, learner = args.train, LEARNERS[agent]
    torch.set_num_threads(config.torch_threads)
    envs = make_training_env(config.env, part.n_envs, part.stats_window_size)
    folder = run_dir.create_run(args.runs_dir, args.config.stem, agent, seed)
    run_dir.write_description(folder, config, command)
    run_dir.write_state(folder, run_dir.RunState(agent=agent, seed=seed, state="running", timesteps=0))
    start = time.perf_counter()
    with TrainingLog(folder, config.total_timesteps, part.log_interval, f"{agent} seed {seed}") as log:
        model = learner.build(envs, part, seed)
        state = _learn(learner, model, envs, config, seed, log)
        run_dir.write_file(folder / run_dir.MODEL_FILES[agent], lambda path: learner.save(model, path))
        run_dir.write_state(folder, run_dir.RunState(agent=agent, seed=seed, state=state, timesteps=log.timesteps))
    seconds = time.perf_counter() - start
    envs.close()
    judged = make_env(config.env, config.evaluation.campaigns)
    policy = learner.load(
        folder / run_dir.MODEL_FILES[agent], part, flat_observation_space(judged), judged.single_action_space
    )
    score = mean_score(policy, judged, config.evaluation.seed)
    return Outcome(folder, state, score, seconds)


def _learn(
    learner: Any, model: Any, envs: Any, config: TrainConfig, seed: int, log: "TrainingLog"
) -> Literal["interrupted", "finished"]:
    try:
        learner.learn(model, envs, config.total_timesteps, seed, log)
    except KeyboardInterrupt:
        log.finish()
        return "interrupted"
    return "finished"


def _summary(agent: str, seed: int, outcome: Outcome) -> str:
    """The line that ends a run: what the trained policy reaches, and how long it took."""
    from train.play import percent

    share = [value for name, value in outcome.score.items() if name.endswith("/share_of_optimum")]
    total = {name.rsplit("/", 1)[-1]: value for name, value in outcome.score.items()}
    name = next(iter(total))
    reached = f"{name} {total[name]:,.1f}" + (f", {percent(share[0])} of the optimum" if share else "")
    return f"{agent} seed {seed}: {reached}, {outcome.seconds:.1f} s, {outcome.folder}"


if __name__ == "__main__":
    sys.exit(main())
