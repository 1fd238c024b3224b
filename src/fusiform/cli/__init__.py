"""The command line: ``fusiform audit | faces | layers | train | report | doctor``."""

from fusiform.cli._app import main

__all__ = ["main"]
