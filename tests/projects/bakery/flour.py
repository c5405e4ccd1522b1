"""A module that takes long to import; it notes by which process it was."""

import os
from pathlib import Path

with Path(os.environ["BAKERY_DIARY"]).open("a") as diary:
    diary.write(f"flour {os.getpid()} {os.getppid()}\n")
