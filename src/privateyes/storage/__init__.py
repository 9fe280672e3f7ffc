"""Where parties keep what they must not forget.

A word that a party gives is in its store before it leaves, and a store that is killed at any write opens as it was
before that write or after it.

    memory.py       a party's store in memory: for tests, and for parties whose keys end with the process
    store.py        a store on disk, in one folder or in mirrors: rows, and large bodies in sealed files
    party.py        one party's part of it, as its host reads and writes it
    ledger_rows.py  the ledger of a data set
    mirror.py       one folder of a store
    mirrors.py      several folders that hold the same, written as one
    majority.py     which of them is right after a kill or a lost disk
    places.py       where a task's store is, and how a fresh mirror takes another's place
    sealed_file.py  a large body, sealed under a key of its own
    transcript.py   the record of a session, as a file
"""
