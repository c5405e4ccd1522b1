"""The errors a user can meet."""

import re

from deploytools import errors
from deploytools.errors import DeploytoolsError

CLASSES = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, DeploytoolsError)]
TREE_LINE = re.compile(r"^ *(?:[├└]── )?(\w+) +(\d+)   (.+)$", re.MULTILINE)


def test_every_error_is_one_of_ours() -> None:
    assert [kind for kind in vars(errors).values() if isinstance(kind, type)] == CLASSES


def test_every_error_has_an_exit_code_of_its_own() -> None:
    codes = [kind.exit_code for kind in CLASSES]

    assert len(set(codes)) == len(codes)
    assert not {0, 2} & set(codes)  # success; what shells and parsers return for a line they cannot read
    assert max(codes) < 126  # from here on shells speak: not executable, not found, killed by a signal


def test_the_module_lists_every_error_with_its_code_and_its_own_words() -> None:
    listed = {name: (int(code), words.lower()) for name, code, words in TREE_LINE.findall(errors.__doc__ or "")}

    documented = {
        kind.__name__: (kind.exit_code, (kind.__doc__ or "").rstrip(".").lower())
        for kind in CLASSES
        if kind is not DeploytoolsError
    }
    assert listed == documented | {"DeploytoolsError": (10, "(root; never raised itself)")}
