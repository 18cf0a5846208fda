"""Redis and RQ: connections, tickets, dispatch, notifications. It knows tickets, never jobs."""
