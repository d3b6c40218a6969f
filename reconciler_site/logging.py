"""Log lines as facts: `event key=value`, each with the correlation id of its work."""

import logging
from datetime import UTC, datetime

from audit.correlation import current_correlation_id


class CorrelationFilter(logging.Filter):
    """Adds the bound correlation id to every record."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep the record, with `correlation_id` on it."""
        record.correlation_id = current_correlation_id() or "-"
        return True


class FactsFormatter(logging.Formatter):
    """Time (UTC), level, logger, correlation id, message; one line, control characters escaped."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; a traceback follows on lines of its own."""
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        message = record.getMessage().replace("\r", "\\r").replace("\n", "\\n")
        correlation_id = getattr(record, "correlation_id", "-")
        line = (
            f"{moment} {record.levelname} {record.name} correlation_id={correlation_id} {message}"
        )
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line
