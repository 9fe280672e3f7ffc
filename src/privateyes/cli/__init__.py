"""The command line: arguments to calls. One file per command, no logic."""
