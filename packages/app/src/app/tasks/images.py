"""Pictures: variants of stored ones, and new ones that a model makes (tier high)."""

from celery import shared_task
from pydantic import BaseModel, Field

from app.core.task import ServiceTask
from app.services import language_model
from app.services.database import insert_once, transaction
from app.services.objects import objects
from app.services.pictures import PictureFormat, make_variant
from app.services.tables import Picture
from app.tasks.names import ObjectName, RowName


class VariantsRequest(BaseModel):
    """A stored picture, and the widths wanted of it, in pixels."""

    picture: ObjectName
    widths: list[int] = Field(min_length=1, max_length=16)
    picture_format: PictureFormat = PictureFormat.WEBP


class Variants(BaseModel):
    """Width in pixels → the object that holds the variant."""

    objects: dict[int, str]


@shared_task(name="app.tasks.images.make_variants", base=ServiceTask, pydantic=True)
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


class GenerateRequest(BaseModel):
    """What to draw, and the name under which the picture is kept."""

    picture: RowName
    prompt: str = Field(min_length=1, max_length=4000)


class Generated(BaseModel):
    """The object that holds the picture."""

    object: str


@shared_task(name="app.tasks.images.generate", base=ServiceTask, pydantic=True)
def generate(request: GenerateRequest) -> Generated:
    """Have a model draw a picture, once: the first that is stored under the name stays."""
    with transaction() as session:
        drawn = session.get(Picture, request.picture)
        if drawn is not None:
            return Generated(object=drawn.object)
    name = objects().put(language_model.draw(request.prompt))
    with transaction() as session:
        insert_once(session, Picture, id=request.picture, prompt=request.prompt, object=name)
        return Generated(object=session.get_one(Picture, request.picture).object)
