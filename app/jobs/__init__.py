"""What a job is: states, policies, the base of job types. Pure code."""
