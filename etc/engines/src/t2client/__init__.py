"""A client of t2d's socket, t2-protocol(7), made of the standard library alone.

    from t2client import Client

    with Client("/run/t2d/t2d.sock") as t2:
        mixture = t2.mixture("arc_easy")
        print(mixture["served"], mixture["alpha"])
        for name, multipliers in mixture.vectors().items():
            ...

A client holds one connection, which is made when it is first needed and again where the daemon has closed it. It may be
shared by threads: one call is made at a time. `stream` and `subscribe` have connections of their own.
"""

from t2client.client import Client, ConnectionLost, ProtocolError, T2Error
from t2client.mixture import Mixture, Vectors, VectorsError
from t2client.subscription import Subscription

__all__ = [
    "Client",
    "ConnectionLost",
    "Mixture",
    "ProtocolError",
    "Subscription",
    "T2Error",
    "Vectors",
    "VectorsError",
]
