"""Answers of chat models (tier high)."""

import time

from celery import shared_task
from pydantic import BaseModel

from app.core.task import ServiceTask
from app.services.conversations import read_answer, write_answer
from app.services.database import insert_once, transaction
from app.services.language_model import stream_answer
from app.services.tables import State, Trace
from app.settings import settings
from app.tasks.names import RowName

# How often the row is written while the answer comes: often enough to be read along.
SHOW_EVERY_SECONDS = 0.25


class CompleteRequest(BaseModel):
    """The message that is to hold the answer; the turns before it are the question."""

    answer: RowName


class Completed(BaseModel):
    """The answer's length, in characters; `again` if it was complete before."""

    characters: int
    again: bool = False


@shared_task(name="app.tasks.chat.complete", base=ServiceTask, pydantic=True)
def complete(request: CompleteRequest) -> Completed:
    """Stream a model's answer into its message. Run again, it starts anew, unless the answer is complete."""
    with transaction() as session:
        state, turns = read_answer(session, request.answer)
    if state is State.COMPLETE:
        return Completed(characters=0, again=True)

    started = shown = time.monotonic()
    content = ""
    for piece in stream_answer(turns):
        content += piece
        if time.monotonic() - shown > SHOW_EVERY_SECONDS:
            shown = time.monotonic()
            with transaction() as session:
                write_answer(session, request.answer, content, State.STREAMING)

    call = {
        "model": settings().chat_model,
        "input": turns,
        "output": content,
        "seconds": round(time.monotonic() - started, 3),
    }
    with transaction() as session:
        first = write_answer(session, request.answer, content, State.COMPLETE)
        if first:
            insert_once(session, Trace, id=request.answer, call=call)
    return Completed(characters=len(content), again=not first)
