"""Each task against the real thing, run twice: the second run changes nothing."""

import hashlib
import io
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any
from uuid import uuid4

import fsspec
import pytest
from PIL import Image
from pydantic import ValidationError
from sqlalchemy import func, select

from app.services import language_model
from app.services.conversations import MessageMissingError, ask
from app.services.database import transaction
from app.services.errors import PermanentError, TransientError
from app.services.exports import exports
from app.services.objects import ObjectMissingError, ObjectStore, objects
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

FILES, SERVICES = "files", "services"

Run = Callable[..., Any]
Parts = Any


def count(column: Any) -> int:
    with transaction() as session:
        return session.scalar(select(func.count(column))) or 0


def ask_something(question: str = "Why do queues grow?") -> str:
    with transaction() as session:
        return ask(session, uuid4().hex, question)


def test_chat_streams_the_answer_into_its_message_once(run: Run) -> None:
    answer = ask_something()

    first, second = (run("chat.complete", {"answer": answer}) for _ in range(2))

    with transaction() as session:
        message = session.get_one(Message, answer)
        trace = session.get_one(Trace, answer)
        assert message.state == State.COMPLETE
        assert message.content.startswith("This is stand-in-chat, a stand-in. You asked in 4 words")
        assert (trace.call["output"], trace.call["input"][0]["content"]) == (message.content, "Why do queues grow?")
        assert first == {"characters": len(message.content), "again": False}
    assert second["again"]
    assert count(Trace.id) == 1


def test_chat_about_an_unknown_message_is_an_error(run: Run) -> None:
    with pytest.raises(MessageMissingError, match="no such message is stored"):
        run("chat.complete", {"answer": "nobody"})


def test_a_picture_is_drawn_once(run: Run) -> None:
    first, second = (run("images.generate", {"picture": "sunset", "prompt": f"a sunset {n}"}) for n in range(2))

    assert first == second
    assert Image.open(io.BytesIO(objects().get(first["object"]))).size == (256, 256)
    assert count(Picture.id) == 1


def test_variants_of_a_picture_are_stored_once(run: Run) -> None:
    encoded = io.BytesIO()
    Image.new("RGB", (800, 600), "teal").save(encoded, "JPEG")
    picture = objects().put(encoded.getvalue())

    first, second = (run("images.make_variants", {"picture": picture, "widths": [400, 100]}) for _ in range(2))

    assert first == second
    sizes = {width: Image.open(io.BytesIO(objects().get(name))).size for width, name in first["objects"].items()}
    assert sizes == {"400": (400, 300), "100": (100, 75)}


def test_sound_is_transcribed_once(run: Run) -> None:
    audio = objects().put(make_sound(440))

    first, second = (run("asr.transcribe", {"audio": audio}) for _ in range(2))

    assert first == second == {"text": "A stand-in heard 0.50 seconds of sound at 16000 Hz."}
    assert count(Transcript.audio) == 1


def test_what_is_no_sound_is_refused(run: Run) -> None:
    with pytest.raises(PermanentError, match="not a WAV file"):
        run("asr.transcribe", {"audio": objects().put(b"not a sound")})


def test_a_search_keeps_what_was_found_first(run: Run, parts: Parts) -> None:
    with transaction() as session:
        session.add(Document(id="d1", title="Leases", text="A lease is renewed while its worker lives."))
        session.add(Document(id="d2", title="Queues", text="A queue grows when nobody takes from it."))

    first, second = (
        run("web_search.search", {"search": "s", "query": query, "count": 3}) for query in ("renewing leases", "other")
    )

    assert first == second
    expected = ["document:d1"] if parts.kind == FILES else [f"https://example.org/{number}" for number in range(3)]
    assert first["urls"] == expected
    assert count(Search.id) == 1


def test_documents_get_a_vector_once_and_their_neighbours_are_found(run: Run) -> None:
    texts = {"leases": "a lease is renewed by its worker", "queues": "a queue grows", "beats": "one beat leads"}
    with transaction() as session:
        session.add_all(Document(id=name, title=name, text=words) for name, words in texts.items())

    first, second = (run("embeddings.embed") for _ in range(2))
    found = run("embeddings.nearest", {"text": "which worker renewed its lease", "count": 2})

    assert (first, second) == ({"count": 3}, {"count": 0})
    assert found["documents"][0][0] == "leases"
    assert count(Embedding.document_id) == 3


def test_objects_are_put_checked_and_deleted(run: Run) -> None:
    upload = objects().stage(b"bytes")

    stored = [run("storage.put", {"upload": upload}) for _ in range(2)]
    checked = run("storage.get", {"name": stored[0]["name"]})
    for _ in range(2):
        run("storage.delete", {"name": stored[0]["name"]})

    assert stored == [checked, checked] == [{"name": hashlib.sha256(b"bytes").hexdigest(), "size_bytes": 5}] * 2
    with pytest.raises(ObjectMissingError):
        run("storage.get", {"name": stored[0]["name"]})


def stage(batch: str, *contents: bytes) -> list[str]:
    uploads = [objects().stage(content) for content in contents]
    with transaction() as session:
        session.add_all(Staged(upload=upload, batch=batch, title="a title") for upload in uploads)
    return uploads


def test_a_batch_is_published_as_a_whole_and_once(run: Run) -> None:
    uploads = stage("b", b"one", b"two")

    first, second = (run("promotion.publish", {"batch": "b"}) for _ in range(2))

    assert (first, second) == ({"count": 2}, {"count": 0})
    with transaction() as session:
        rows = {row.upload: objects().get(row.object) for row in session.scalars(select(Published))}
    assert rows == dict(zip(uploads, [b"one", b"two"], strict=True))
    assert (count(Staged.upload), list(objects().uploads())) == (0, [])


def test_of_a_batch_that_misses_an_upload_nothing_is_published(run: Run) -> None:
    uploads = stage("b", b"one", b"two")
    objects().unstage(uploads[1])

    with pytest.raises(ObjectMissingError):
        run("promotion.publish", {"batch": "b"})

    assert (count(Published.upload), count(Staged.upload)) == (0, 2)


def test_a_day_is_exported_and_replaced(run: Run) -> None:
    random, today = Random(1), datetime.now(UTC).date()
    with transaction() as session:
        votes = [make_vote(random) for _ in range(50)]
        session.add_all(votes)
        expected = sorted(vote.id for vote in votes if vote.at.date() == today)
    run("chat.complete", {"answer": ask_something("What is exported?")})

    run("dataset.export", {"day": today.isoformat()})
    run("chat.complete", {"answer": ask_something("And then?")})
    rows = run("dataset.export", {"day": today.isoformat()})

    tables = exports().read(today)
    assert rows == {"rows": {"conversations": 4, "votes": len(expected)}}
    assert sorted(tables["votes"]["vote"].to_pylist()) == expected
    assert tables["conversations"]["role"].to_pylist() == ["user", "assistant"] * 2
    folder = exports().path(today, "")
    assert len(exports().files.ls(folder, refresh=True)) == 3


def test_a_damaged_export_is_noticed(run: Run) -> None:
    day = datetime.now(UTC).date()
    run("dataset.export", {"day": day.isoformat()})
    manifest = json.loads(exports().files.cat_file(exports().path(day, "manifest.json")))
    exports().files.pipe_file(exports().path(day, manifest["tables"]["votes"]["file"]), b"damaged")

    with pytest.raises(PermanentError, match="votes is not what its manifest says"):
        exports().read(day)


def test_a_mail_is_sent_once(run: Run, parts: Parts) -> None:
    request = {"mail": "m1", "to": "ada@example.org", "template": "welcome", "values": {"name": "Ada <b>"}}

    first, second = (run("email.send", request) for _ in range(2))

    assert (first, second) == ({"again": False}, {"again": True})
    (mail,) = parts.mails()
    assert (mail["Subject"], mail["To"], mail["Message-ID"]) == (
        "Welcome, Ada <b>",
        "ada@example.org",
        "<m1@example.org>",
    )
    assert "Hello Ada &lt;b&gt;," in [part.get_payload() for part in mail.walk()][-1]
    assert count(Mail.id) == 1


def test_a_refused_recipient_is_permanent(run: Run, parts: Parts) -> None:
    if parts.kind == FILES:
        pytest.skip("a folder refuses nobody")
    request = {"mail": "m1", "to": "nobody@example.org", "template": "ranking", "values": {"day": "", "leader": ""}}

    with pytest.raises(PermanentError, match="550 no such user here"):
        run("email.send", request)


def test_what_outlived_its_use_is_reported_and_then_removed(run: Run) -> None:
    stage("b", b"old")
    old = datetime.now(UTC).date() - timedelta(days=40)
    exports().write(old, {})
    with transaction() as session:
        session.add(Embedding(document_id="gone", model="m", vector=b""))

    reported = run("cleanup.expire", {"older_than_seconds": 0, "dry_run": True})
    kept = len(list(objects().uploads()))
    removed, nothing = (run("cleanup.expire", {"older_than_seconds": 0}) for _ in range(2))

    assert reported == removed
    assert (removed["exports"], removed["orphans"], kept) == ([old.isoformat()], ["gone"], 1)
    assert nothing == {"uploads": [], "exports": [], "orphans": []}
    assert (count(Staged.upload), count(Embedding.document_id), exports().days()) == (0, 0, [])


def test_traces_are_shipped_once(run: Run, parts: Parts) -> None:
    answers = [ask_something(f"question {number}") for number in range(3)]
    for answer in answers:
        run("chat.complete", {"answer": answer})

    first, second = (run("langfuse.ship", task_id="one-task") for _ in range(2))

    assert (first, second) == ({"count": 3}, {"count": 0})
    assert len(parts.traces()) == 3


@pytest.mark.parametrize("parts", [FILES], indirect=True)
def test_traces_that_are_refused_hold_up_no_others(run: Run, picky_langfuse: list[bytes]) -> None:
    def make_call(output: str) -> dict[str, Any]:
        return {"model": "m", "input": [], "output": output, "seconds": 1}

    with transaction() as session:
        session.add(Trace(id="large", batch="refused", call=make_call("too large")))
        session.add(Trace(id="small", call=make_call("small")))

    with pytest.raises(PermanentError, match="1 traces shipped, 1 batches refused: refused: Langfuse: HTTP 413"):
        run("langfuse.ship")

    assert len(picky_langfuse) == 1
    with transaction() as session:
        assert session.scalars(select(Trace.id).where(Trace.shipped_at.is_(None))).all() == ["large"]


@pytest.mark.parametrize("parts", [FILES], indirect=True)
def test_a_store_that_is_away_is_worth_another_try(
    parts: Parts, monkeypatch: pytest.MonkeyPatch, free_port: int
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port}")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")

    store = ObjectStore(fsspec.filesystem("s3", skip_instance_cache=True), "bucket/store")

    with pytest.raises(TransientError, match="files: "):
        store.put(b"x")


def test_the_leaderboard_finds_who_is_stronger_and_keeps_its_history(run: Run) -> None:
    random = Random(2)
    with transaction() as session:
        session.add_all(make_vote(random) for _ in range(1500))

    first, second = (run("leaderboard.compute", task_id="one-task") for _ in range(2))
    run("leaderboard.compute", task_id="another-task")

    assert first == second
    assert list(first["ratings"]) == ["granite", "basalt", "marble", "slate", "chalk"]
    assert count(Rating.model) == 10


@pytest.mark.parametrize(
    ("name", "request_", "field"),
    [
        ("chat.complete", {"answer": "no spaces"}, "answer"),
        ("images.generate", {"picture": "p", "prompt": ""}, "prompt"),
        ("asr.transcribe", {"audio": "short"}, "audio"),
        ("web_search.search", {"search": "s", "query": "q", "count": 0}, "count"),
        ("promotion.publish", {}, "batch"),
        ("dataset.export", {"day": "yesterday"}, "day"),
        ("email.send", {"mail": "m", "to": "nowhere", "template": "welcome"}, "to"),
    ],
)
def test_a_bad_payload_fails_for_good_and_names_the_field(run: Run, name: str, request_: Any, field: str) -> None:
    with pytest.raises(ValidationError, match=rf"(?s)\b{field}\b.*"):
        run(name, request_)


def test_calls_beyond_the_limit_wait_whoever_makes_them(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from app.services.errors import PostponedError
    from app.services.limits import limited

    api = uuid4().hex
    for _ in range(3):
        with limited(api, rate="3 per minute", failures="1 per minute"):
            pass

    with pytest.raises(PostponedError) as caught, limited(api, rate="3 per minute", failures="1 per minute"):
        pytest.fail("called too often")
    assert 0 < caught.value.after_seconds <= 121


def test_the_recogniser_hears_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    from pocketsphinx import get_model_path

    from app.services import speech
    from app.settings import settings

    assert Path(get_model_path()).exists()
    monkeypatch.setenv("APP_SPEECH_MODEL", "pocketsphinx")
    settings.cache_clear()
    assert isinstance(speech.transcribe(make_sound(440)), str)
    assert language_model.client.cache_info().currsize == 0
