"""Everything that the web process and the workers share: settings, states, job types, store."""
