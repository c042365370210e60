"""Prints the lowest versions that pyproject.toml allows, as constraints for pip."""

import re
from pathlib import Path

import tomllib

settings = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())
project = settings["project"]
groups = [
    settings["build-system"]["requires"],
    project["dependencies"],
    *project["optional-dependencies"].values(),
]
for requirement in sorted({requirement for group in groups for requirement in group}):
    if not requirement.startswith(project["name"] + "["):  # this package with one of its extras
        name, version = re.fullmatch(r"([\w-]+)>=([\d.]+)", requirement).groups()
        print(f"{name}=={version}")
