"""Talking to the API server: client, watches, slim records, lease, errors."""
