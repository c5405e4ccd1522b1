"""Search: a SearXNG instance's answers, or the documents stored here."""

from json import JSONDecodeError

import httpx
from sqlalchemy import text
from sqlalchemy.orm import Session

from app.services.database import transaction
from app.services.errors import TransientError, http_error
from app.services.stand_in import words
from app.settings import settings

TIMEOUT_SECONDS = 10
SNIPPET_LETTERS = 300

FTS5 = text(
    "SELECT documents.id, documents.title, documents.text FROM documents_text "
    "JOIN documents ON documents.rowid = documents_text.rowid "
    "WHERE documents_text MATCH :query ORDER BY rank, documents.id LIMIT :count"
)
TSVECTOR = text(
    "SELECT id, title, text FROM documents, to_tsquery('english', :query) AS wanted "
    "WHERE to_tsvector('english', title || ' ' || text) @@ wanted "
    "ORDER BY ts_rank(to_tsvector('english', title || ' ' || text), wanted) DESC, id LIMIT :count"
)


def search(query: str, *, count: int) -> list[dict[str, str]]:
    """Return at most `count` results, the best first: title, url, text."""
    url = settings().search_url
    if url:
        return _ask_searxng(url, query, count)
    with transaction() as session:
        return _search_documents(session, query, count)


def _ask_searxng(url: str, query: str, count: int) -> list[dict[str, str]]:
    try:
        answer = httpx.get(
            f"{url.rstrip('/')}/search", params={"q": query, "format": "json"}, timeout=TIMEOUT_SECONDS
        ).raise_for_status()
        results = answer.json()["results"][:count]
        return [{"title": each["title"], "url": each["url"], "text": each.get("content") or ""} for each in results]
    except httpx.HTTPStatusError as error:
        status = error.response.status_code
        hint = ": allow the json format in its settings.yml" if status == httpx.codes.FORBIDDEN else ""
        retry_after = error.response.headers.get("retry-after")
        raise http_error(f"SearXNG: HTTP {status}{hint}", status, retry_after) from None
    except httpx.HTTPError as error:
        raise TransientError(f"SearXNG: {type(error).__name__}: {error}") from None
    except (JSONDecodeError, KeyError, TypeError) as error:
        raise TransientError(f"SearXNG: the answer is not what its API promises: {error!r}") from None


def _search_documents(session: Session, query: str, count: int) -> list[dict[str, str]]:
    wanted = words(query)
    if not wanted:
        return []
    if session.get_bind().dialect.name == "sqlite":
        rows = session.execute(FTS5, {"query": " OR ".join(f'"{word}"' for word in wanted), "count": count})
    else:
        rows = session.execute(TSVECTOR, {"query": " | ".join(wanted), "count": count})
    return [{"title": row.title, "url": f"document:{row.id}", "text": row.text[:SNIPPET_LETTERS]} for row in rows]
