"""Flower, as the command starts it: it sees the fleet's workers, and shows them to nobody without the password."""

import base64
import json
from contextlib import closing
from http.client import HTTPConnection

import pytest

from deploytools.testing.fleet import FleetUnderTest
from deploytools.testing.waiting import wait_until

AUTH = "eve:a-password-of-this-test"


def get(port: int, path: str, auth: str = "") -> tuple[int, str]:
    header = {"Authorization": f"Basic {base64.b64encode(auth.encode()).decode()}"} if auth else {}
    with closing(HTTPConnection("127.0.0.1", port, timeout=5)) as connection:
        try:
            connection.request("GET", path, headers=header)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        except OSError:
            return 0, ""  # it does not listen yet


@pytest.mark.only_on("embedded")
def test_workers_are_online_and_everything_asks_for_the_password(shop_fleet: FleetUnderTest, free_port: int) -> None:
    flower = shop_fleet.project.start_command(
        "flower", "--port", str(free_port), CELERY_BROKER_URL=shop_fleet.broker.url, FLOWER_BASIC_AUTH=AUTH
    )
    flower.wait_for_log("Connected to")
    worker = shop_fleet.start("counter")

    def status() -> bool:
        code, text = get(free_port, "/api/workers?status=1", AUTH)
        return code == 200 and json.loads(text) == {worker.name: True}

    wait_until(status, f"{worker.name} to be online")
    code, text = get(free_port, "/metrics", AUTH)
    assert code == 200
    assert f'flower_worker_online{{worker="{worker.name}"}} 1.0' in text

    paths = ("/", "/workers", f"/worker/{worker.name}", "/tasks", "/broker", "/metrics", "/api/workers", "/api/tasks")
    assert {path: get(free_port, path)[0] for path in paths} == dict.fromkeys(paths, 401)
    assert {path: get(free_port, path, "eve:guessed")[0] for path in paths} == dict.fromkeys(paths, 401)
