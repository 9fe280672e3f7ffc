"""Mutation testing of the pure protocol; tools/mutation.py is the command."""
