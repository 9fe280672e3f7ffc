"""What happens inside one client: a local round, and predictions. Torch lives here and in the tasks."""
