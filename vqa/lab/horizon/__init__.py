"""How far agreement holds: the largest number of requests together at which answers still equal the lone ones."""
