"""What happens when the model API is slow, limited, broken or talks nonsense; and when workers are killed."""

import io
import json
import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random
from threading import Event, Thread
from typing import Any
from uuid import uuid4

import pytest
from PIL import Image
from sqlalchemy import func, select

from app.services.conversations import ask
from app.services.database import transaction
from app.services.exports import exports
from app.services.objects import objects
from app.services.stand_in import StandIn
from app.services.tables import (
    Document,
    Embedding,
    Mail,
    Message,
    Picture,
    Published,
    Rating,
    Search,
    Staged,
    State,
    Trace,
    Transcript,
)
from app.workload import make_sound, make_vote
from deploytools.testing.fleet import FleetUnderTest
from deploytools.testing.waiting import wait_until

pytestmark = pytest.mark.only_on("embedded")


class Faults:
    """What the model API does wrong."""

    def __init__(self) -> None:
        self.fault = ""
        self.released = Event()


@pytest.fixture
def model_api() -> Iterator[tuple[str, Faults]]:
    """Serve a model API that can be broken; yield its URL and how it is broken."""
    faults = Faults()

    class Faulty(StandIn):
        def do_POST(self) -> None:
            match faults.fault:
                case "hang":
                    faults.released.wait(60)
                case "429":
                    self._refuse(429, {"Retry-After": "4"})
                case "500":
                    self._refuse(500, {})
                case "garbage":
                    self.rfile.read(int(self.headers["Content-Length"]))
                    self._send(200, {"nonsense": [1, 2, 3]})
                case _:
                    super().do_POST()

        def _refuse(self, status: int, headers: dict[str, str]) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            body = json.dumps({"error": {"message": f"planted {status}"}}).encode()
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Faulty)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1", faults
    faults.released.set()
    server.shutdown()
    server.server_close()
    thread.join()


def ask_something() -> str:
    with transaction() as session:
        return ask(session, uuid4().hex, "Why do queues grow?")


def state_of(answer: str) -> str:
    with transaction() as session:
        return session.get_one(Message, answer).state


def make_picture(width: int = 64) -> str:
    encoded = io.BytesIO()
    Image.new("RGB", (width, width), "teal").save(encoded, "PNG")
    return objects().put(encoded.getvalue())


@pytest.mark.parametrize(
    ("fault", "cause"),
    [
        ("hang", "model API (chat): silent for 1 s"),
        ("429", "model API (chat): HTTP 429"),
        ("500", "model API (chat): HTTP 500"),
        ("garbage", "model API (chat): "),
    ],
)
def test_a_model_api_that_fails_is_tried_again_while_the_tier_goes_on(
    arena: FleetUnderTest, model_api: tuple[str, Faults], fault: str, cause: str
) -> None:
    url, faults = model_api
    faults.fault = fault
    worker = arena.start(
        "high",
        APP_MODEL_URL=url,
        APP_MODEL_TIMEOUT_SECONDS="1",
        APP_RETRY_SECONDS="4",
        APP_TRIES="50",
        APP_MODEL_FAILURES="1000 per 1 seconds",
    )
    answers = [ask_something() for _ in range(3)]
    chats = [arena.send("app.tasks.chat.complete", {"answer": answer}) for answer in answers]
    worker.program.wait_for_log("Retry in ", times=3)

    pictures = [
        arena.send("app.tasks.images.make_variants", {"picture": make_picture(), "widths": [16]}) for _ in range(8)
    ]
    assert set(arena.wait_until_over(pictures, deadline_seconds=10).values()) == {"SUCCESS"}
    assert not arena.ledger.over().keys() & set(chats)

    assert cause in worker.program.log()
    delays = [float(found) for found in re.findall(r"Retry in ([\d.]+)s", worker.program.log())]
    assert min(delays) >= (4 if fault == "429" else 0)
    faults.fault = ""
    arena.wait_until_over(chats, deadline_seconds=60)
    assert {state_of(answer) for answer in answers} == {State.COMPLETE}


def test_the_last_failure_names_its_cause_and_is_kept(arena: FleetUnderTest, model_api: tuple[str, Faults]) -> None:
    url, faults = model_api
    faults.fault = "500"
    arena.start("high", APP_MODEL_URL=url, APP_RETRY_SECONDS="0.1", APP_TRIES="3")

    chat = arena.send("app.tasks.chat.complete", {"answer": ask_something()})

    assert arena.wait_until_over([chat])[chat] == "FAILURE"
    dead = wait_until(lambda: arena.command("dead.list", "--json").stdout, "its message to be kept")
    assert len(dead.splitlines()) == 1
    assert "model API (chat): HTTP 500: Error code: 500 - planted 500" in dead


def test_an_api_that_fails_too_often_is_left_alone_by_the_whole_fleet(
    arena: FleetUnderTest, model_api: tuple[str, Faults]
) -> None:
    url, faults = model_api
    faults.fault = "500"
    worker = arena.start(
        "high", APP_MODEL_URL=url, APP_RETRY_SECONDS="0.1", APP_TRIES="9", APP_MODEL_FAILURES="3 per 3 seconds"
    )

    answers = [ask_something() for _ in range(4)]
    chats = [arena.send("app.tasks.chat.complete", {"answer": answer}) for answer in answers]
    worker.program.wait_for_log("failed 3 per 3 seconds")
    faults.fault = ""

    assert set(arena.wait_until_over(chats).values()) == {"SUCCESS"}
    assert {state_of(answer) for answer in answers} == {State.COMPLETE}


@contextmanager
def holding_the_database(state: Path) -> Iterator[None]:
    """Let nobody else write to the database."""
    with closing(sqlite3.connect(state / "app.sqlite", isolation_level=None, timeout=30)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        yield
        connection.execute("ROLLBACK")


def count(column: Any) -> int:
    with transaction() as session:
        return session.scalar(select(func.count(column))) or 0


@contextmanager
def hanging_search(released: Event) -> Iterator[str]:
    class Hanging(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            released.wait(60)
            body = json.dumps({"results": [{"title": "t", "url": "u", "content": "c"}]}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hanging)
    server.daemon_threads = True
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def test_workers_killed_in_the_middle_of_each_task_leave_its_effect_exactly_once(
    arena: FleetUnderTest, model_api: tuple[str, Faults]
) -> None:
    url, faults = model_api
    random, today = Random(3), datetime.now(UTC).date()
    with transaction() as session:
        session.add(Document(id="d", title="t", text="t"))
        session.add_all(make_vote(random) for _ in range(100))
        session.add(Trace(id="t", call={"model": "m", "input": [], "output": "o", "seconds": 1}))
        session.add(Embedding(document_id="gone", model="m", vector=b""))
    answer, sound, large = ask_something(), objects().put(make_sound(440)), make_picture(6000)
    staged, upload = objects().stage(b"one"), objects().stage(random.randbytes(200_000_000))
    with transaction() as session:
        session.add(Staged(upload=staged, batch="b", title="t"))
    with hanging_search(faults.released) as search_url:
        faults.fault = "hang"
        env = {
            "APP_MODEL_URL": url,
            "APP_SEARCH_URL": search_url,
            "CELERY_CONCURRENCY": "8",
            "CELERY_AUTOSCALE_MAX": "8",
        }
        env["CELERY_AUTOSCALE_MIN"] = "8"
        workers = [arena.launch(tier, **env) for tier in ("high", "medium", "low")]
        for worker in workers:
            worker.wait_until_ready()
        requests: dict[str, dict[str, Any] | None] = {
            "chat.complete": {"answer": answer},
            "images.generate": {"picture": "p", "prompt": "p"},
            "images.make_variants": {"picture": large, "widths": [3000]},
            "asr.transcribe": {"audio": sound},
            "web_search.search": {"search": "s", "query": "q"},
            "embeddings.embed": None,
            "storage.put": {"upload": upload},
            "promotion.publish": {"batch": "b"},
            "dataset.export": {"day": today.isoformat()},
            "email.send": {"mail": "m", "to": "a@example.org", "template": "welcome", "values": {"name": "A"}},
            "cleanup.expire": {"older_than_seconds": 3600},
            "langfuse.ship": None,
            "leaderboard.compute": None,
        }
        with holding_the_database(arena.project.state):
            ids = {
                name: arena.send(f"app.tasks.{name}", *([request] if request is not None else []))
                for name, request in requests.items()
            }
            wait_until(
                lambda: {entry.id for entry in arena.ledger.entries() if entry.event == "started"} >= set(ids.values()),
                "all tasks to have started",
            )
            for worker in workers:
                worker.program.kill_all()
        killed_at = time.time()
        faults.fault = ""
        faults.released.set()
        for tier in ("high", "medium", "low"):
            arena.start(tier, **env)
        states = arena.wait_until_over(ids.values(), deadline_seconds=75)

    assert set(states.values()) == {"SUCCESS"}
    again = {name for name, id_ in ids.items() if any(entry.at > killed_at for entry in arena.ledger.starts(id_))}
    # The first two may have been quicker than the kill; who only reads the database was not held up.
    assert again >= requests.keys() - {"storage.put", "images.make_variants", "dataset.export"}
    assert state_of(answer) == State.COMPLETE
    once = [Picture.id, Transcript.audio, Search.id, Embedding.document_id, Published.upload, Mail.id]
    assert [count(column) for column in once] == [1] * len(once)
    assert (count(Trace.id), count(Rating.run), count(Staged.upload)) == (2, 5, 0)
    assert exports().read(today)["votes"].num_rows <= 100
    (mail,) = [message_from_bytes(path.read_bytes()) for path in (arena.project.state / "outbox").iterdir()]
    assert mail["Message-ID"] == "<m@example.org>"
    shipped = [line for path in (arena.project.state / "traces").iterdir() for line in path.read_text().splitlines()]
    assert sorted(json.loads(line)["id"] for line in shipped)[-1] == "t"
    assert len(shipped) == len({json.loads(line)["id"] for line in shipped})
