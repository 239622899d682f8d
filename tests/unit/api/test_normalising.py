"""Normalising input images."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import pytest
from PIL import Image

from modelpool.errors import InvalidInput
from modelpool_api.normalising import BrokenPicture, normalise
from support.pictures import picture

CAP = 1_000_000


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_the_allowed_formats_become_rgb_png(kind: str) -> None:
    result = opened(normalise(picture(kind), CAP))
    assert (result.format, result.mode, result.size) == ("PNG", "RGB", (32, 24))


@pytest.mark.parametrize("mode", ["L", "P", "1", "RGBA", "LA", "I;16", "CMYK"])
def test_any_colour_mode_becomes_rgb(mode: str) -> None:
    kind = "JPEG" if mode == "CMYK" else "PNG"
    assert opened(normalise(picture(kind, colour=0, mode=mode), CAP)).mode == "RGB"


@pytest.mark.parametrize("options", [{}, {"transparency": 65_535}])
def test_grey_of_16_bits_keeps_its_levels(options: dict[str, Any]) -> None:
    grey = opened(normalise(picture(colour=32_768, mode="I;16", **options), CAP))
    assert grey.getpixel((0, 0)) == (128, 128, 128)


def test_what_is_transparent_becomes_white() -> None:
    assert opened(normalise(picture(colour=(0, 0, 0, 0), mode="RGBA"), CAP)).getpixel((0, 0)) == (255, 255, 255)


def test_a_photograph_is_turned_upright_and_loses_its_metadata() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # rotate by 90 degrees
    exif[0x010E] = "taken at home"
    result = normalise(picture("JPEG", exif=exif), CAP)
    assert opened(result).size == (24, 32)
    assert b"taken at home" not in result
    assert not opened(result).getexif()


def test_the_same_pixels_give_the_same_bytes() -> None:
    with_text = picture("PNG", dpi=(300, 300), compress_level=9)
    assert normalise(with_text, CAP) == normalise(picture("WEBP", lossless=True), CAP)


def test_only_the_first_frame_counts() -> None:
    out = io.BytesIO()
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    frames[0].save(out, "WEBP", save_all=True, append_images=frames[1:], lossless=True)
    assert opened(normalise(out.getvalue(), CAP)).getpixel((0, 0)) == (255, 0, 0)


@pytest.mark.parametrize(
    "data",
    ids=range(8),
    argvalues=[
        b"",
        b"hello",
        picture("GIF"),
        picture("BMP"),
        picture("TIFF"),
        picture()[:-40],
        picture("JPEG")[:100],
        b"\x89PNG\r\n\x1a\n",
    ],
)
def test_other_formats_and_broken_files_are_refused(data: bytes) -> None:
    with pytest.raises(InvalidInput, match="cannot be read") as refusal:
        normalise(data, CAP)
    assert refusal.value.param == "image"


@pytest.mark.parametrize("side", [1_001, 9_500, 20_000, 60_000])
def test_a_bomb_is_refused_by_its_header(side: int) -> None:
    """A few bytes that claim to be a huge picture are never decoded."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    bomb = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(10_000))) + chunk(b"IEND", b"")
    with pytest.raises(InvalidInput, match="pixels; at most 1000000"):
        normalise(bomb, CAP)


def test_a_picture_at_the_cap_is_taken() -> None:
    assert opened(normalise(picture(size=(1000, 1000)), CAP)).size == (1000, 1000)


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_a_broken_orientation_is_found_in_the_header(kind: str) -> None:
    with pytest.raises(InvalidInput, match="cannot be read") as refusal:
        normalise(picture(kind, exif=b"Exif\0\0neither II nor MM"), CAP)
    assert not isinstance(refusal.value, BrokenPicture)


def test_what_breaks_off_behind_its_header_is_told_apart() -> None:
    with pytest.raises(BrokenPicture, match="cannot be read") as refusal:
        normalise(picture("PNG", (64, 64))[:-30], CAP)
    assert (refusal.value.param, refusal.value.code, refusal.value.status) == ("image", "unreadable_image", 422)


def _with_exif_behind_its_pixels(exif: bytes) -> bytes:
    png = picture("PNG")
    end = png.rindex(b"IEND") - 4
    chunk = struct.pack(">I", len(exif)) + b"eXIf" + exif + struct.pack(">I", zlib.crc32(b"eXIf" + exif))
    return png[:end] + chunk + png[end:]


def test_an_orientation_behind_the_pixels_of_a_png_counts_too() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    assert opened(normalise(_with_exif_behind_its_pixels(exif.tobytes()), CAP)).size == (24, 32)
    with pytest.raises(BrokenPicture):
        normalise(_with_exif_behind_its_pixels(b"neither II nor MM"), CAP)


@pytest.mark.parametrize("orientation", [0, 9, 700])
def test_an_orientation_that_there_is_not_turns_nothing(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert opened(normalise(picture("JPEG", exif=exif), CAP)).size == (32, 24)
