"""What the tests of the report share."""

import shutil

import pytest
from run_folders import NETWORK, write_run

from cnnjax import report


@pytest.fixture(scope="session")
def reported(tmp_path_factory):
    """One run folder with its page, to be read."""
    root = tmp_path_factory.mktemp("reported") / "run"
    write_run(root)
    report.write_page(root, network=NETWORK)
    return root


@pytest.fixture
def folder(reported, tmp_path):
    """The same without the page, to be changed."""
    shutil.copytree(reported, tmp_path / "run", ignore=shutil.ignore_patterns("report.html"))
    return tmp_path / "run"
