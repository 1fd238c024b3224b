"""``python -m fusiform.cli`` is ``fusiform``."""

from fusiform.cli import main

main()
