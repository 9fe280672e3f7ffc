"""From a data set's original download to a file in the layout of `tasks.gaze.layout`: `privateyes data prepare`.

    converter      what a converter is, and which there are
    mpiigaze, mpiifacegaze, gazecapture, nvgaze, eth_xgaze     one module for each data set, none knows another
    tally          what was used, what was skipped and why
    writer         one person to one file, block by block
    manifest       checksums, counts, and the list of what was skipped
    conversion     the whole: resume, join, clear away

Everything that is wrong with a source is either refused, naming the file and the remedy, or counted, named and skipped.
"""
