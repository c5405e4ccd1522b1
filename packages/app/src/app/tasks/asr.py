"""Transcripts of what is said (tier high)."""

from celery import shared_task
from pydantic import BaseModel

from app.core.task import ServiceTask
from app.services import speech
from app.services.database import insert_once, transaction
from app.services.objects import objects
from app.services.tables import Transcript
from app.settings import settings
from app.tasks.names import ObjectName


class TranscribeRequest(BaseModel):
    """An object that is a WAV file."""

    audio: ObjectName


class Transcribed(BaseModel):
    """What is said in it."""

    text: str


@shared_task(name="app.tasks.asr.transcribe", base=ServiceTask, pydantic=True)
def transcribe(request: TranscribeRequest) -> Transcribed:
    """Write down what is said, once for each sound and model."""
    key = {"audio": request.audio, "model": settings().speech_model}
    with transaction() as session:
        known = session.get(Transcript, key)
        if known is not None:
            return Transcribed(text=known.text)
    text = speech.transcribe(objects().get(request.audio))
    with transaction() as session:
        insert_once(session, Transcript, **key, text=text)
    return Transcribed(text=text)
