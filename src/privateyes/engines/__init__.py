"""What makes clients train: each engine implements `federation.rounds.Trainer`."""
