"""The HTTP API: shapes, status codes, limits. Rules are in ``app.intake``, SQL in ``app.store``."""
