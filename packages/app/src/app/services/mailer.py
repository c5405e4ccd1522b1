"""Mail: by SMTP with TLS, or into a folder of `.eml` files."""

import smtplib
import ssl
from email.message import EmailMessage
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit
from uuid import uuid4

from app.services.errors import PermanentError, TransientError
from app.settings import settings

TIMEOUT_SECONDS = 20


def send(message: EmailMessage, *, name: str) -> None:
    """Hand a mail over; `name`, the same in a second try, becomes the Message-ID, by which servers see doubles."""
    message["Message-ID"] = f"<{name}@{settings().mail_from.rpartition('@')[2]}>"
    url = urlsplit(settings().mail_url.get_secret_value())
    if url.scheme == "file":
        _put_into_outbox(message, Path(unquote(url.path)), name)
    else:
        _send_by_smtp(message, url)


def _put_into_outbox(message: EmailMessage, outbox: Path, name: str) -> None:
    outbox.mkdir(parents=True, exist_ok=True)
    part = outbox / f".{name}.{uuid4().hex}.part"
    part.write_bytes(bytes(message))
    part.rename(outbox / f"{name}.eml")


def _send_by_smtp(message: EmailMessage, url: SplitResult) -> None:
    server = f"mail server {url.hostname}"
    try:
        with _connect(url) as smtp:
            if url.username:
                smtp.login(unquote(url.username), unquote(url.password or ""))
            smtp.send_message(message)
    except smtplib.SMTPRecipientsRefused as error:
        (code, said), *_ = error.recipients.values()
        raise _refused(server, code, said) from None
    except smtplib.SMTPResponseException as error:
        raise _refused(server, error.smtp_code, error.smtp_error) from None
    except smtplib.SMTPNotSupportedError as error:
        raise PermanentError(f"{server}: {error}: mail is sent by TLS only") from None
    except ssl.SSLCertVerificationError as error:
        raise PermanentError(f"{server}: {error.verify_message}: set APP_MAIL_CA_FILE if it is yours") from None
    except (smtplib.SMTPException, OSError) as error:
        raise TransientError(f"{server}: {type(error).__name__}: {error}") from None


def _connect(url: SplitResult) -> smtplib.SMTP:
    context = ssl.create_default_context(cafile=settings().mail_ca_file)
    if url.scheme == "smtps":
        return smtplib.SMTP_SSL(url.hostname or "", url.port or 465, timeout=TIMEOUT_SECONDS, context=context)
    smtp = smtplib.SMTP(url.hostname or "", url.port or 587, timeout=TIMEOUT_SECONDS)
    try:
        smtp.starttls(context=context)
    except BaseException:
        smtp.close()
        raise
    return smtp


def _refused(server: str, code: int, said: bytes | str) -> TransientError | PermanentError:
    text = said.decode(errors="replace") if isinstance(said, bytes) else said
    kind = TransientError if 400 <= code < 500 else PermanentError
    return kind(f"{server}: {code} {text}")
