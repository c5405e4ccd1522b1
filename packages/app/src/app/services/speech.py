"""What is said in a sound: by the model API, or by a recogniser that needs no service."""

import io
import wave
from typing import TYPE_CHECKING

import numpy as np

from app.services import language_model
from app.services.errors import PermanentError
from app.settings import settings

if TYPE_CHECKING:
    from pocketsphinx import Decoder

LOCAL = "pocketsphinx"
# What PocketSphinx's model was trained on: 16 bit samples, one channel, so many a second.
SAMPLES_PER_SECOND = 16_000
# How samples are written, by their size in bytes.
SAMPLES = {1: "u1", 2: "<i2", 4: "<i4"}


def transcribe(audio: bytes) -> str:
    """Return what is said in a WAV file; raise PermanentError if it is none."""
    try:
        with wave.open(io.BytesIO(audio)) as sound:
            if settings().speech_model == LOCAL:
                return _recognise(sound)
    except (wave.Error, EOFError) as error:
        raise PermanentError(f"not a WAV file: {error}") from None
    return language_model.transcribe(audio, name="sound.wav")


def _recognise(sound: wave.Wave_read) -> str:
    decoder = _decoder()
    decoder.start_utt()
    decoder.process_raw(_resample(sound), full_utt=True)
    decoder.end_utt()
    found = decoder.hyp()
    return found.hypstr if found else ""


def _resample(sound: wave.Wave_read) -> bytes:
    kind = SAMPLES.get(sound.getsampwidth())
    if kind is None:
        raise PermanentError(f"a WAV file of {8 * sound.getsampwidth()} bits: 8, 16 and 32 are read")
    frames = np.frombuffer(sound.readframes(sound.getnframes()), kind).reshape(-1, sound.getnchannels()).mean(axis=1)
    loudness = (frames - 128) / 2**7 if kind == "u1" else frames / 2 ** (8 * sound.getsampwidth() - 1)
    count = int(len(loudness) * SAMPLES_PER_SECOND / sound.getframerate())
    at = np.arange(count) * sound.getframerate() / SAMPLES_PER_SECOND
    wanted = np.interp(at, np.arange(len(loudness)), loudness) if len(loudness) else loudness
    return bytes((wanted * (2**15 - 1)).astype("<i2").tobytes())


def _decoder() -> "Decoder":
    try:
        from pocketsphinx import Decoder
    except ImportError:
        raise PermanentError(
            "APP_SPEECH_MODEL=pocketsphinx: it is not installed: pip install app[recogniser]"
        ) from None
    return Decoder(samprate=SAMPLES_PER_SECOND)
