"""Traces of model calls: to Langfuse, or into files of JSON lines.

A trace's and its span's names are made from the call's own, so one that is shipped twice is one in Langfuse.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, unquote, urlsplit
from uuid import uuid4

from app.services.errors import TransientError, http_error
from app.settings import settings

if TYPE_CHECKING:
    from langfuse.api.opentelemetry import OtelSpan

TIMEOUT_SECONDS = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """A model call: when it ended, and what it was: `model`, `input`, `output`, `seconds`."""

    name: str
    at: datetime
    call: dict[str, Any]


def ship(batch: str, calls: Sequence[Call]) -> None:
    """Hand a batch of calls over. The same batch a second time changes nothing."""
    url = urlsplit(settings().tracing_url.get_secret_value())
    if url.scheme == "file":
        _write_lines(calls, Path(unquote(url.path)), batch)
    else:
        _send(calls, url)


def _write_lines(calls: Sequence[Call], folder: Path, batch: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f".{batch}.{uuid4().hex}.part"
    lines = [json.dumps({"id": call.name, "at": call.at.isoformat(), **call.call}) for call in calls]
    part.write_text("".join(f"{line}\n" for line in lines))
    part.rename(folder / f"{batch}.jsonl")


def _send(calls: Sequence[Call], url: SplitResult) -> None:
    import httpx
    from langfuse.api import LangfuseAPI
    from langfuse.api.core import ApiError
    from langfuse.api.opentelemetry import OtelResourceSpan, OtelScopeSpan

    api = LangfuseAPI(
        base_url=f"{url.scheme}://{url.netloc.rpartition('@')[2]}{url.path}",
        username=unquote(url.username or ""),
        password=unquote(url.password or ""),
        timeout=TIMEOUT_SECONDS,
        headers={"x-langfuse-ingestion-version": "4"},
    )
    spans = [_span(call) for call in calls]
    try:
        api.opentelemetry.export_traces(
            resource_spans=[OtelResourceSpan(scope_spans=[OtelScopeSpan(spans=spans)])],
            request_options={"max_retries": 0},
        )
    except ApiError as error:
        message = f"Langfuse: HTTP {error.status_code}: {error.body}"
        if error.status_code is None:
            raise TransientError(message) from None
        raise http_error(message, error.status_code, (error.headers or {}).get("retry-after")) from None
    except httpx.HTTPError as error:
        raise TransientError(f"Langfuse: {type(error).__name__}: {error}") from None


def _span(call: Call) -> "OtelSpan":
    from langfuse.api.opentelemetry import OtelAttribute, OtelAttributeValue, OtelSpan

    digest = hashlib.sha256(call.name.encode()).hexdigest()
    ended = int(call.at.timestamp() * 1e9)
    attributes = {
        "langfuse.observation.type": "generation",
        "langfuse.observation.model.name": call.call["model"],
        "langfuse.observation.input": json.dumps(call.call["input"]),
        "langfuse.observation.output": call.call["output"],
    }
    return OtelSpan(
        trace_id=digest[:32],
        span_id=digest[32:48],
        name="chat",
        kind=1,
        start_time_unix_nano=str(ended - int(call.call["seconds"] * 1e9)),
        end_time_unix_nano=str(ended),
        attributes=[
            OtelAttribute(key=key, value=OtelAttributeValue(string_value=value)) for key, value in attributes.items()
        ],
        status={},
    )
