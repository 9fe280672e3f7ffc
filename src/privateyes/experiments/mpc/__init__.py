"""The method `mpc`: an experiment's images secret-shared and a network trained on them under generic MPC (docs/mpc.md).

plan        which trainings there are, one for each fold, on few samples
result      what a training ended with, as data and as JSON
run         a training, its counterpart in the clear, its errors on held-out persons, its costs
"""
