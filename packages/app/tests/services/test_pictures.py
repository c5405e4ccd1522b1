"""Variants of real pictures, and refusals of what is none."""

import io
import struct
import zlib
from collections.abc import Callable

import pytest
from PIL import Image

from app.services.pictures import MAX_PIXELS, PictureError, PictureFormat, make_variant

RED, BLUE, CLEAR = (255, 0, 0), (0, 0, 255), (0, 0, 0, 0)
ORIENTATION, MAKE = 0x0112, 0x010F  # EXIF tags
FORMATS = list(PictureFormat)

Encode = Callable[..., bytes]


def read(data: bytes) -> Image.Image:
    """Open a picture, decoded."""
    picture = Image.open(io.BytesIO(data))
    picture.load()
    return picture


def red_and_blue(width: int = 80, height: int = 40) -> Image.Image:
    """Draw a picture whose left half is red, and the right half blue."""
    picture = Image.new("RGB", (width, height), RED)
    picture.paste(BLUE, (width // 2, 0, width, height))
    return picture


def is_like(found: object, wanted: tuple[int, ...]) -> bool:
    """Say whether a pixel has a colour, but for what lossy formats change."""
    assert isinstance(found, tuple)
    return all(abs(one - other) < 24 for one, other in zip(found, wanted, strict=True))


def png_that_claims(width: int, height: int) -> bytes:
    """Return a small PNG file whose header announces that many pixels."""
    chunks = {
        b"IHDR": struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0),
        b"IDAT": zlib.compress(b"\0"),
        b"IEND": b"",
    }
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks.items()
    )


@pytest.mark.parametrize("picture_format", FORMATS)
@pytest.mark.parametrize(
    ("size", "width", "expected"),
    [
        pytest.param((400, 300), 200, (200, 150), id="halved"),
        pytest.param((300, 100), 33, (33, 11), id="rounded"),
        pytest.param((100, 900), 50, (50, 450), id="height-is-not-limited"),
        pytest.param((400, 300), 400, (400, 300), id="as-wide-as-it-is"),
        pytest.param((40, 30), 4000, (40, 30), id="never-enlarged"),
        pytest.param((1000, 2), 10, (10, 1), id="never-without-height"),
    ],
)
def test_a_variant_is_at_most_so_wide_and_keeps_its_proportions(
    encode: Encode, picture_format: PictureFormat, size: tuple[int, int], width: int, expected: tuple[int, int]
) -> None:
    source = encode(red_and_blue(*size), "JPEG")

    variant = read(make_variant(source, width=width, picture_format=picture_format))

    assert variant.size == expected
    assert variant.format == picture_format.value


@pytest.mark.parametrize("source_format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("picture_format", FORMATS)
def test_what_the_camera_wrote_is_gone(encode: Encode, source_format: str, picture_format: PictureFormat) -> None:
    exif = Image.Exif()
    exif[MAKE] = "Secret camera"
    source = encode(red_and_blue(), source_format, exif=exif)
    assert b"Secret camera" in source

    variant = make_variant(source, width=20, picture_format=picture_format)

    assert b"Secret camera" not in variant
    assert not read(variant).getexif()


@pytest.mark.parametrize("picture_format", FORMATS)
@pytest.mark.parametrize(
    ("orientation", "size", "first", "last"),
    [
        pytest.param(1, (40, 20), RED, BLUE, id="upright"),
        pytest.param(3, (40, 20), BLUE, RED, id="upside-down"),
        pytest.param(6, (40, 80), RED, BLUE, id="turned-left"),
        pytest.param(8, (40, 80), BLUE, RED, id="turned-right"),
    ],
)
def test_a_picture_taken_with_a_turned_camera_is_set_upright(
    encode: Encode,
    picture_format: PictureFormat,
    orientation: int,
    size: tuple[int, int],
    first: tuple[int, ...],
    last: tuple[int, ...],
) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    source = encode(red_and_blue(80, 40), "JPEG", exif=exif)

    variant = read(make_variant(source, width=40, picture_format=picture_format))

    assert variant.size == size
    assert is_like(variant.getpixel((2, 2)), first)
    assert is_like(variant.getpixel((size[0] - 3, size[1] - 3)), last)


def clear_and_blue() -> Image.Image:
    """Draw a picture whose left half is transparent."""
    picture = Image.new("RGBA", (80, 40), CLEAR)
    picture.paste((*BLUE, 255), (40, 0, 80, 40))
    return picture


@pytest.mark.parametrize(
    ("mode", "options"),
    [pytest.param("RGBA", {}, id="alpha"), pytest.param("P", {"transparency": 0}, id="palette-with-a-clear-colour")],
)
@pytest.mark.parametrize("picture_format", [PictureFormat.PNG, PictureFormat.WEBP])
def test_transparency_is_kept_where_the_format_has_it(
    encode: Encode, picture_format: PictureFormat, mode: str, options: dict[str, int]
) -> None:
    source = clear_and_blue()
    if mode == "P":
        source = Image.new("P", (80, 40), 0)
        source.putpalette([*RED, *BLUE])
        source.paste(1, (40, 0, 80, 40))

    variant = read(make_variant(encode(source, "PNG", **options), width=20, picture_format=picture_format))

    assert variant.mode == "RGBA"
    assert variant.getchannel("A").getpixel((2, 2)) == 0
    assert is_like(variant.getpixel((17, 7)), (*BLUE, 255))


def test_transparency_is_dropped_where_the_format_has_none(encode: Encode) -> None:
    variant = read(make_variant(encode(clear_and_blue(), "PNG"), width=20, picture_format=PictureFormat.JPEG))

    assert variant.mode == "RGB"
    assert is_like(variant.getpixel((17, 7)), BLUE)


@pytest.mark.parametrize("picture_format", [PictureFormat.PNG, PictureFormat.WEBP])
def test_an_opaque_picture_gets_no_alpha_channel(encode: Encode, picture_format: PictureFormat) -> None:
    variant = read(make_variant(encode(red_and_blue(), "PNG"), width=20, picture_format=picture_format))

    assert variant.mode == "RGB"


@pytest.mark.parametrize(
    ("width", "height", "problem"),
    [
        pytest.param(5_000, MAX_PIXELS // 5_000 + 1, "5000 x 10001 pixels: more than 50000000: refused", id="just"),
        pytest.param(10_000, 10_000, "refused as a decompression bomb: ", id="pillow-warns"),
        pytest.param(50_000, 50_000, "refused as a decompression bomb: ", id="pillow-refuses"),
    ],
)
def test_a_bomb_is_refused_from_its_header(width: int, height: int, problem: str) -> None:
    with pytest.raises(PictureError) as caught:
        make_variant(png_that_claims(width, height), width=20, picture_format=PictureFormat.PNG)

    assert str(caught.value).startswith(problem)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\x89PNG\r\n\x1a\n", id="only-a-signature"),
        pytest.param(b"<svg xmlns='http://www.w3.org/2000/svg'/>", id="svg"),
        pytest.param(bytes(range(256)) * 16, id="garbage"),
    ],
)
def test_bytes_that_are_no_picture_are_refused(data: bytes) -> None:
    with pytest.raises(PictureError, match=r"^not a picture in any format we know$"):
        make_variant(data, width=20, picture_format=PictureFormat.PNG)


@pytest.mark.parametrize("source_format", ["JPEG", "PNG", "WEBP", "GIF"])
def test_a_picture_cut_short_is_refused(encode: Encode, source_format: str) -> None:
    whole = encode(Image.effect_mandelbrot((64, 48), (-2.0, -1.2, 0.8, 1.2), 50), source_format)
    make_variant(whole, width=20, picture_format=PictureFormat.PNG)

    for length in range(0, len(whole) * 9 // 10, 97):
        with pytest.raises(PictureError):
            make_variant(whole[:length], width=20, picture_format=PictureFormat.PNG)


def test_the_same_picture_gives_the_same_bytes(encode: Encode) -> None:
    source = encode(red_and_blue(), "JPEG")

    variants = {make_variant(source, width=20, picture_format=PictureFormat.WEBP) for _ in range(3)}

    assert len(variants) == 1
