"""Run the simulators with `python -m cbsim`."""

from cbsim.cli import run

run()
