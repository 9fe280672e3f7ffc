"""Learning tasks: data sets, models, losses and metrics, and the words, pages and commands that go with them.

A task stands on top of everything else and is found by its name (`experiments.task`); nothing imports it. Tasks are
independent of each other and of every engine.
"""
