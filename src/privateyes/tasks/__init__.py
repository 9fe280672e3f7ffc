"""Learning tasks: data sets, models, losses and metrics. Tasks are independent of each other and of every engine."""
