"""Documents: values that become the text of a file, and what is merged into them."""

from collections.abc import Mapping
from typing import Any


def merge(base: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with `patch` in it: tables key by key, anything else in place of what was there."""
    merged = dict(base)
    for key, value in patch.items():
        old = merged.get(key)
        merged[key] = merge(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged


def to_comment(*lines: str) -> str:
    """Return lines as a comment, which YAML, unit files and .env files write alike."""
    return "".join(f"# {line}".rstrip() + "\n" for line in lines)


def to_yaml(*documents: Mapping[str, Any]) -> str:
    """Return documents as YAML, keys in the order they have."""
    import yaml

    class Dumper(yaml.SafeDumper):  # type: ignore[misc]
        """Writes each value out where it is used: nobody has to look for an anchor."""

        def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
            return True

    return "---\n".join(yaml.dump(each, Dumper=Dumper, sort_keys=False, width=120) for each in documents)
