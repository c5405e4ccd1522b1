"""Variants of pictures: resized, re-encoded, stripped of what the camera wrote into them."""

import io
import warnings
from enum import StrEnum

from PIL import Image, ImageOps, UnidentifiedImageError

# 50 megapixels: what phones deliver, and at 4 bytes a pixel 200 MB of memory. Larger ones are refused from their
# header, before a pixel is decoded.
MAX_PIXELS = 50_000_000


# Pillow loads its codecs when the first picture is opened. Here they are loaded once, before processes are forked.
Image.init()


class PictureError(ValueError):
    """The bytes are no picture we can or will read."""


class PictureFormat(StrEnum):
    """What variants can be encoded as."""

    JPEG = "JPEG"
    PNG = "PNG"
    WEBP = "WEBP"


def make_variant(data: bytes, *, width: int, picture_format: PictureFormat) -> bytes:
    """Return the picture at most `width` pixels wide, upright, without EXIF; never enlarged. Raises PictureError."""
    with _open(data, width) as picture:
        upright = ImageOps.exif_transpose(picture).convert(
            "RGBA" if _is_transparent(picture, picture_format) else "RGB"
        )
        upright.thumbnail((width, upright.height))
        encoded = io.BytesIO()
        upright.info.clear()
        upright.save(encoded, picture_format.value)
        return encoded.getvalue()


def _open(data: bytes, width: int) -> Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            picture = Image.open(io.BytesIO(data))
            if picture.width * picture.height > MAX_PIXELS:
                raise PictureError(f"{picture.width} x {picture.height} pixels: more than {MAX_PIXELS}: refused")
            picture.draft(None, (width, width))  # JPEG decodes at a fraction of its size, no smaller than this
            picture.load()
    except UnidentifiedImageError:
        raise PictureError("not a picture in any format we know") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise PictureError(f"refused as a decompression bomb: {error}") from None
    except (OSError, SyntaxError) as error:
        raise PictureError(f"a damaged picture: {error}") from None
    return picture


def _is_transparent(picture: Image.Image, picture_format: PictureFormat) -> bool:
    return picture.has_transparency_data and picture_format is not PictureFormat.JPEG
