"""A second implementation, from docs/protocol.md alone: plain integers, nothing imported from privateyes.

It takes what a vector gives as secrets and inputs, plays every party, and returns the bytes of every message and what
every client accepts. Only hashing, HMAC, AES-CTR, Ed25519 and HPKE come from libraries. Read it in this order:
statements, fields, manifests, layouts, setups, rounds, rules.
"""
