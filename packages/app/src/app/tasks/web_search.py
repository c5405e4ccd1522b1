"""Searches (tier high)."""

from celery import shared_task
from pydantic import BaseModel, Field

from app.core.task import ServiceTask
from app.services.database import insert_once, transaction
from app.services.search import search as find
from app.services.tables import Search
from app.tasks.names import RowName


class SearchRequest(BaseModel):
    """A query, and the name under which its results are kept."""

    search: RowName
    query: str = Field(min_length=1, max_length=1000)
    count: int = Field(default=10, ge=1, le=100)


class Found(BaseModel):
    """The addresses of what was found, the best first."""

    urls: list[str]


@shared_task(name="app.tasks.web_search.search", base=ServiceTask, pydantic=True)
def search(request: SearchRequest) -> Found:
    """Search, and keep what was found. Run again, it gives what was found first."""
    with transaction() as session:
        known = session.get(Search, request.search)
        results = known.results if known else None
    if results is None:
        results = find(request.query, count=request.count)
        with transaction() as session:
            insert_once(session, Search, id=request.search, query=request.query, results=results)
    return Found(urls=[result["url"] for result in results])
