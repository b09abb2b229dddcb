"""Certificate authorities, node certificates, credentials, and the vault that keeps them.

Invariant: a secret leaves this package only as the content of a file of mode 0600.
"""
