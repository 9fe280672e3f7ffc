"""Federated learning as an algorithm: seeds, cohorts, rounds, how updates become the next model.

Knows neither networks nor engines nor torch: a client is a name and a vector that it hands over. What trains the
clients is a `rounds.Trainer`; what turns their updates into the next state is a `rounds.Exchange`.
"""
