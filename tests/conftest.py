import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def realdata() -> Path:
    """The folder with real faces and networks; tests that need it skip, saying so, where it is absent."""
    given = os.environ.get("FUSIFORM_REALDATA")
    beside = Path(__file__).resolve().parents[2] / "shared" / "realdata"
    folder = Path(given) if given else beside
    if not (folder / "images").is_dir():
        pytest.skip(f"real faces and networks are not there: no '{folder}/images' (set FUSIFORM_REALDATA)")
    return folder
