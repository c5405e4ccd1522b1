"""Models behind an OpenAI-compatible API: chat, vectors, pictures, transcripts.

The client is the production one everywhere. With no URL it talks to a stand-in in this process.
"""

import base64
import binascii
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from json import JSONDecodeError
from typing import TYPE_CHECKING, Any

from app.services.errors import TransientError, http_error
from app.services.limits import limited
from app.services.stand_in import start_stand_in
from app.settings import settings

if TYPE_CHECKING:
    from openai import OpenAI


def stream_answer(turns: list[dict[str, str]]) -> Iterator[str]:
    """Yield the pieces of a chat model's answer; `turns` are `role` and `content`."""
    ended = None
    with _calling("chat") as api:
        made: Any = turns
        with api.chat.completions.create(model=settings().chat_model, messages=made, stream=True) as stream:
            for chunk in stream:
                for choice in chunk.choices:
                    ended = choice.finish_reason or ended
                    if choice.delta.content:
                        yield choice.delta.content
        if ended is None:
            raise TransientError("model API (chat): the answer broke off")


def embed(texts: list[str]) -> list[list[float]]:
    """Return a vector for each text."""
    with _calling("embeddings") as api:
        data = api.embeddings.create(model=settings().embedding_model, input=texts, encoding_format="float").data
        if len(data) != len(texts):
            raise TransientError(f"model API (embeddings): {len(texts)} texts sent, {len(data)} vectors received")
        return [entry.embedding for entry in sorted(data, key=lambda entry: entry.index)]


def draw(prompt: str) -> bytes:
    """Return an encoded picture of what the prompt says."""
    with _calling("images") as api:
        data = api.images.generate(model=settings().image_model, prompt=prompt, response_format="b64_json").data
        if not data or not data[0].b64_json:
            raise TransientError("model API (images): the answer holds no picture")
        try:
            return base64.b64decode(data[0].b64_json, validate=True)
        except binascii.Error as error:
            raise TransientError(f"model API (images): the answer is not base64: {error}") from None


def transcribe(audio: bytes, *, name: str) -> str:
    """Return what is said in an audio file; `name` ends as the format's files do."""
    with _calling("transcriptions") as api:
        return api.audio.transcriptions.create(model=settings().speech_model, file=(name, audio)).text


@contextmanager
def _calling(what: str) -> Iterator["OpenAI"]:
    """Lend the client, within the fleet's limits; tell what is worth another try from what is not."""
    import openai

    chosen = settings()
    api = f"model API ({what})"
    with limited(api, rate=chosen.model_rate, failures=chosen.model_failures):
        try:
            yield client()
        except openai.APITimeoutError:
            raise TransientError(f"{api}: silent for {chosen.model_timeout_seconds:g} s") from None
        except openai.APIStatusError as error:
            message = f"{api}: HTTP {error.status_code}: {str(error.message)[:500]}"
            raise http_error(message, error.status_code, error.response.headers.get("retry-after")) from None
        except (openai.APIError, JSONDecodeError, AttributeError, TypeError) as error:
            # The last three are what the SDK lets through when an answer is not what the API promises.
            raise TransientError(f"{api}: {type(error).__name__}: {error}") from error


@cache
def client() -> "OpenAI":
    """Return this process's client. It does not retry: the task does, and holds no process meanwhile."""
    from openai import OpenAI

    chosen = settings()
    return OpenAI(
        base_url=chosen.model_url or start_stand_in(),
        api_key=chosen.model_key.get_secret_value(),
        timeout=chosen.model_timeout_seconds,
        max_retries=0,
    )


os.register_at_fork(after_in_child=client.cache_clear)
