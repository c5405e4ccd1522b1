"""A stand-in for the model APIs: OpenAI's HTTP API on loopback; it computes what it answers, and says what it is.

Chat repeats what it understood; vectors are hashed words, so texts with common words are near each other; pictures are
drawn from the prompt's hash; transcripts describe the sound. The same question always gets the same answer.
"""

import base64
import hashlib
import io
import json
import math
import re
import wave
from collections.abc import Callable, Iterator
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from PIL import Image

DIMENSIONS = 256
PICTURE_PIXELS = 256


class StandIn(BaseHTTPRequestHandler):
    """Answers one request."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Answer by path."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        answers: dict[str, Callable[[bytes], dict[str, Any]]] = {
            "/v1/embeddings": _embed,
            "/v1/images/generations": _draw,
            "/v1/audio/transcriptions": lambda body: _transcribe(body, self.headers["Content-Type"]),
        }
        if self.path == "/v1/chat/completions":
            self._stream(_chat(json.loads(body)))
        elif answer := answers.get(self.path):
            self._send(200, answer(body))
        else:
            self._send(404, {"error": {"message": f"{self.path}: the stand-in does not know this"}})

    def _send(self, status: int, answer: dict[str, Any]) -> None:
        encoded = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(encoded)))
        self.end_headers()
        self.wfile.write(encoded)

    def _stream(self, chunks: Iterator[dict[str, Any]]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        for chunk in chunks:
            self.wfile.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")
        self.wfile.write(b"data: [DONE]\n\n")

    def log_message(self, *_: Any) -> None:
        """Log nothing: the client does."""


def start_stand_in() -> str:
    """Serve on a free port of loopback, as long as this process lives; return the base URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), StandIn)
    server.daemon_threads = True
    Thread(target=server.serve_forever, name="stand-in", daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}/v1"


def words(text: str) -> list[str]:
    """Return the words of a text, in lower case."""
    return re.findall(r"\w+", text.lower())


def _chat(request: dict[str, Any]) -> Iterator[dict[str, Any]]:
    asked = str(request["messages"][-1]["content"])
    longest = sorted(set(words(asked)), key=lambda word: (-len(word), word))[:3]
    answer = (
        f"This is {request['model']}, a stand-in. You asked in {len(words(asked))} words about {', '.join(longest)}."
    )
    head = {"id": _digest(asked).hex()[:16], "object": "chat.completion.chunk", "created": 0, "model": request["model"]}
    for piece in re.findall(r"\S+\s*", answer):
        yield {**head, "choices": [{"index": 0, "delta": {"content": piece}, "finish_reason": None}]}
    yield {**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}


def _embed(body: bytes) -> dict[str, Any]:
    request = json.loads(body)
    texts = [request["input"]] if isinstance(request["input"], str) else request["input"]
    data = [{"object": "embedding", "index": index, "embedding": _vector(text)} for index, text in enumerate(texts)]
    return {"object": "list", "model": request["model"], "data": data, "usage": {"prompt_tokens": 0, "total_tokens": 0}}


def _vector(text: str) -> list[float]:
    """Count words by the hash of each; the length of the vector is 1."""
    counts = [0.0] * DIMENSIONS
    for word in words(text):
        counts[_digest(word)[0]] += 1.0
    length = math.sqrt(sum(count * count for count in counts)) or 1.0
    return [count / length for count in counts]


def _draw(body: bytes) -> dict[str, Any]:
    seed = _digest(json.loads(body)["prompt"])
    left, top = -2.0 + seed[0] / 128, -1.2 + seed[1] / 128
    size = 0.1 + seed[2] / 256
    encoded = io.BytesIO()
    Image.effect_mandelbrot((PICTURE_PIXELS, PICTURE_PIXELS), (left, top, left + size, top + size), 60).save(
        encoded, "PNG"
    )
    return {"created": 0, "data": [{"b64_json": base64.b64encode(encoded.getvalue()).decode()}]}


def _transcribe(body: bytes, content_type: str) -> dict[str, Any]:
    form = message_from_bytes(b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + body)
    parts = {part.get_param("name", header="content-disposition"): part for part in form.walk()}
    sound = parts["file"].get_payload(decode=True)
    with wave.open(io.BytesIO(sound if isinstance(sound, bytes) else b"")) as audio:
        seconds, rate = audio.getnframes() / audio.getframerate(), audio.getframerate()
    return {"text": f"A stand-in heard {seconds:.2f} seconds of sound at {rate} Hz."}


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
