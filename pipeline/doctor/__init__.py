"""What is wrong with this machine, this job or the way to the service."""
