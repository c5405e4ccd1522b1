"""The load this application offers in demos and load runs: its own tasks, on real input, and what came of it."""

import io
import math
import wave
from collections.abc import Callable, Iterator
from datetime import timedelta
from random import Random
from typing import Any
from uuid import UUID

from PIL import Image
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.services.conversations import ask
from app.services.database import transaction
from app.services.exports import exports
from app.services.objects import ObjectStore, objects
from app.services.tables import (
    Document,
    Embedding,
    Mail,
    Message,
    Outcome,
    Picture,
    Published,
    Rating,
    Search,
    Staged,
    State,
    Trace,
    Transcript,
    Vote,
    now,
)
from app.settings import settings
from deploytools.load.workload import ResultTable, TaskTemplate, Workload, WorkloadProvider

PICTURE_SIZE = (1280, 960)
UPLOAD_BYTES = 64 * 1024  # as many a second as the tier can take: a saturated minute shall not fill a disk
SOUND_SECONDS = 0.5
SOUND_RATE = 16_000

# Corners of the Mandelbrot set with much detail: pictures nobody has to ship, that compress like photographs.
VIEWS = ((-2.0, -1.2, 0.8, 1.2), (-0.80, -0.20, -0.70, -0.10), (-1.30, 0.00, -1.20, 0.10), (0.26, -0.02, 0.34, 0.06))

# Models that answer, with how strong each really is: what the leaderboard is to find.
STRENGTHS = {"granite": 1150.0, "basalt": 1060.0, "marble": 1000.0, "slate": 930.0, "chalk": 860.0}
VOTES = 2000
DOCUMENTS = 200
SUBJECTS = ("a queue", "a worker", "a broker", "a lease", "a message", "a tier", "a promise", "a beat")
VERBS = ("waits for", "takes", "loses", "keeps", "measures", "restarts", "scales", "drops")
PLACES = ("in the morning", "under load", "after a crash", "on two cores", "in a container", "at night")


def prepare() -> Workload:
    """Store documents, votes, pictures and sounds, and offer work on them."""
    store, random = objects(), Random(0)  # noqa: S311 — no secret
    with transaction() as session:
        if not session.scalar(select(func.count(Vote.id))):
            _store_rows(session, random)
    pictures = [store.put(draw_picture(view)) for view in VIEWS]
    sounds = [store.put(make_sound(frequency)) for frequency in range(220, 880, 20)]
    filling = random.randbytes(UPLOAD_BYTES - 16)
    return Workload(offers=(*_high(pictures, sounds), *_medium(store, filling), *_low()))


def _high(pictures: list[str], sounds: list[str]) -> Iterator[TaskTemplate]:
    yield _offer("chat.complete", lambda random: {"answer": _ask(random)})
    yield _offer("images.make_variants", lambda random: {"picture": random.choice(pictures), "widths": [640, 160]})
    yield _offer("images.generate", lambda random: {"picture": _name(random), "prompt": make_sentence(random)})
    yield _offer("asr.transcribe", lambda random: {"audio": random.choice(sounds)})
    yield _offer("web_search.search", lambda random: {"search": _name(random), "query": make_sentence(random)})


def _medium(store: ObjectStore, filling: bytes) -> Iterator[TaskTemplate]:
    yield _offer("embeddings.embed", lambda random: {"documents": [_write_document(random)]})
    yield _offer("storage.put", lambda random: {"upload": store.stage(random.randbytes(16) + filling)})
    yield _offer("promotion.publish", lambda random: {"batch": _stage_batch(store, random)})
    yield _offer("dataset.export", lambda _: {"day": now().date().isoformat()})


def _low() -> Iterator[TaskTemplate]:
    yield _offer(
        "email.send",
        lambda random: {
            "mail": _name(random),
            "to": "reader@example.org",
            "template": "welcome",
            "values": {"name": random.choice(("Ada", "Grace", "Linus"))},
        },
    )
    yield _offer("cleanup.expire", lambda _: {"older_than_seconds": 300})
    yield TaskTemplate(task="app.tasks.langfuse.ship", make_arguments=lambda _: ())
    yield TaskTemplate(task="app.tasks.leaderboard.compute", make_arguments=lambda _: ())


def _offer(task: str, make_request: Callable[[Random], dict[str, Any]]) -> TaskTemplate:
    return TaskTemplate(task=f"app.tasks.{task}", make_arguments=lambda random: (make_request(random),))


def draw_picture(view: tuple[float, float, float, float]) -> bytes:
    """Return a JPEG of a part of the Mandelbrot set; `view` is left, top, right, bottom in the complex plane."""
    encoded = io.BytesIO()
    Image.effect_mandelbrot(PICTURE_SIZE, view, 100).save(encoded, "JPEG", quality=85)
    return encoded.getvalue()


def make_sound(frequency_hertz: float) -> bytes:
    """Return a WAV file of a tone."""
    samples = (
        round(12_000 * math.sin(2 * math.pi * frequency_hertz * index / SOUND_RATE))
        for index in range(int(SOUND_RATE * SOUND_SECONDS))
    )
    encoded = io.BytesIO()
    with wave.open(encoded, "wb") as sound:
        sound.setparams((1, 2, SOUND_RATE, 0, "NONE", ""))
        sound.writeframes(b"".join(sample.to_bytes(2, "little", signed=True) for sample in samples))
    return encoded.getvalue()


def make_sentence(random: Random) -> str:
    """Return a sentence about fleets."""
    return f"{random.choice(SUBJECTS)} {random.choice(VERBS)} {random.choice(SUBJECTS)} {random.choice(PLACES)}"


def make_vote(random: Random) -> Vote:
    """Return the vote of somebody who prefers the stronger model, most of the time."""
    a, b = random.sample(sorted(STRENGTHS), 2)
    a_wins = random.random() < 1 / (1 + 10 ** ((STRENGTHS[b] - STRENGTHS[a]) / 400))
    outcome = Outcome.TIE if random.random() < 0.1 else Outcome.A if a_wins else Outcome.B
    at = now() - timedelta(seconds=random.uniform(0, 3600))
    return Vote(id=_name(random), at=at, model_a=a, model_b=b, outcome=outcome)


def _name(random: Random) -> str:
    return UUID(int=random.getrandbits(128)).hex


def _store_rows(session: Session, random: Random) -> None:
    session.add_all(make_vote(random) for _ in range(VOTES))
    session.add_all(_make_document(random) for _ in range(DOCUMENTS))


def _make_document(random: Random) -> Document:
    sentences = [make_sentence(random) for _ in range(5)]
    return Document(id=_name(random), title=sentences[0], text=". ".join(sentences))


def _write_document(random: Random) -> str:
    document = _make_document(random)
    with transaction() as session:
        session.add(document)
        return document.id


def _ask(random: Random) -> str:
    with transaction() as session:
        return ask(session, _name(random), f"Why is it that {make_sentence(random)}?")


def _stage_batch(store: ObjectStore, random: Random) -> str:
    batch = _name(random)
    uploads = [store.stage(random.randbytes(1024)) for _ in range(3)]
    with transaction() as session:
        session.add_all(Staged(upload=upload, batch=batch, title=make_sentence(random)) for upload in uploads)
    return batch


def show() -> Iterator[ResultTable]:
    """Show what the tasks have made."""
    with transaction() as session:
        yield _show_leaderboard(session)
        yield _show_counts(session)
        yield _show_places(session)


def _show_leaderboard(session: Session) -> ResultTable:
    newest = select(Rating.run).order_by(Rating.at.desc()).limit(1).scalar_subquery()
    ratings = session.scalars(select(Rating).where(Rating.run == newest).order_by(Rating.rating.desc())).all()
    return ResultTable(
        title="Leaderboard, from the votes stored",
        columns=("model", "rating", "95 % interval", "votes"),
        rows=tuple(
            (each.model, f"{each.rating:.0f}", f"{each.low:.0f} to {each.high:.0f}", f"{each.votes:,}")
            for each in ratings
        ),
    )


def _show_counts(session: Session) -> ResultTable:
    made = {
        "answers": (select(func.count(Message.id)).filter_by(role="assistant", state=State.COMPLETE), "chat.complete"),
        "transcripts": (select(func.count(Transcript.audio)), "asr.transcribe"),
        "searches": (select(func.count(Search.id)), "web_search.search"),
        "vectors": (select(func.count(Embedding.document_id)), "embeddings.embed"),
        "published uploads": (select(func.count(Published.upload)), "promotion.publish"),
        "mails": (select(func.count(Mail.id)), "email.send"),
        "shipped traces": (select(func.count(Trace.id)).where(Trace.shipped_at.is_not(None)), "langfuse.ship"),
    }
    rows = [(task, f"{session.scalar(count):,}", what) for what, (count, task) in made.items()]
    return ResultTable(title="What the tasks made", columns=("task", "count", "what"), rows=tuple(rows))


def _show_places(session: Session) -> ResultTable:
    today = now().date()
    picture = session.scalar(select(Picture.object).limit(1))
    rows = [
        ("a picture that was drawn", objects().path(picture) if picture else "none"),
        *(
            (f"{table.num_rows:,} {name} of today", exports().path(today, f"{name}-*.parquet"))
            for name, table in exports().read(today).items()
        ),
        ("mails", settings().mail_url.get_secret_value()),
        ("traces", settings().tracing_url.get_secret_value()),
    ]
    return ResultTable(title="Where to look", columns=("what", "where"), rows=tuple(rows))


workload = WorkloadProvider(prepare=prepare, show=show, environment={"APP_CLEANUP_EVERY_SECONDS": "2"})
