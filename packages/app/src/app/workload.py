"""The load this application offers in demos and load runs: its own tasks, on real pictures and uploads."""

import io
from random import Random

from PIL import Image

from app.services.objects import objects
from deploytools.load.workload import Offer, Source, Workload

PICTURE_SIZE = (1280, 960)
UPLOAD_BYTES = 64 * 1024  # as many a second as the tier can take: a saturated minute shall not fill a disk

# Corners of the Mandelbrot set with much detail: pictures nobody has to ship, that compress like photographs.
VIEWS = ((-2.0, -1.2, 0.8, 1.2), (-0.80, -0.20, -0.70, -0.10), (-1.30, 0.00, -1.20, 0.10), (0.26, -0.02, 0.34, 0.06))


def prepare() -> Workload:
    """Store a few pictures, and offer work on them."""
    store = objects()
    filling = Random(0).randbytes(UPLOAD_BYTES - 16)  # noqa: S311 — 16 bytes more make every upload a new one
    pictures = [store.put(draw_picture(view)) for view in VIEWS]
    return Workload(
        offers=(
            Offer(
                task="app.tasks.images.make_variants",
                make_arguments=lambda random: ({"picture": random.choice(pictures), "widths": [640, 160]},),
            ),
            Offer(
                task="app.tasks.storage.put",
                make_arguments=lambda random: ({"upload": store.stage(random.randbytes(16) + filling)},),
            ),
            Offer(
                task="app.tasks.cleanup.expire",
                make_arguments=lambda _: ({"older_than_seconds": 300},),
            ),
        ),
    )


def draw_picture(view: tuple[float, float, float, float]) -> bytes:
    """Return a JPEG of a part of the Mandelbrot set; `view` is left, top, right, bottom in the complex plane."""
    encoded = io.BytesIO()
    Image.effect_mandelbrot(PICTURE_SIZE, view, 100).save(encoded, "JPEG", quality=85)
    return encoded.getvalue()


workload = Source(prepare=prepare, environment={"APP_CLEANUP_EVERY_SECONDS": "2"})
