"""Cryptographic building blocks: field arithmetic, key streams, commitments, signatures, sealing.

Nothing here is a primitive of our own: AES, SHA-256, HKDF, HMAC, Ed25519 and HPKE come from the `cryptography` package
and the standard library, BLAKE3 from its authors' `blake3`. The modules give them the protocol's labels and shapes, and
are free of I/O, clocks and hidden state.
"""
