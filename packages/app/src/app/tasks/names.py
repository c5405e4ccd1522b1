"""The forms of names in payloads."""

from typing import Annotated

from pydantic import Field

# An object: the SHA-256 of its bytes.
ObjectName = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
# A staged upload.
UploadName = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
# A row: chosen by whoever makes it, so that asking twice is asking once.
RowName = Annotated[str, Field(pattern=r"^[\w.:-]{1,100}$")]
