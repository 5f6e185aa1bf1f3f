"""Images as data URLs, small enough that a report with twenty figures stays below 3 MB."""

from __future__ import annotations

import base64
import io
from typing import Final

from PIL import Image

__all__ = ["data_url"]

QUALITY: Final = 82
"""Quality of lossy WebP: the grain of a mosaic is preserved, and thin lines stay sharp at the size on the page."""


def data_url(png: bytes) -> str:
    """Return an image as a data URL, in WebP if that is smaller than the PNG.

    Parameters
    ----------
    png : bytes
        The figure, as written to figures/.

    Returns
    -------
    str
        `data:image/webp;base64,...` or `data:image/png;base64,...`.
    """
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(png)) as image:
        image.convert("RGB").save(buffer, "WEBP", quality=QUALITY, method=4)
    kind, content = ("webp", buffer.getvalue()) if buffer.tell() < len(png) else ("png", png)
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
