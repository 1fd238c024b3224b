import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self, TextIO

_PLAIN_EVERY_S = 15.0


class Progress:
    """Progress bars on a terminal, plain lines elsewhere, silence when asked.

    Parameters
    ----------
    quiet : bool, default False
        Say nothing.
    stream : file, optional
        Where to write; standard error when not given, so that standard output stays for results.

    Examples
    --------
    >>> with Progress(quiet=True) as progress:
    ...     step = progress.task("Reading")
    ...     step(1, 2)
    ...     step(2, 2)
    """

    def __init__(self, *, quiet: bool = False, stream: TextIO | None = None) -> None:
        self._quiet = quiet
        self._stream = stream if stream is not None else sys.stderr
        self._live: Any = None

    def __enter__(self) -> Self:
        if not self._quiet and self._stream.isatty():
            from rich.console import Console
            from rich.progress import (
                BarColumn,
                MofNCompleteColumn,
                TextColumn,
                TimeElapsedColumn,
                TimeRemainingColumn,
            )
            from rich.progress import Progress as RichProgress

            self._live = RichProgress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                console=Console(file=self._stream),
            )
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def say(self, text: str) -> None:
        """Write one line.

        Parameters
        ----------
        text : str
            The line.
        """
        if self._live is not None:
            self._live.console.print(text, markup=False, highlight=False)
        elif not self._quiet:
            print(text, file=self._stream, flush=True)

    def task(self, description: str) -> Callable[[int, int], None]:
        """Begin a piece of work.

        Parameters
        ----------
        description : str
            What is being done, in a few words.

        Returns
        -------
        callable
            To be called with ``(done, total)`` as the work goes on.
        """
        if self._quiet:
            return lambda done, total: None
        if self._live is not None:
            live, task = self._live, self._live.add_task(description, total=None)
            return lambda done, total: live.update(task, completed=done, total=total)
        return self._plain_task(description)

    def _plain_task(self, description: str) -> Callable[[int, int], None]:
        start = time.monotonic()
        last = start

        def step(done: int, total: int) -> None:
            nonlocal last
            now = time.monotonic()
            if done < total and now - last < _PLAIN_EVERY_S:
                return
            last = now
            print(f"{description}: {done}/{total} ({now - start:.0f} s)", file=self._stream, flush=True)

        return step
