import hashlib
import json
import shutil
from collections.abc import Collection
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from fusiform._files import atomic_write, explain_full_disk
from fusiform.errors import RunError, nearest
from fusiform.runs._environment import environment

if TYPE_CHECKING:
    import pandas as pd

_OWN = ("tables", "images", "maps", "networks", "parts", "report.html", "run.json")


class Run:
    """A run folder: ``run.json``, ``tables/*.parquet``, ``images/`` and ``report.html``.

    Make one with `Run.start`, read one with `Run.open`. Finished pieces of a long run lie in ``parts/``
    until the run is complete, so a second start with the same request continues where the first stopped.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> import pandas as pd
    >>> with TemporaryDirectory() as folder:
    ...     run = Run.start(Path(folder) / "run", {"study": "audit", "seed": 0})
    ...     run.write_table("probes", pd.DataFrame({"layer": ["fc"], "value": [0.9]}))
    ...     run.finish()
    ...     Run.open(run.path).table("probes").value.tolist()
    [0.9]
    """

    def __init__(self, path: Path, record: dict[str, Any]) -> None:
        self.path = path
        self._record = record

    # Making and opening -------------------------------------------------------------------------------

    @classmethod
    def start(
        cls,
        path: str | Path,
        request: dict[str, Any],
        *,
        overwrite: bool = False,
        not_compared: Collection[str] = (),
    ) -> Self:
        """Make a run folder, or continue an unfinished one that was asked the same.

        Parameters
        ----------
        path : str or Path
            The folder.
        request : dict
            What is asked, as plain JSON values.
        overwrite : bool, default False
            Replace what an earlier run left there. Only what a run writes is removed.
        not_compared : collection of str, optional
            Keys of the request that do not change what is measured, such as a memory budget. A run that is continued
            may be asked other values of these, which are then recorded.

        Returns
        -------
        Run
            Its `resumed` says whether finished parts were found.

        Raises
        ------
        RunError
            If the folder holds a complete run, a run with another request, or something else.
        """
        path = Path(path).expanduser()
        request = json.loads(json.dumps(request))
        if path.exists() and not path.is_dir():
            raise RunError(f"The run folder '{path}' is a file. Give the name of a folder to make.")
        if path.is_dir() and any(path.iterdir()):
            record = _read_record(path)
            if record is None:
                raise RunError(
                    f"The folder '{path}' is not empty and holds no run.json. Choose another folder; nothing "
                    "was changed."
                )
            # A run that stopped before anything was finished has nothing to lose.
            difference = _difference(record.get("request", {}), request, not_compared)
            if not overwrite and record.get("status") == "complete":
                raise RunError(
                    f"The folder '{path}' holds a complete run of {record.get('started', 'an earlier time')}. "
                    "Choose another folder, or pass --overwrite (overwrite=True) to replace it."
                )
            if not overwrite and difference and _has_results(path):
                raise RunError(
                    f"The folder '{path}' holds an unfinished run that was asked something else "
                    f"({difference}). Choose another folder, or pass --overwrite (overwrite=True) to replace it."
                )
            if overwrite or difference:
                _remove_own(path)
            else:
                run = cls(path, record)
                run.record(request=request, environment=environment())
                return run
        record = {
            "format": 1,
            "status": "running",
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
            "request": request,
            "environment": environment(),
            "timings": {},
        }
        run = cls(path, record)
        run._save()
        return run

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Open a run folder for reading.

        Parameters
        ----------
        path : str or Path
            The folder.

        Returns
        -------
        Run
            The run.

        Raises
        ------
        RunError
            If the folder holds no readable run.json.
        """
        path = Path(path).expanduser()
        record = _read_record(path) if path.is_dir() else None
        if record is None:
            raise RunError(f"'{path}' is not a run folder: it holds no readable run.json.")
        return cls(path, record)

    # What was asked and found -------------------------------------------------------------------------

    @property
    def request(self) -> dict[str, Any]:
        """What was asked."""
        return self._record.get("request", {})

    @property
    def environment(self) -> dict[str, Any]:
        """Versions and machine."""
        return self._record.get("environment", {})

    @property
    def network(self) -> dict[str, Any]:
        """The network card, digest and size."""
        return self._record.get("network", {})

    @property
    def faces(self) -> dict[str, Any]:
        """The data card."""
        return self._record.get("faces", {})

    @property
    def timings(self) -> dict[str, float]:
        """Seconds by piece of work."""
        return self._record.get("timings", {})

    @property
    def status(self) -> str:
        """``"running"`` or ``"complete"``."""
        return self._record.get("status", "")

    @property
    def problems(self) -> list[dict[str, str]]:
        """What could not be done: ``experiment``, ``network``, ``error`` and ``trace`` of each."""
        return self._record.get("problems", [])

    @property
    def started(self) -> str:
        """When the run began, ISO 8601, UTC."""
        return self._record.get("started", "")

    @property
    def tables(self) -> list[str]:
        """Names of the tables written so far."""
        return sorted(p.stem for p in (self.path / "tables").glob("*.parquet"))

    def table(self, name: str) -> "pd.DataFrame":
        """Read a table.

        Parameters
        ----------
        name : str
            Its name, without the ending.

        Returns
        -------
        DataFrame
            The table.

        Raises
        ------
        RunError
            If the run has no such table.
        """
        import pandas as pd

        if name not in self.tables:
            raise RunError(f"The run '{self.path}' has no table '{name}'; {nearest(name, self.tables)}")
        return pd.read_parquet(self.path / "tables" / f"{name}.parquet")

    # Writing ------------------------------------------------------------------------------------------

    def record(self, **fields: Any) -> None:
        """Add fields to run.json.

        Parameters
        ----------
        **fields
            Plain JSON values.
        """
        self._record.update(fields)
        self._save()

    def write_table(self, name: str, table: "pd.DataFrame") -> None:
        """Write a table to ``tables/NAME.parquet``.

        Parameters
        ----------
        name : str
            Its name.
        table : DataFrame
            The table.
        """
        with atomic_write(self.path / "tables" / f"{name}.parquet") as part:
            table.to_parquet(part, index=False)

    def part(self, name: str) -> "pd.DataFrame | None":
        """Read a finished part of this run, if there is one.

        Parameters
        ----------
        name : str
            The part's name.

        Returns
        -------
        DataFrame or None
            None where the part is not finished.
        """
        import pandas as pd

        path = self._part_path(name)
        return pd.read_parquet(path) if path.exists() else None

    def write_part(self, name: str, table: "pd.DataFrame") -> None:
        """Keep a finished part until the run is complete.

        Parameters
        ----------
        name : str
            The part's name.
        table : DataFrame
            The part.
        """
        with atomic_write(self._part_path(name)) as part:
            table.to_parquet(part, index=False)

    def finish(self) -> None:
        """Mark the run complete and drop its parts."""
        shutil.rmtree(self.path / "parts", ignore_errors=True)
        self.record(status="complete", finished=datetime.now(UTC).isoformat(timespec="seconds"))

    def _part_path(self, name: str) -> Path:
        safe = "".join(c if c.isalnum() or c in "-_.=@" else "-" for c in name)
        if safe != name:
            # Two names may be one when made safe.
            safe += "-" + hashlib.sha256(name.encode()).hexdigest()[:8]
        return self.path / "parts" / f"{safe}.parquet"

    def _save(self) -> None:
        with atomic_write(self.path / "run.json") as part:
            part.write_text(json.dumps(self._record, indent=1, default=str) + "\n", encoding="utf-8")


def _read_record(path: Path) -> dict[str, Any] | None:
    try:
        record = json.loads((path / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) else None


def _has_results(path: Path) -> bool:
    return any((path / "parts").glob("*")) or any((path / "tables").glob("*"))


def _difference(old: dict[str, Any], new: dict[str, Any], not_compared: Collection[str]) -> str:
    keys = [k for k in {**old, **new} if old.get(k) != new.get(k) and k not in not_compared]
    return "; ".join(f"{k}: {old.get(k)!r} there, {new.get(k)!r} asked" for k in keys[:3])


def _remove_own(path: Path) -> None:
    with explain_full_disk(path):
        for name in _OWN:
            target = path / name
            if target.is_dir() and not target.is_symlink():
                shutil.rmtree(target)
            else:
                target.unlink(missing_ok=True)
