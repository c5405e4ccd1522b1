"""The commands, as Invoke collections: a noun a module, built from the fleet of the current project."""

from invoke.collection import Collection

from deploytools.fleet import Fleet
from deploytools.invoke import (
    autoscale,
    beat,
    broker,
    dead,
    deploy,
    doctor,
    fleet_run,
    flower,
    inspection,
    load,
    render,
    secrets,
    top,
    worker,
)
from deploytools.invoke.command import exit_on_error
from deploytools.settings import current_project


def namespace() -> Collection:
    """Return all commands for the current project's fleet."""
    fleet: Fleet = exit_on_error(lambda: current_project().fleet())()
    root = Collection()
    root.add_collection(worker.collection(fleet))
    root.add_collection(broker.ns)
    root.add_collection(autoscale.ns)
    root.add_collection(dead.ns)
    root.add_collection(load.ns)
    root.add_collection(render.ns)
    root.add_collection(secrets.ns)
    root.add_collection(deploy.ns)
    for task in (beat.beat, doctor.doctor, flower.flower, top.top, *fleet_run.TASKS, *inspection.TASKS):
        root.add_task(task)
    return root


def namespace_without_fleet() -> Collection:
    """Return the commands that need no fleet."""
    return Collection(doctor.doctor)
