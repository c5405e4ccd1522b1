"""Every error a user can meet, each with its own exit code.

    DeploytoolsError           10   (root; never raised itself)
    ├── FleetFileError         3   the fleet file is missing, unreadable or contradicts itself
    ├── SettingError           4   an environment variable or option has a value that cannot be used
    ├── BrokerAddressError     5   a broker URL cannot be understood
    ├── BrokerUnreachableError 6   nothing answers at the broker's address, or it refuses us
    ├── EmbeddedBrokerError    7   the embedded broker cannot be started
    ├── AppError               8   the Celery application cannot be imported
    ├── WorkloadError          9   the project declares no load to offer, or one that cannot be loaded
    ├── RunInProgressError    11   another demo or load run of this project is in progress
    └── VerdictError           1   what was checked is not as it should be: a promise, a rendered file, a deployment

A message is one line: what is wrong, where, and what to try next. Commands print it and exit with the code.
"""


class DeploytoolsError(Exception):
    """Something the user can put right; the message says how."""

    exit_code = 10  # of a class that forgot to choose one


class FleetFileError(DeploytoolsError):
    """The fleet file is missing, unreadable or contradicts itself."""

    exit_code = 3


class SettingError(DeploytoolsError):
    """An environment variable or option has a value that cannot be used."""

    exit_code = 4


class BrokerAddressError(DeploytoolsError):
    """A broker URL cannot be understood."""

    exit_code = 5


class BrokerUnreachableError(DeploytoolsError):
    """Nothing answers at the broker's address, or it refuses us."""

    exit_code = 6


class EmbeddedBrokerError(DeploytoolsError):
    """The embedded broker cannot be started."""

    exit_code = 7


class AppError(DeploytoolsError):
    """The Celery application cannot be imported."""

    exit_code = 8


class WorkloadError(DeploytoolsError):
    """The project declares no load to offer, or one that cannot be loaded."""

    exit_code = 9


class RunInProgressError(DeploytoolsError):
    """Another demo or load run of this project is in progress."""

    exit_code = 11


class VerdictError(DeploytoolsError):
    """What was checked is not as it should be: a promise, a rendered file, a deployment."""

    exit_code = 1
