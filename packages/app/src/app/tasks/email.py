"""Mail (tier low)."""

from email.message import EmailMessage
from enum import StrEnum

from celery import shared_task
from jinja2 import Environment, PackageLoader, StrictUndefined, TemplateNotFound, select_autoescape
from pydantic import BaseModel, EmailStr, Field

from app.core.task import ServiceTask
from app.services.database import insert_once, transaction
from app.services.mailer import send as hand_over
from app.services.tables import Mail
from app.settings import settings
from app.tasks.names import RowName

templates = Environment(
    loader=PackageLoader("app", "templates"), autoescape=select_autoescape(["html"]), undefined=StrictUndefined
)


class Template(StrEnum):
    """What mails there are: a text each, and an HTML part or none, in `app/templates`."""

    WELCOME = "welcome"
    RANKING = "ranking"


class SendRequest(BaseModel):
    """A mail: its name (the same in every try), to whom, which, and what to fill in."""

    mail: RowName
    to: EmailStr
    template: Template
    values: dict[str, str] = Field(default_factory=dict)


class Sent(BaseModel):
    """Whether it had been sent before."""

    again: bool


@shared_task(name="app.tasks.email.send", base=ServiceTask, pydantic=True)
def send(request: SendRequest) -> Sent:
    """Render and send a mail, once.

    Nobody can hand a mail over and note it in one step. Killed in between, it is sent again with the same Message-ID,
    by which the receiving server sees that it is the same mail.
    """
    with transaction() as session:
        if session.get(Mail, request.mail) is not None:
            return Sent(again=True)
    hand_over(_render(request), name=request.mail)
    with transaction() as session:
        first = insert_once(session, Mail, id=request.mail, recipient=request.to)
    return Sent(again=not first)


def _render(request: SendRequest) -> EmailMessage:
    text = templates.get_template(f"{request.template}.txt").render(request.values)
    subject, _, body = text.partition("\n\n")
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = settings().mail_from, request.to, subject
    message.set_content(body)
    try:
        page = templates.get_template(f"{request.template}.html").render(request.values)
    except TemplateNotFound:
        return message
    message.add_alternative(page, subtype="html")
    return message
