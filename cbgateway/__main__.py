"""Run the command line with `python -m cbgateway`."""

from cbgateway.cli.main import run

run()
