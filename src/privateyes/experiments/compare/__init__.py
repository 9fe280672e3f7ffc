"""A comparison: every method of an experiment, for several seeds and every fold, with equal budgets.

    plan        which runs there are: one ordinary run for each seed and fold
    folder      the comparison's directory, and what may be continued in it
    dispatch    runs side by side, in processes of their own     (warm_up: what each does first)
    measured    what the finished runs recorded
    intervals   means, 95 % intervals, paired differences
    budget      whether the methods passed over equally many samples
    targets     rounds and seconds until an error is reached
    relations   what the methods should have to do with each other
    calibrated  personal calibration; mpc: generic MPC, on few samples
    compile     all of it as ``comparison.json``                    (schema: see `compile`)
    files       the same as CSV
    page        the same as a page                               (charts, marks, sentences); pictures: as PNG

The runs stand below the directory as ``privateyes train`` would have written them, so `report` and `evaluate` work on
each of them.
"""
