"""Plain words of which unrelated questions are made: as other people's traffic, and to fill a cache."""

WORDS = "river stone window garden letter morning shadow bridge winter music paper silver road cloud market".split()  # noqa: SIM905
