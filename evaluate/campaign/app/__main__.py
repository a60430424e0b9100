"""``python -m evaluate.campaign.app``: opens the what-if page, for this machine alone."""

import importlib.util
import os
import sys
from pathlib import Path
from typing import NamedTuple

import tyro

PAGE = Path(__file__).with_name("page.py")
SETTINGS = {
    "server.address": "localhost",
    "server.fileWatcherType": "none",  # nothing of the project changes while the page is open
    "server.showEmailPrompt": "false",
    "browser.gatherUsageStats": "false",
    "client.showErrorDetails": "none",
    "client.toolbarMode": "minimal",
}


class Args(NamedTuple):
    """Opens a page to try other budgets, other limits, or a plan of your own on a campaign."""

    runs_dir: Path = Path("runs")  # folder of the runs
    port: int = 8501  # port of the page


def main(argv: list[str] | None = None) -> int:
    """Gives way to Streamlit's server; returns an exit code only where it cannot be started."""
    arguments = sys.argv[1:] if argv is None else argv
    args = tyro.cli(Args, args=arguments, prog="python -m evaluate.campaign.app")
    if importlib.util.find_spec("streamlit") is None:
        print(
            "error: streamlit is not installed: make app, or pip install -r requirements-app.txt",
            file=sys.stderr,
        )
        return 2
    settings = SETTINGS | {"server.port": str(args.port)}
    flags = [f"--{name}={value}" for name, value in settings.items()]
    streamlit = [sys.executable, "-m", "streamlit", "run", str(PAGE)]
    command = [*streamlit, *flags, "--", str(args.runs_dir)]
    return os.execv(sys.executable, command)  # noqa: S606 - this very interpreter, and no shell


if __name__ == "__main__":
    sys.exit(main())
