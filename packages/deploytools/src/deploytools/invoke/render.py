"""`render.*`: files from the fleet, and `render.check`, which fails where they differ from it."""

from collections.abc import Callable, Iterable
from typing import Any

from invoke.collection import Collection

from deploytools.errors import VerdictError
from deploytools.invoke.command import command
from deploytools.invoke.secrets import write_secrets
from deploytools.render import compose, grafana, kubernetes, prometheus, systemd
from deploytools.render.rendering import Plan, Rendering, drift, write
from deploytools.settings import current_project

# Command name → (what it writes, how).
RENDERERS: dict[str, tuple[str, Callable[[Plan], Iterable[Rendering]]]] = {
    "compose": ("Write compose/compose.yaml, the fleet and its broker on one host, and its secrets.", compose.render),
    "kubernetes": ("Write deploy/kubernetes: manifests, as a base for kustomize.", kubernetes.render),
    "prometheus": ("Write deploy/prometheus: what is scraped, rules, alerts and their proof.", prometheus.render),
    "grafana": ("Write deploy/grafana/fleet.json: the dashboard.", grafana.render),
    "systemd": ("Write deploy/systemd: units for hosts without containers.", systemd.render),
}


@command()
def check(_: Any) -> None:
    """Compare all rendered files with the fleet file; show the difference and exit with 1 where there is one."""
    plan = _plan()
    renderings = [each for _, render in RENDERERS.values() for each in render(plan)]
    difference = drift(renderings, current_project().root)
    if difference:
        print(difference, end="")
        raise VerdictError("rendered files differ from the fleet file: run `invoke render.all`")
    print(f"{len(renderings)} files are as the fleet file has them")


@command()
def all_(_: Any) -> None:
    """Write all files."""
    for name in RENDERERS:
        _write(name)


def _plan() -> Plan:
    project = current_project()
    path = project.fleet_path
    inside = path.is_relative_to(project.root)
    return Plan(fleet=project.fleet(), fleet_path=path.relative_to(project.root) if inside else path)


def _write(name: str) -> None:
    project = current_project()
    for path in write(RENDERERS[name][1](_plan()), project.root):
        print(path)
    if name == "compose":
        write_secrets()  # without them the file cannot be used


def _command(name: str, text: str) -> Any:
    def render(_: Any) -> None:
        _write(name)

    render.__name__, render.__doc__ = name, text
    return command()(render)


ns = Collection("render", check)
ns.add_task(all_, name="all")
for _name, (_text, _) in RENDERERS.items():
    ns.add_task(_command(_name, _text), name=_name)
