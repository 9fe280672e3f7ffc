"""An experiment from its file to its results.

spec        the experiment file: what may stand in it, and what is wrong with it
task        what a task brings: data, model, metrics, words, pictures; `tasks` finds one by its name
folds       who trains and who is tested, checked against the data
clients     who holds how many images, in words and numbers
prepare     everything that can be refused, refused before anything is written
synthetic   data that are made, once
methods        the methods of training, each a stream of rounds
secure      where `private` gets its exchange
stopping    when a method ends before its last round
run         folds x methods: train, evaluate, record, checkpoint
record      the run directory, safe against a kill at any moment
results     the table: from the recorded metrics and the last checkpoints
replay      the round in which an aggregator alters its share
evaluate    a checkpoint on any person
calibrate   what a few labelled images of a new person are worth
report/     the page
"""
