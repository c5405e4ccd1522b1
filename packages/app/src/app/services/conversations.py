"""Conversations: what was said, and the answer that is being written."""

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.services.tables import Conversation, Message, State


class MessageMissingError(LookupError):
    """No message of that name is stored."""


def ask(session: Session, conversation: str, question: str) -> str:
    """Append a question and an answer yet to come, to a new conversation or a known one; return the answer's name."""
    if session.get(Conversation, conversation) is None:
        session.add(Conversation(id=conversation))
        session.flush()
    position = len(session.scalars(select(Message.id).filter_by(conversation_id=conversation)).all())
    answer = f"{conversation}-{position + 1}"
    session.add_all(
        [
            Message(
                id=f"{conversation}-{position}",
                conversation_id=conversation,
                position=position,
                role="user",
                content=question,
            ),
            Message(
                id=answer,
                conversation_id=conversation,
                position=position + 1,
                role="assistant",
                state=State.WAITING,
            ),
        ]
    )
    return answer


def read_answer(session: Session, answer: str) -> tuple[State, list[dict[str, str]]]:
    """Return how far an answer is, and the turns before it as a chat model wants them; raise MessageMissingError."""
    found = session.get(Message, answer)
    if found is None:
        raise MessageMissingError(f"message {answer}: no such message is stored: ask first, then send the task")
    before = select(Message).where(Message.conversation_id == found.conversation_id, Message.position < found.position)
    turns = session.scalars(before.order_by(Message.position)).all()
    return State(found.state), [{"role": turn.role, "content": turn.content} for turn in turns]


def write_answer(session: Session, answer: str, content: str, state: State) -> bool:
    """Write what there is of an answer, unless it is complete already; say whether it was written."""
    unfinished = update(Message).where(Message.id == answer, Message.state != State.COMPLETE)
    return bool(session.execute(unfinished.values(content=content, state=state)).rowcount)  # type: ignore[attr-defined]
