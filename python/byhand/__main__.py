"""Run the command `byhand` as `python -m byhand`."""

from byhand.cli import main

main()
