"""Variants of pictures (tier high)."""

from celery import shared_task
from pydantic import BaseModel, Field

from app.services.objects import objects
from app.services.pictures import PictureFormat, make_variant


class VariantsRequest(BaseModel):
    """A stored picture, and the widths wanted of it, in pixels."""

    picture: str = Field(pattern=r"^[0-9a-f]{64}$")
    widths: list[int] = Field(min_length=1, max_length=16)
    picture_format: PictureFormat = PictureFormat.WEBP


class Variants(BaseModel):
    """Width in pixels → the object that holds the variant."""

    objects: dict[int, str]


@shared_task(name="app.tasks.images.make_variants", pydantic=True)
def make_variants(request: VariantsRequest) -> Variants:
    """Store a picture in other sizes. Running it twice stores the same objects."""
    store = objects()
    data = store.get(request.picture)
    return Variants(
        objects={
            width: store.put(make_variant(data, width=width, picture_format=request.picture_format))
            for width in request.widths
        }
    )
