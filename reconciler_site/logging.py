"""Log lines as facts: `event key=value`, each with the correlation id of its work."""

import logging
import re
from datetime import UTC, datetime

from reconciler_site.base.correlation import current_correlation_id
from reconciler_site.base.database_trouble import trouble_of

# Addresses of webhooks, passwords in URLs, API tokens and holder tokens, secrets of signatures.
_SECRETS = re.compile(
    r"(?P<webhook>/webhooks/)[^\s/?#'\",;)\]]+"
    r"|(?P<user>://[^\s/@:'\"]*:)[^\s'\"]*(?=@)"
    r"|(?P<token>\b(?:rcl|rlh|whsec)_)[A-Za-z0-9_\-+/=]+"
)


def without_secrets(text: str) -> str:
    """Return the text with what proves who somebody is left out, wherever it came from."""
    return _SECRETS.sub(
        lambda match: (match["webhook"] or match["user"] or match["token"]) + "[hidden]", text
    )


class OutageFilter(logging.Filter):
    """Makes one line of a database that does not answer: a traceback for each request says less."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep the record; without its traceback when its cause lies outside of the code."""
        error = record.exc_info[1] if isinstance(record.exc_info, tuple) else None
        trouble = trouble_of(error)
        if trouble is not None:
            record.msg = f"{record.getMessage()} code={trouble.code} error={error}"
            record.args = ()
            record.exc_info = None
        return True


class CorrelationFilter(logging.Filter):
    """Adds the bound correlation id to every record."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep the record, with `correlation_id` on it."""
        record.correlation_id = current_correlation_id() or "-"
        return True


class FactsFormatter(logging.Formatter):
    """Time (UTC), level, logger, correlation id, message: one line without secrets."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, control characters escaped; a traceback follows on its own lines."""
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        message = record.getMessage().replace("\r", "\\r").replace("\n", "\\n")
        correlation_id = getattr(record, "correlation_id", "-")
        line = (
            f"{moment} {record.levelname} {record.name} correlation_id={correlation_id} {message}"
        )
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return without_secrets(line)
