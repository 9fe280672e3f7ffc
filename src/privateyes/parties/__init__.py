"""One host for each party of the protocol: bytes in, effects out.

A host is one party, with its keys and no others'. Whoever drives it reads the party's store, gives the host a request
and what was read, stores what the host says, all or nothing, and only then sends what it answers (``effects.py``). It
knows no transport, no clock and no disk. A host that is made anew from its store goes on where it was. A request may
come twice: a word that was stored is repeated byte for byte.

    packets.py     what is in flight: the hub's requests, the parties' answers, and what each carries
    effects.py     what a host reads, and what it wants stored and sent
    aggregator.py  an aggregator
    client.py      a client, and what it needs from whoever trains
    hub.py         the hub: the order of a round, and of a set-up
    again.py       what the hub keeps of a session whose updates may be sent again
    round.py       a set-up and a round among hosts in one process, on one page
"""
