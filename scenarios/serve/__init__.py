"""Inbound decisions over HTTP: the engine's state, a journal, and the server in front of them.

It owns how a request of a call centre, of self-care or of a service becomes a hit and its answer.
It must not decide: that is `actors.rtm`, as in a run.
"""
