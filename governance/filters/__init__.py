"""Which query parameters narrow the lists of the API."""
