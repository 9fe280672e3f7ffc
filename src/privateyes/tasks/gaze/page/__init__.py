"""What gaze adds to a run's page: sample eyes with arrows, and where each client's images look."""
