"""The version of the package, without an import of anything else."""

VERSION = "0.2.0"

#: The version of the protocol that t2-engine(7) describes.
PROTOCOL = 1
