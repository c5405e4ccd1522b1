"""The commands of this repository: the toolkit's, built from the fleet that pyproject.toml names."""

from deploytools.invoke import namespace

ns = namespace()
