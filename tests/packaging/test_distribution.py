"""The built package holds every source, table, migration and licence of the repository."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("adapters", "carbon", "policies", "proxy")
BUILD = "import sys; from setuptools.build_meta import build_wheel; build_wheel(sys.argv[1])"
LEFT_OUT = {"__pycache__"}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Names in the wheel, built from a copy with nothing but what is there."""
    folder = tmp_path_factory.mktemp("wheel")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns(*LEFT_OUT))
    for name in ("pyproject.toml", "README.md", "LICENSE", "NOTICE"):
        shutil.copy(ROOT / name, folder)
    ended = subprocess.run([sys.executable, "-c", BUILD, "out"], cwd=folder, capture_output=True, text=True, timeout=600, check=False)
    assert ended.returncode == 0, ended.stderr
    (wheel,) = (folder / "out").glob("greenlane-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_every_file_of_the_packages_is_in_it(built: set[str]):
    files = [path for package in PACKAGES for path in (ROOT / package).rglob("*") if path.is_file() and not LEFT_OUT & set(path.parts)]
    assert {str(path.relative_to(ROOT)) for path in files} - built == set()


def test_the_licences_are_in_it(built: set[str]):
    assert {"LICENSE", "NOTICE"} <= {name.rpartition("/")[2] for name in built if ".dist-info/licenses/" in name}


def test_nothing_else_is_in_it(built: set[str]):
    assert {name.partition("/")[0] for name in built if ".dist-info/" not in name} == set(PACKAGES)


def test_the_command_is_in_it(built: set[str]):
    assert any(name.endswith(".dist-info/entry_points.txt") for name in built)
