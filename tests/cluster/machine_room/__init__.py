"""The operator's machine room against the real API server."""
