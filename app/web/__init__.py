"""What browsers are given: templates and static files."""
