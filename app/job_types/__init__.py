"""The job types, one file each. A file that defines a ``JobType`` here is registered by itself."""
