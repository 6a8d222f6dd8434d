"""What the integration tests share: certificates, processes, backends, clients, manifests.

Python 3.9 or newer and python3-cryptography; the servers at the far end are `openssl s_server`,
nginx and Python's ssl module, never our own proxy.
"""
