"""Every SQL statement of the project; one function per transition."""
